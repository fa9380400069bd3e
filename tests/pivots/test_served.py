"""What strata can serve: refusals that say what the corpus lacks, and what the metadata tell."""

from __future__ import annotations

import numpy as np
import pytest
import scipy

from pivotkit.corpus.tables.strata import StratumCounts, StratumList
from pivotkit.pivots.served import check_strata


def strata(**documents):
    """Counts of one stratum per set of languages, such as ``en_fr``; ``other`` is the last."""
    sets = [name for name in documents if name != "other"]
    listed = StratumList((*(tuple(name.split("_")) for name in sets), None), ((),) * (len(sets) + 1))
    sizes = [*(documents[name] for name in sets), documents.get("other", 0)]
    return StratumCounts(listed, 0, scipy.sparse.csr_array(np.array(sizes)[:, None]))


def test_the_languages_of_documents_and_those_of_no_document_are_told():
    found = check_strata(strata(fr=200, de_en=150, other=30), [("fr", "de"), ("fr", "zh"), None])
    assert found == {
        "languages_of_documents": ["de", "en", "fr"],
        "absent_languages": ["zh"],
        "documents_of_rare_languages": 30,
    }


def test_a_corpus_in_one_language_is_refused_by_name():
    with pytest.raises(
        ValueError, match=r"documents in both languages of a pair; got documents in fr alone, none in de"
    ):
        check_strata(strata(fr=900), [("fr", "de"), ("de", "fr")])


def test_a_language_may_hide_among_the_rare_ones():
    assert check_strata(strata(fr=900, other=20), [("fr", "de")])["absent_languages"] == ["de"]


@pytest.mark.parametrize("few", [{"fr": 149, "de": 149}, {"other": 149}, {}])
def test_no_set_of_languages_with_enough_documents_is_refused(few):
    total = sum(few.values())
    with pytest.raises(ValueError, match=rf"150 documents of one set of languages or more.*got {total} in all.*paper"):
        check_strata(strata(**few), [("fr", "de")])


def test_strata_of_length_have_no_languages_to_check():
    listed = StratumList((None,), ((10,),))
    enough = StratumCounts(listed, 0, scipy.sparse.csr_array(np.array([[100], [50]])))
    assert check_strata(enough, [None]) == {}
    with pytest.raises(ValueError, match="150 documents of one set of languages or more"):
        check_strata(enough, [("fr", "de")])  # words of a language want documents of it apart


def test_other_objects_are_taken_as_they_are():
    assert check_strata(object(), [("fr", "de")]) == {}

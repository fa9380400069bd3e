"""What counts by stratum can tell of the items: which languages they have, and whether a stratum is large enough."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from pivotkit.corpus.tables.strata import LEAST_DOCUMENTS


def check_strata(strata: Any, pairs: Iterable[tuple[str, str] | None]) -> dict[str, Any]:
    """Refuse strata that can serve no item, and say what they lack.

    Parameters
    ----------
    strata : pivotkit.corpus.tables.strata.StratumCounts
        Strata of length alone have no languages to check. Other objects are taken as they are.
    pairs : iterable of (str, str) or None
        The two languages of each item; None where its words are counted in no language.

    Returns
    -------
    dict
        ``languages_of_documents``, those of the strata; ``absent_languages``, those of items in no stratum;
        ``documents_of_rare_languages``, which are compared with each other whatever their languages.

    Raises
    ------
    ValueError
        No set of languages has 150 documents, or no item has both of its languages among the documents.
    """
    listed = getattr(strata, "strata", None)
    if listed is None:
        return {}
    asked = [pair for pair in pairs if pair is not None]
    sizes = np.bincount(listed.of_sets(), strata.documents, len(listed.sets))
    enough = [some for some, size in zip(listed.sets, sizes, strict=True) if size >= LEAST_DOCUMENTS]
    if not enough or (asked and not any(enough)):  # words of a language, and none of whose documents are apart
        raise ValueError(
            f"find_pivots: counts must have {LEAST_DOCUMENTS} documents of one set of languages or more, for the rule "
            f"stratified; got {int(sizes.sum())} in all: count more documents, or take "
            'rule="paper" (--pivot-rule paper)'
        )
    if not any(listed.sets):
        return {}
    known = {code for some, size in zip(listed.sets, sizes, strict=True) if some and size for code in some}
    absent = sorted({code for pair in asked for code in pair} - known)
    others = any(not some and size for some, size in zip(listed.sets, sizes, strict=True))
    if asked and not others and all(not known.issuperset(pair) for pair in asked):
        raise ValueError(
            f"find_pivots: counts must have documents in both languages of a pair; got documents in "
            f"{', '.join(sorted(known))} alone, none in {', '.join(absent)}: count a corpus of both languages, named as "
            'in the pairs, or take rule="paper" (--pivot-rule paper)'
        )
    return {
        "languages_of_documents": sorted(known),
        "absent_languages": absent,
        "documents_of_rare_languages": int(sizes[sizes < LEAST_DOCUMENTS].sum()),
    }

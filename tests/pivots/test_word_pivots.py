"""Pivots that are words, against a search of every document, and what is refused."""

from __future__ import annotations

import dataclasses
import itertools
import math
from types import SimpleNamespace

import numpy as np
import orjson
import pyarrow as pa
import pytest

import pivotkit as pk
from pivotkit.artifacts import table_metadata
from pivotkit.pivots.word_pivots import WORD_PIVOTS, word_pivots
from pivotkit.words.token_classes import alike, folded

WORDS = [("chat", "fr"), ("chien", "fr"), ("maison", "fr"), ("os", "fr"), ("Katze", "de"), ("Hund", "de"),
         ("Haus", "de"), ("Häuser", "de"), ("cat", "en"), ("dog", "en"), ("house", "en"), ("os", "en"),
         ("Chatte", "en"), ("never", "en"), ("cat", None), ("os", None)]  # fmt: skip
LANGUAGE = {("cat", None): "en", ("os", None): "en|fr"}  # of words that are counted in all documents
ITEMS = pa.table(
    {
        "item": [3, 4, 5],
        "pair": ["fr-de"] * 3,
        "source": ["chat", "chien", "maison"],
        "target": ["Katze", "Hund", "Haus"],
    }
)
FILES = 2


def documents():
    """600 documents of four sets of languages, in which words of one meaning come together more often than others."""
    draw = np.random.default_rng(11)
    meanings = [{"chat", "Katze", "cat", "Chatte"}, {"chien", "Hund", "dog"}, {"maison", "Haus", "Häuser", "house"}]
    made = []
    for number in range(600):
        languages = [["en", "fr"], ["de", "en"], ["fr"], ["en"]][number % 4]
        about = meanings[number % 3]
        words = [word for word, code in WORDS[:-3]
                 if code in languages and draw.random() < (0.5 if word in about else 0.1)]  # fmt: skip
        words += [word for word in ("cat", "os") if draw.random() < (0.2 if word in about else 0.05)]
        made.append((sorted(set(words)), languages))
    return made


@pytest.fixture(scope="module")
def counts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(FILES):
        own = documents()[number::FILES]
        lines = [orjson.dumps({"text": " ".join(words), "lang": languages}) for words, languages in own]
        (folder / f"{number}.jsonl").write_bytes(b"\n".join(lines))
    edges = {("en", "fr"): [], ("de", "en"): [], ("fr",): [], ("en",): []}
    watch = pk.WatchList([word for word, _ in WORDS], languages=[code for _, code in WORDS])
    files = [folder / f"{number}.jsonl" for number in range(FILES)]
    return pk.count(files, watch, strata=pk.Strata(edges=edges), out=folder / "counts", workers=1)


def holds(document, word):
    """A word that was counted in a language is in the documents that are of it, another one in all."""
    words, languages = document
    return word[0] in words and (word[1] is None or word[1] in languages)


def shared(one, other, within):
    return sum(holds(document, one) and holds(document, other) for document in within)


def plain(source, target, min_df=2):
    """The ratio with what chance gives, set of languages by set of languages."""
    every, scores = documents(), {}
    for word in WORDS:
        if word[1] is not None and (word[0], None) in WORDS:
            continue  # its spelling is counted in all documents, and looked for there
        ratios = []
        for own in ((source, "fr"), (target, "de")):
            chance = 0.0
            for _, group in itertools.groupby(sorted(every, key=lambda one: one[1]), key=lambda one: one[1]):
                within = list(group)
                chance += shared(own, own, within) * shared(word, word, within) / len(within)
            both = shared(own, word, every)
            ratios.append((both, chance, math.log((both + 1) / (chance + 1))))
        if min(both for both, *_ in ratios) >= min_df and not any(
            alike(folded(word[0]), end) for end in (source, target)
        ):
            scores[word] = (math.sqrt(max(ratios[0][2], 0) * max(ratios[1][2], 0)), ratios)
    return {word: found for word, found in scores.items() if found[0] > 0}


def test_word_pivots_equal_a_search_of_every_document(counts):
    found = word_pivots(counts, ITEMS, measure="log_ratio")
    for row in ITEMS.to_pylist():
        truth = plain(row["source"], row["target"])
        own = [one for one in found.to_pylist() if one["item"] == row["item"]]
        spelled = {(folded(word), LANGUAGE.get((word, code), code)): word for word, code in WORDS}
        truth = {(word, LANGUAGE.get((word, code), code)): found for (word, code), found in truth.items()}
        assert {(one["word"], one["language"]) for one in own} == {(folded(word), code) for word, code in truth}
        assert [one["rank"] for one in own] == list(range(1, len(own) + 1))
        assert [one["score"] for one in own] == sorted((one["score"] for one in own), reverse=True)
        for one in own:
            score, ratios = truth[spelled[one["word"], one["language"]], one["language"]]
            assert one["score"] == pytest.approx(score, rel=1e-12)
            assert [one["expected_source"], one["expected_target"]] == pytest.approx(
                [chance for _, chance, _ in ratios]
            )
            df = [counts.df[counts.index(row[side], code)] for side, code in (("source", "fr"), ("target", "de"))]
            assert [one["df_given_source"] * df[0], one["df_given_target"] * df[1]] == pytest.approx(
                [both for both, *_ in ratios]
            )
    best = {row["item"]: row["word"] for row in found.to_pylist() if row["rank"] == 1}
    assert best == {3: "cat", 4: "dog", 5: "house"}
    assert found.select(WORD_PIVOTS.names).schema.remove_metadata() == WORD_PIVOTS


def test_no_look_alike_of_either_word_is_a_pivot(counts):
    """Häuser looks like Haus, and Chatte like chat; both share many documents with the words."""
    words = {row["item"]: [] for row in ITEMS.to_pylist()}
    for row in word_pivots(counts, ITEMS).to_pylist():
        words[row["item"]].append(row["word"])
    assert not {"häuser", "haus", "maison"} & set(words[5])
    assert not {"chatte", "chat", "katze"} & set(words[3])


def test_shared_documents_are_those_of_every_file(counts):
    rows = [counts.index("chat", "fr"), counts.index("os", "en"), counts.index("never", "en")]
    table = counts.postings.shared(rows, len(counts.words))
    assert table.dtype == np.int64
    words = [(word, code) for word, code in WORDS]
    places = [counts.index(word, code) for word, code in words]
    truth = [[shared(words[places.index(row)], other, documents()) for other in words] for row in rows]
    assert table.toarray()[:, places].tolist() == truth


def test_a_language_is_asked_for(counts):
    found = word_pivots(counts, ITEMS, languages=["en"])
    assert {"en"} <= set(found["language"].to_pylist()) <= {"en", "en|fr"}
    whole = [row for row in word_pivots(counts, ITEMS).to_pylist() if "en" in row["language"]]
    assert [row["word"] for row in found.to_pylist()] == [row["word"] for row in whole]
    assert found["rank"].to_pylist()[0] == 1


def test_the_paper_s_rule_is_that_of_the_whole_corpus(counts):
    """Words are those of all documents where they were counted there, as cat is."""
    found = word_pivots(counts, ITEMS, "paper", languages=["en"]).to_pylist()
    every = documents()
    share = shared(("cat", None), ("cat", None), every) / len(every)
    truth = min(
        shared(own, ("cat", None), every) / shared(own, own, every) - share for own in (("chat", "fr"), ("Katze", "de"))
    )
    [score] = [row["score"] for row in found if (row["item"], row["word"]) == (3, "cat")]
    assert score == pytest.approx(truth)


class Tokens:
    """Tokens 7 and 8 spell cat, token 9 begins house."""

    def __init__(self):
        self.text = {7: " cat", 8: "Cat", 9: " hou", 10: "se"}.__getitem__

    def family(self, word):
        return {"cat": (8, 7, 9), "house": (9, 10)}.get(word, ())


def test_tokens_that_spell_a_whole_word_join_it_to_token_pivots(counts):
    found = word_pivots(counts, ITEMS, measure="log_ratio", word_tokens=Tokens())
    told = {row["word"]: row["token_ids"] for row in found.to_pylist()}
    assert told["cat"] == [7, 8]
    assert told["house"] == []
    bare = word_pivots(counts, ITEMS, measure="log_ratio")
    assert bare["token_ids"].null_count == bare.num_rows == found.num_rows


def test_items_without_pivots_are_counted(counts):
    items = pa.table({"item": [0, 1], "pair": ["fr-en"] * 2, "source": ["chat"] * 2, "target": ["never", "dog"]})
    found = word_pivots(counts, items, min_score=50)
    assert not found.num_rows
    assert table_metadata(found)["items_without_pivots"] == {
        "a word never occurs": 1, "no word is tied to both words": 1,
    }  # fmt: skip
    rare = word_pivots(counts, ITEMS, min_word_df=1000)
    assert table_metadata(rare)["items_without_pivots"] == {"a word is in too few documents": 3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"languages": ["it"]}, "word_pivots: languages must be languages of counted words; got 'it'"),
        ({"items": ITEMS.drop_columns(["pair"])}, "word_pivots: items must have the columns .* got none named pair"),
        ({"items": ITEMS.set_column(2, "source", pa.array(["x", "y", "z"]))},
         "word_pivots: counts must be of every word of items; got none of 'x'"),
        ({"measure": "t"}, "word_pivots: measure must be one of"),
    ],
)  # fmt: skip
def test_what_cannot_be_counted_is_refused(counts, change, message):
    with pytest.raises(ValueError, match=message):
        word_pivots(**{"counts": counts, "items": ITEMS, **change})


def test_counts_without_postings_or_strata_are_refused(counts):
    with pytest.raises(ValueError, match="word_pivots: counts must be kept in a folder"):
        word_pivots(dataclasses.replace(counts, postings=None), ITEMS)
    with pytest.raises(ValueError, match="word_pivots: counts must have strata for the rule stratified"):
        word_pivots(dataclasses.replace(counts, strata=None), ITEMS)
    with pytest.raises(TypeError, match="word_pivots: counts must have words, df"):
        word_pivots(SimpleNamespace(words=[]), ITEMS)

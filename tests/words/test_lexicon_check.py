"""What a check of a lexicon finds in words and tokens; tests/corpus/test_lexicon_check.py has documents and files."""

from __future__ import annotations

import pytest

from pivotkit.corpus.lexicon_check import check_lexicon
from pivotkit.words.lexicon import Lexicon
from pivotkit.words.token_classes import alike, folded
from pivotkit.words.word_tokens import WordTokens

NAMES = {"en": "English", "fr": "French", "de": "German"}


def lexicon(*rows: str) -> Lexicon:
    """Rows as ``"pain bread Brot"``, in the order en, fr, de; ``-`` is an empty cell, ``a|b`` two words."""
    cells = [dict(zip(NAMES, row.split(), strict=True)) for row in rows]
    found = Lexicon(dict(NAMES), [], [""] * len(rows))
    for number, row in enumerate(cells):
        filled = {code: cell.split("|") for code, cell in row.items() if cell != "-"}
        found.rows.append({code: words[0] for code, words in filled.items()})
        found.synonyms.update({(number, code): tuple(words[1:]) for code, words in filled.items()})
    return found


def test_a_spelling_of_several_languages_is_a_homograph_whatever_its_meaning():
    found = check_lexicon(lexicon("pain douleur Schmerz", "bread pain Brot", "radio radio Radio", "dog chien Hund|dog"))
    rows = {(row["language"], row["word"]): row["homographs"] for row in found.words.to_pylist()}
    assert {key: value for key, value in rows.items() if value} == {
        ("en", "pain"): ["fr"], ("fr", "pain"): ["en"], ("en", "radio"): ["de", "fr"], ("fr", "radio"): ["de", "en"],
        ("de", "Radio"): ["en", "fr"], ("en", "dog"): ["de"], ("de", "dog"): ["en"],
    }  # fmt: skip
    assert found.languages["homographs"].to_pylist() == [3, 2, 2]


def test_a_pair_tells_its_concepts_apart():
    found = check_lexicon(
        lexicon("radio radio Radio", "nation nation Nation", "family famille Familie", "dog chien Hund", "sun - Sonne"),
        pairs=["en-fr", "fr-de", "de-en"],
    )
    rows = {row["pair"]: row for row in found.pairs.to_pylist()}
    assert [rows[pair]["concepts"] for pair in rows] == [4, 4, 5]
    assert [rows[pair]["same_spelling"] for pair in rows] == [2, 2, 2]
    assert [rows[pair]["readable"] for pair in rows] == [2, 2, 3]
    assert rows["fr-de"]["look_alikes"] == 1  # famille, Familie
    for row in rows.values():
        assert (row["shared_piece"], row["not_told_apart"], row["few_documents"], row["served"]) == (None,) * 4
        assert row["enough"] is False
    assert found.about["left_out"] == {"tokens": "no model was given", "documents": "no corpus was given"}


def test_enough_is_as_many_as_asked():
    words = lexicon("dog chien Hund", "sun soleil Sonne")
    for least, enough in ((1, True), (2, True), (3, False)):
        assert check_lexicon(words, pairs=["en-fr"], least_concepts=least).pairs["enough"].to_pylist() == [enough]


def test_tokens_are_those_of_the_tokenizer(lexicon, tokenizer):
    found = check_lexicon(lexicon, tokenizer=tokenizer)
    tokens = WordTokens(tokenizer)
    for row in found.words.to_pylist():
        assert row["pieces"] == len(tokens.pieces(row["word"]))
        assert row["told_apart"] == bool(tokens.telling(row["word"]))
        assert 0 <= row["telling_piece"] < row["pieces"]
    zh = [row for row in found.words.to_pylist() if row["language"] == "zh"]
    assert not any(row["told_apart"] for row in zh)  # every word begins with a part of a character
    assert all(row["telling_piece"] > 0 for row in zh)
    by_language = {row["language"]: row for row in found.languages.to_pylist()}
    assert by_language["zh"]["not_told_apart"] == by_language["zh"]["words"] == 16
    assert by_language["zh"]["mean_pieces"] == pytest.approx(sum(row["pieces"] for row in zh) / 16)
    for row in found.pairs.to_pylist():
        source, target = row["pair"].split("-")
        concepts = [(words[source], words[target]) for words in lexicon.rows]
        same = [folded(one) == folded(other) for one, other in concepts]
        shared = [tokens.overlap(one, other) for one, other in concepts]
        assert row["shared_piece"] == sum(shared)
        assert row["readable"] == sum(not (a or b) for a, b in zip(same, shared, strict=True))
        near = [alike(folded(a), b) or alike(folded(b), a) for a, b in concepts]
        assert row["look_alikes"] == sum(a and not b for a, b in zip(near, same, strict=True))

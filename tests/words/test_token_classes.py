"""What a token is to the words of an item."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivotkit.words.token_classes import (
    CLASSES,
    ItemWords,
    alike,
    folded,
    inflected,
    is_whole_word,
    token_class,
    word_languages,
    written_form,
)

DOG = {"fr": "chien", "de": "Hund", "en": "dog", "es": "perro", "pt": "cão", "it": "cane"}
HOUSE = {"fr": "maison", "de": "Haus", "es": "casa", "it": "casa", "en": "house"}
FAMILY = {"fr": "famille", "de": "Familie", "en": "family", "es": "familia"}
SCHOOL = {"ja": "学校", "zh": "校园", "en": "school"}
KNOWN = word_languages([*DOG.items(), *HOUSE.items(), *FAMILY.items(), ("de", "Wohnung"), ("en", "tv")])


def words(concept, source, *targets, source_ids=(), target_ids=()):
    spelled = word_languages(concept.items())
    return ItemWords(concept[source], targets, source_ids, target_ids, spelled)


FR_DE = words(HOUSE, "fr", "Haus", "Gebäude", source_ids=[1, 2], target_ids=[2, 3])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Haus", ("direct", None)), ("haus", ("direct", None)), (" Häuser", ("direct", None)),
        (" Hauses", ("direct", None)), (" gebäude", ("direct", None)), (" Gebä", ("direct", None)),
        (" maison", ("copy", None)), (" maisons", ("copy", None)), (" mai", ("copy", None)), (" MAISON", ("copy", None)),
        (" house", ("pivot", "en")), ("House", ("pivot", "en")), (" houses", ("pivot", "en")),
        (" casa", ("pivot", "es|it")), (" Wohnung", ("pivot", "de")), (" dwelling", ("pivot", None)),
        (" main", ("pivot", None)), (" tv", ("pivot", "en")), ("tv", ("pivot", "en")), ("房子", ("pivot", None)),
        ("dwelling", ("piece", None)), (" dw", ("piece", None)), (" 2024", ("piece", None)), (":", ("piece", None)),
        (" ", ("piece", None)), ("", ("piece", None)), (" h\ufffd", ("piece", None)), (" don't", ("piece", None)),
    ],
)  # fmt: skip
def test_a_token_is_of_the_target_the_source_another_word_or_a_piece(text, expected):
    assert token_class(9, text, FR_DE, KNOWN) == expected


def test_tokens_that_can_begin_a_word_are_its_family_whatever_their_text():
    assert token_class(1, "aud", FR_DE, KNOWN) == ("copy", None)
    assert token_class(3, "aud", FR_DE, KNOWN) == ("direct", None)
    assert token_class(2, "aud", FR_DE, KNOWN) == ("direct", None)  # of both
    assert token_class(1, " house", FR_DE, KNOWN) == ("copy", None)


def test_a_word_of_another_language_is_one_though_it_looks_like_source_and_target():
    item = words(FAMILY, "fr", "Familie")
    assert token_class(9, " Family", item, KNOWN) == ("pivot", "en")
    assert token_class(9, " familia", item, KNOWN) == ("pivot", "es")
    assert token_class(9, " famili", item, KNOWN) == ("direct", None)  # alike both: the target's
    assert token_class(9, " famill", item, KNOWN) == ("direct", None)
    assert token_class(9, " famille", item, KNOWN) == ("copy", None)


def test_chinese_characters_stand_for_words():
    item = words(SCHOOL, "ja", "校园")
    assert token_class(9, "学", item, KNOWN) == ("copy", None)
    assert token_class(9, "校", item, KNOWN) == ("direct", None)  # of both
    assert token_class(9, "教", item, KNOWN) == ("pivot", None)
    assert token_class(9, "学生的人", item, KNOWN) == ("pivot", None)


def test_the_language_of_a_pivot_is_that_of_the_concept_before_any_other():
    known = word_languages([("en", "cane"), *DOG.items()])
    assert token_class(9, " cane", words(DOG, "fr", "Hund"), known) == ("pivot", "it")
    assert token_class(9, " cane", words(HOUSE, "fr", "Haus"), known) == ("pivot", "en|it")


@pytest.mark.parametrize(
    ("text", "word", "forms", "begins"),
    [
        ("hunde", "Hund", True, True), ("hundes", "Hund", True, True), ("hundefutter", "Hund", False, False),
        ("telefón", "Telefon", True, True), ("tel", "Telefon", False, True), ("te", "Telefon", False, False),
        ("main", "maison", False, False), ("literature", "lit", False, False), ("lits", "lit", True, True),
        ("競技", "競技場", True, True), ("足", "網球", False, False), ("キツ", "キツネ", True, True),
        ("キ", "キツネ", False, False), ("학생", "학교", False, False), ("학교에", "학교", True, True), ("", "Hund", False, False),
    ],
)  # fmt: skip
def test_forms_and_beginnings_of_a_word(text, word, forms, begins):
    assert (inflected(text, word), alike(text, word)) == (forms, begins)


@pytest.mark.parametrize(
    "text", [" dog", " Hund", "狗", " 狗", "ドッグ", "いぬ", " собака", "หมา", " é\u0301té", " 학교"]
)
def test_a_whole_word(text):
    assert is_whole_word(text)


@pytest.mark.parametrize("text", ["dog", " do", "ド", " x86", "1", "", " ", "\ufffd", "-dog", "собака", "หม", " 학"])
def test_no_whole_word(text):
    assert not is_whole_word(text)


@pytest.mark.parametrize(
    ("one", "other"), [(" dog", "dog"), (" dog", " Dog"), (" dog", " d2"), (" dog", " собака"), (" dog", " 狗")]
)
def test_written_forms_tell_spaces_capitals_letters_and_scripts_apart(one, other):
    assert written_form(one) != written_form(other)
    assert written_form(one) == written_form(" cat")


@given(st.text(max_size=8), st.text(min_size=1, max_size=8))
def test_any_text_has_one_class_and_spelling_a_target_decides_it(text, target):
    item = ItemWords("maison", [target], (), (), {})
    name, language = token_class(0, text, item, {})
    assert name in CLASSES
    assert language is None
    assert token_class(0, f" {target} ", item, {})[0] == "direct"
    assert folded(folded(text)) == folded(text)


def test_the_words_of_an_item_show_their_source():
    assert repr(FR_DE) == "ItemWords('maison', targets=2, spellings=4)"

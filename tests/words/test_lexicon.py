"""Lexicon files: what they mean, and how wrong ones are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pivotkit.errors import InputError
from pivotkit.words.lexicon import read_lexicon


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "words.tsv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_an_empty_cell_is_a_language_without_the_word(tmp_path):
    lexicon = read_lexicon(write(tmp_path, "en\tfr\tzh\ndog\tchien\t狗\nlemon\t\t柠檬\n"))
    assert lexicon.names == {"en": "English", "fr": "French", "zh": "Chinese"}
    assert lexicon.rows == [{"en": "dog", "fr": "chien", "zh": "狗"}, {"en": "lemon", "zh": "柠檬"}]
    assert lexicon.having("fr", "zh") == [0]
    assert lexicon.words("fr", "zh") == ["chien", "狗", "柠檬"]
    assert lexicon.concept(1) == "lemon"


def test_a_header_cell_may_name_an_invented_language(tmp_path):
    assert read_lexicon(write(tmp_path, "a=Aish\tb=B\nx\ty\n")).names == {"a": "Aish", "b": "B"}


def test_a_pos_column_is_not_a_language(tmp_path):
    lexicon = read_lexicon(write(tmp_path, "en\tpos\tfr\ndog\tnoun\tchien\n"))
    assert lexicon.pos == ["noun"]
    assert lexicon.rows == [{"en": "dog", "fr": "chien"}]


def test_a_cell_may_hold_several_accepted_words_of_which_the_first_is_shown(tmp_path):
    lexicon = read_lexicon(write(tmp_path, "en\tfr\nhouse|home\tmaison|logis|demeure\ndog\tchien\n"))
    assert lexicon.rows == [{"en": "house", "fr": "maison"}, {"en": "dog", "fr": "chien"}]
    assert lexicon.accepted(0, "fr") == ("maison", "logis", "demeure")
    assert lexicon.accepted(1, "fr") == ("chien",)
    assert lexicon.concept_words(0) == {"house", "home", "maison", "logis", "demeure"}
    assert lexicon.words("fr") == ["maison", "logis", "demeure", "chien"]
    assert lexicon.concept(0) == "house"


def test_an_alternative_may_stand_in_another_line(tmp_path):
    lexicon = read_lexicon(write(tmp_path, "en\tfr\nhouse\tmaison|logis\nflat\tlogis|appartement\n"))
    assert [lexicon.accepted(row, "fr") for row in (0, 1)] == [("maison", "logis"), ("logis", "appartement")]


@pytest.mark.parametrize(
    ("text", "place", "rule"),
    [
        ("", "line 1", "empty"),
        ("en\tfr\n", "line 2", "header only"),
        ("en\nx\n", "line 1", "two languages"),
        ("en\txx\ndog\tchien\n", "line 1", "known language codes or 'code=Name'; got 'xx'"),
        ("en\ten\ndog\tdog\n", "line 1", "'en' twice"),
        ("en\tfr\ndog\tchien\n\tchat\n", "line 3", "must not be empty"),
        ("en\tfr\ndog\n", "line 2", "2 cells as the header; got 1"),
        ("en\tfr\ndog\tchien\n\n", "line 3", "2 cells as the header; got 1"),
        ("en\tfr\ndog\tchien\tx\n", "line 2", "got 3"),
        ("en\tfr\ndog\t \n", "line 2", "no blanks around the word"),
        ("en\tfr\ndog\tchien\nhound\tchien\n", "line 3", "must name 'chien' once; line 2 has it too"),
        ("en\tfr\ndog\tchien|toutou\nhound\tchien|limier\n", "line 3", "must name 'chien' once; line 2 has it too"),
        (
            "en\tfr\ndog\tchien\ncat\tchat||minet\n",
            "line 3",
            "column fr must have no empty alternative; got 'chat||minet'",
        ),
        ("en\tfr\ndog|\tchien\n", "line 2", "column en must have no empty alternative; got 'dog|'"),
        ("en\tfr\ndog\t|\n", "line 2", "column fr must have no empty alternative; got '|'"),
        ("en\tfr\ndog\tchien|chien\n", "line 2", "column fr must have each alternative once; got 'chien|chien'"),
        ("en\tfr\ndog\tchien| toutou\n", "line 2", "no blanks around the word; got ' toutou'"),
        (b"en\tfr\ndog\tchien\ncat\tch\xff\n", "line 3", "UTF-8; byte 22"),
    ],
)
def test_a_bad_lexicon_is_refused_with_its_line(tmp_path, text, place, rule):
    with pytest.raises(InputError) as caught:
        read_lexicon(write(tmp_path, text))
    assert f"words.tsv, {place}: " in str(caught.value)
    assert rule in str(caught.value)


def test_the_real_lexicon_reads(shared):
    lexicon = read_lexicon(shared / "data" / "lexicon" / "concrete_nouns.tsv")
    assert len(lexicon.rows) == 236
    assert list(lexicon.names) == ["en", "fr", "de", "es", "it", "pt", "ru", "ja", "zh", "ko"]

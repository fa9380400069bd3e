"""Lexicon files: what they mean, and how wrong ones are refused."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
        ("en\tfr\n\n\n", "line 2", "header only"),
        ("en\tfr\n\ndog\n", "line 3", "2 cells as the header; got 1"),
        ('en\tfr\n"dog\nchien\n', "line 2", "cells as CSV has them; got unexpected end of data"),
        ('en\tfr\ndog\tchien\n"cat" \tchat\n', "line 3", "cells as CSV has them"),
        ('en\tfr\n"a\nb"\tchien\n', "line 2", "column en must have no line break in a word; got 'a\\nb'"),
        ('en\tfr\ndog\tchien\n"cat"\t"ch\nat"\n"hen"\n', "line 3", "no line break"),
        ("en\tfr\txx-YY\ndog\tchien\tx\n", "line 1", "known language codes or 'code=Name'; got 'xx-YY'"),
        ("en\tfr\tzho_Hans\n", "line 1", "got 'zho_Hans'"),
        ("en\tfr\tpt-br\n", "line 1", "got 'pt-br'"),
        ("en\tfr\tGerman\n", "line 1", "got 'German' (use 'de')"),
        ("en\tfr\tsimplified chinese\n", "line 1", "got 'simplified chinese' (use 'zh-Hans')"),
        ("en\tfr\t\n", "line 1", "got ''"),
        ("en,fr\ndog,chien\n", "line 1", "got 'en,fr'"),
        ("en\tfr\ta b=Aish\n", "line 1", "got 'a b=Aish'"),
        ("en\tfr\ta=\n", "line 1", "got 'a='"),
        ("en\tfr\ttier\ttier\n", "line 1", "'tier' twice"),
        ("en\ttier\nx\t1\n", "line 1", "two languages; got 1"),
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


HYPHENS = "en\tpt-BR=Portuguese\tzh-Hans\tpt-ao=Angolan Portuguese\ndog\tcachorro\t狗\tcão\n"


def test_a_code_may_have_hyphens(tmp_path):
    lexicon = read_lexicon(write(tmp_path, HYPHENS))
    assert lexicon.names == {
        "en": "English", "pt-BR": "Portuguese", "zh-Hans": "Simplified Chinese", "pt-ao": "Angolan Portuguese"
    }  # fmt: skip
    assert lexicon.rows == [{"en": "dog", "pt-BR": "cachorro", "zh-Hans": "狗", "pt-ao": "cão"}]
    assert lexicon.words("pt-BR") == ["cachorro"]


def test_columns_that_are_no_languages_are_attributes_of_the_concept(tmp_path):
    lines = [
        "tier\ten\tpos\tword class\tfr\tfreq. (Zipf)\tid",
        "1\tdog\tnoun\tcount\tchien\t5.2\tanjing",
        "\trun\t\t\tcourir\t\t",
    ]
    lexicon = read_lexicon(write(tmp_path, "\n".join(lines)))
    assert list(lexicon.names) == ["en", "fr", "id"]
    assert lexicon.attributes == [{"tier": "1", "word class": "count", "freq. (Zipf)": "5.2"}, {}]
    assert lexicon.pos == ["noun", ""]
    assert lexicon.about(0) == {"pos": "noun", "tier": "1", "word class": "count", "freq. (Zipf)": "5.2"}
    assert lexicon.about(1) == {}
    assert lexicon.concept(0) == "dog"


def test_a_column_can_be_declared_an_attribute(tmp_path):
    path = write(tmp_path, "en\tfr\ttag\tid\nbook\tlivre\tNN\t17\n")
    with pytest.raises(InputError, match="got 'tag'"):
        read_lexicon(path)
    lexicon = read_lexicon(path, attributes=["tag", "id"])
    assert (list(lexicon.names), lexicon.attributes) == (["en", "fr"], [{"tag": "NN", "id": "17"}])
    with pytest.raises(InputError, match="line 1: must have the columns that attributes names; got none named 'x'"):
        read_lexicon(path, attributes=["tag", "id", "x"])


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\r\n\r\n", "\n \n", "\n\t\n", "\n\t\n\n\t \n", "\r", '\n""\t""\n'])
@pytest.mark.parametrize("blank", ["", "\n", "\t\n"])
def test_blank_lines_say_nothing(tmp_path, end, blank):
    lexicon = read_lexicon(write(tmp_path, f"{blank}en\tfr\n{blank}dog\tchien\n{blank}cat\tchat{end}"))
    assert lexicon.rows == [{"en": "dog", "fr": "chien"}, {"en": "cat", "fr": "chat"}]
    step = 1 + bool(blank)
    assert [lexicon.line(row) for row in (0, 1)] == [2 * step, 3 * step]


@settings(max_examples=200, deadline=None)
@given(
    words=st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["Zs", "Zl", "Zp", "Cc", "Cs"], exclude_characters="|"),
                min_size=1),
        min_size=2, max_size=12, unique=True,
    ),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    dialect=st.sampled_from([("words.csv", ","), ("words.tsv", "\t"), ("WORDS.CSV", ",")]),
    ending=st.sampled_from(["\n", "\r\n"]),
)  # fmt: skip
def test_what_the_csv_module_writes_is_read_back(tmp_path_factory, words, quoting, dialect, ending):
    rows = [{"en": first, "fr": second} for first, second in itertools.pairwise(words)]
    path = tmp_path_factory.mktemp("csv") / dialect[0]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["en", "fr"], delimiter=dialect[1], quoting=quoting, lineterminator=ending)
        writer.writeheader()
        writer.writerows(rows)
    lexicon = read_lexicon(path)
    assert lexicon.rows == rows
    assert [lexicon.line(row) for row in range(len(rows))] == list(range(2, len(rows) + 2))


@pytest.mark.parametrize(
    ("cell", "word"),
    [
        ('"chien"', "chien"),
        ('"l\'"', "l'"),
        ('"5"" nail"', '5" nail'),
        ('5" nail', '5" nail'),
        ('"a\tb"', "a\tb"),
        ('"a, b"', "a, b"),
        ("l\u2019eau", "l\u2019eau"),
        ('"""quoted"""', '"quoted"'),
    ],
)
def test_a_quoted_cell_is_read_as_csv_reads_it(tmp_path, cell, word):
    assert read_lexicon(write(tmp_path, f"en\tfr\nx\t{cell}\n")).rows == [{"en": "x", "fr": word}]


def test_a_quoted_cell_may_hold_several_accepted_words(tmp_path):
    assert read_lexicon(write(tmp_path, 'en\tfr\nx\t"a, b|c"\n')).accepted(0, "fr") == ("a, b", "c")


def test_a_line_ends_where_csv_ends_it(tmp_path):
    lexicon = read_lexicon(write(tmp_path, 'en\tnote text\tfr\ndog\t"two\nlines"\tchien\ncat\ta\u2028b\tchat\n'))
    assert [lexicon.line(row) for row in (0, 1)] == [2, 4]
    assert lexicon.attributes == [{"note text": "two\nlines"}, {"note text": "a\u2028b"}]


def test_the_real_lexicon_reads(shared):
    lexicon = read_lexicon(shared / "data" / "lexicon" / "concrete_nouns.tsv")
    assert len(lexicon.rows) == 236
    assert list(lexicon.names) == ["en", "fr", "de", "es", "it", "pt", "ru", "ja", "zh", "ko"]

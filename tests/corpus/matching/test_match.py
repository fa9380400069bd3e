"""Which words occur in each document of a corpus."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pivotkit.corpus import WatchList, match_documents, match_spans, match_texts, normalize, work_units
from pivotkit.errors import CorpusError


def test_rows_follow_files_and_lines(write: Any, tmp_path: Any) -> None:
    write(["un chat", "rien", "chat chien CHAT"], "b.jsonl", "fr")
    write(["a cat"], "a.jsonl", "en")
    matches = match_documents(tmp_path, ["cat", "chat", "chien"])
    units = [unit.name for unit in work_units(tmp_path)]
    assert matches.words == ["cat", "chat", "chien"]
    assert matches.documents.to_pydict() == {
        "unit": [units[0], units[1], units[1], units[1]],
        "row": [0, 0, 1, 2],
        "id": ["a.jsonl/0", "b.jsonl/0", "b.jsonl/1", "b.jsonl/2"],
        "lang": ["en", "fr", "fr", "fr"],
    }
    assert matches.hits.dtype == np.int32
    assert matches.hits.toarray().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 2, 1]]


def test_no_documents_give_no_rows(write: Any) -> None:
    matches = match_documents(write([]), ["cat"])
    assert (matches.documents.num_rows, matches.hits.shape) == (0, (0, 1))
    assert match_texts([], ["cat"]).shape == (0, 1)


def test_bad_documents_are_refused_or_skipped(write: Any) -> None:
    path = write(["cat", "cat"])
    path.write_text(path.read_text() + "{\n")
    with pytest.raises(CorpusError, match="line 3"):
        match_documents(path, ["cat"])
    assert match_documents(path, ["cat"], on_error="skip").hits.shape == (2, 1)
    with pytest.raises(ValueError, match="on_error must be"):
        match_documents(path, ["cat"], on_error="no")


def cut(texts: list[str], words: list[str]) -> list[tuple[str, str]]:
    """Each word with its occurrence as the text spells it."""
    rows = match_spans(texts, words).to_pylist()
    return [(row["word"], texts[row["document"]][row["begin"] : row["end"]]) for row in rows]


@pytest.mark.parametrize(
    ("word", "text", "spellings"),
    [
        ("strasse", "Straße STRASSE", ["Straße", "STRASSE"]),
        ("fi", "ﬁ ﬁne fi", ["ﬁ", "fi"]),
        ("株式", "㍿は株式", ["株式"]),  # a sign stays what it is
        ("จํา", "จำ จํา", ["จำ", "จํา"]),
        ("ຫນັງ", "ໜັງ ຫນັງ", ["ໜັງ", "ຫນັງ"]),
        ("Flasche", "(Fla\u00adsche\u200b)", ["Fla\u00adsche"]),  # what cannot be seen belongs to no edge
        ("❤", "❤\ufe0f a", ["❤\ufe0f"]),  # but if it is a mark
        ("كتب", "كَتَبَ كتـب", ["كَتَبَ", "كتـب"]),
        ("👩\u200d🚀", "a👩\u200d🚀 \u200d👩\u200d🚀", ["👩\u200d🚀"]),
        ("🏴\U000e0067\U000e007f", "🏴\U000e0067\U000e007f🏴", ["🏴\U000e0067\U000e007f"]),
        ("aujourd'hui", "aujourd’hui", ["aujourd’hui"]),
        ("école", "l'E\u0301COLE", ["E\u0301COLE"]),
        ("カメラ", "ﾃﾞｼﾞｶﾒﾗ", ["ｶﾒﾗ"]),
        ("デジ", "ﾃﾞｼﾞｶﾒﾗ", ["ﾃﾞｼﾞ"]),
        ("น", "แม่น้ำ น", ["น"]),  # the tone mark and the vowel belong to the first
        ("ice cream", "Ice\n  \u3000Cream.", ["Ice\n  \u3000Cream"]),
        ("가", "\u1100\u1161 가", ["\u1100\u1161", "가"]),
        ("ạ\u0301", "a\u0301\u0323", ["a\u0301\u0323"]),  # the marks change places
        ("😀", "😀😀", ["😀", "😀"]),
        ("i\u0307", "İ", ["İ"]),
    ],
)
def test_spans_give_the_original_spelling(word: str, text: str, spellings: list[str]) -> None:
    assert cut([text], [word]) == [(normalize(word), spelling) for spelling in spellings]


def test_spans_are_in_order_and_typed() -> None:
    table = match_spans(["", "大学生", "大学"], ["学生", "大学", "大学生"])
    assert table.to_pydict() == {
        "document": [1, 1, 1, 2],
        "word": ["大学", "大学生", "学生", "大学"],
        "begin": [0, 0, 1, 0],
        "end": [2, 3, 3, 2],
    }
    assert [str(field.type) for field in table.schema] == ["int64", "string", "int64", "int64"]
    assert match_spans([], ["a"]).schema == table.schema
    with pytest.raises(ValueError, match="lone surrogate at 0"):
        match_spans(["\ud800"], ["a"])


LETTERS = list(
    "abeEfisS \n\u3000\u0301\u0323\u0345\u3099\u0e48ßﬁﬀ㍿ⅷ½ǰΐİéｶﾞカ株式น\u1100\u1161\u11a8가猫'-😀"
    "\u00ad\ufe0f\u200d🚀\u0640\u064eابำ’"
)


@settings(max_examples=500)
@given(texts=st.lists(st.text(st.sampled_from(LETTERS), max_size=16), max_size=3), data=st.data())
@example(texts=["e\u0301\u0323e\u0323\u0301"], data=None)
def test_every_occurrence_has_its_span(texts: list[str], data: Any) -> None:
    words = ["é", "fi", "a", "ẹ́"]
    for normal in filter(None, map(normalize, texts if data is not None else [])):
        begin = data.draw(st.integers(0, len(normal) - 1))
        words.append(normal[begin : begin + data.draw(st.integers(1, 5))])
    watch = WatchList(word for word in words if word.split())
    table = match_spans(texts, watch).to_pylist()
    counts = np.zeros((len(texts), len(watch)), np.int64)
    for row in table:
        counts[row["document"], watch.id(row["word"])] += 1
        spelling = texts[row["document"]][row["begin"] : row["end"]]
        assert row["word"] in " ".join(f"|{normalize(spelling)}|".split()), row
        assert spelling
    assert counts.tolist() == match_texts(texts, watch).toarray().tolist()
    assert table == sorted(table, key=lambda row: (row["document"], row["begin"], row["end"], watch.id(row["word"])))


@given(
    st.lists(st.text(st.sampled_from("ab猫大学é '.ก가"), max_size=12), max_size=4),
    st.text(st.sampled_from("ab猫大学é'ก"), min_size=1, max_size=3),
)
def test_spans_in_normal_text_are_the_word(texts: list[str], word: str) -> None:
    assert all(spelling == word for _, spelling in cut(texts, [word]))

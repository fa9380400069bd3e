"""The native normalizer equals Python's `normalize`, whatever stands beside what."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pivotkit import _C
from pivotkit._text import pack_strings
from pivotkit.corpus.matching.normal_form import normalize, normalizer

POLICIES = ["ignore", "keep"]
EVERY = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
# Whatever decomposes, folds, combines or may be left out, the alphabets, and some of everything else.
TELLING = [
    char
    for char in EVERY
    if unicodedata.normalize("NFKD", char) != char or char.casefold() != char or unicodedata.combining(char)
    or ord(char) < 0x3000 or ord(char) % 64 == 0
    if not "\uac00" <= char <= "\ud7a3" or ord(char) % 28 < 2
]  # fmt: skip
# Letters with and without a decomposition, case and width that fold, expansions, and what joins or moves.
STEADY = list(
    "aAéÉßſİıǰﬁΐᾳΣςＡｶか가각한ㄱ猫①㍿क१ა\u1100\u1112\u0f40\u09c7\u0b47\u1025 .\n\u2126\ufdfa\u1e9e😀𝒜\U0001d15e\U00011099\ufffd\u1f80ᾼ"
    "iIịآאִ™²¨\u0385\u1fcd\u1fcf≠⫝̸👩🚀🏴🏽‼ℹ’‑ŀำໜゟ"
)
LEANING = list(
    "\u0300\u0301\u0308\u030a\u0313\u0320\u0323\u0327\u0338\u0342\u0344\u0345\u0359\u035c\u093c\u094d\u09be\u0b57"
    "\u0e38\u0e48\u0eb9\u0f71\u0f72\u0f73\u0f81\u1039\u102e\u1161\u1175\u11a8\u11c2\u302a\u3099\u309a\u0591\u05b0\u064b"
    "\u0651\u0653\u0670\ufb1e\ufe0f\u200d\u20d0\U00011127\U000110ba\U0001d165\U0001e8d0\uff9e\u1ab0\u034f\u180e"
    "\u0307\u0331\u00ad\u200b\u200c\u0640\ufe70\u037a\u3164\uffa0\U000e0067\U000e007f\ufe71"
)


def native(texts: list[str], marks: str = "ignore") -> list[str]:
    data, offsets = normalizer(marks).normalize(*pack_strings(texts))
    raw = data.tobytes()
    return [raw[begin:end].decode() for begin, end in pairwise(offsets)]


@pytest.mark.parametrize("marks", POLICIES)
def test_every_code_point(oracle: Any, marks: str) -> None:
    normal = native(EVERY, marks)
    assert normal == [normalize(text, marks) for text in EVERY]
    assert native(normal, marks) == normal
    known = [place for place, text in enumerate(EVERY) if unicodedata.category(text) != "Cn"]
    for place in known[::7]:
        assert re.sub(r"\s+", " ", normal[place]) == oracle.normalize(EVERY[place], marks), ascii(EVERY[place])


@pytest.mark.parametrize("marks", POLICIES)
def test_telling_code_points_between_letters_and_marks(marks: str) -> None:
    """A mark before and after every code point is what shows that it is stable, open or quiet."""
    for left, right in [("a\u0e38", "\u0323\u0301"), ("\u1100", "\u1161"), ("\u0301", "\u05b0か"), ("👩", "\u200d🚀")]:
        texts = [left + character + right for character in TELLING]
        assert native(texts, marks) == [normalize(text, marks) for text in texts]


def test_every_stable_pair_is_the_two_normal_forms_side_by_side() -> None:
    """The rule that makes it fast, for all pairs of a rich sample; where it fails, the second leans back."""
    sample = STEADY + LEANING
    pairs = [(a, b) for a in sample for b in sample]
    assert native([a + b for a, b in pairs]) == [normalize(a + b) for a, b in pairs]
    joined = {b for a, b in pairs if normalize(a + b) != normalize(a) + normalize(b)}
    assert joined <= set(LEANING)
    assert len(joined) > 20


def test_triples_of_letters_and_marks() -> None:
    texts = [a + b + c for a in STEADY[::3] + LEANING[::2] for b in LEANING for c in LEANING]
    assert native(texts) == list(map(normalize, texts))


@settings(max_examples=600)
@given(st.lists(st.text(st.sampled_from(STEADY + LEANING)) | st.text(), max_size=4))
@example(["a" * 15 + "\u0301" + "B" * 17, "", "\u0301", "\u0301\u0323" * 9])
@example(["\ufdfa" * 50, "İ" * 100, "ΐ" * 99 + "x"])
@example(["𝒜\u0301", "Ａ\u3099\u0301\u0323q", "\u0958\u0323\u094d"])
def test_any_text(texts: list[str]) -> None:
    for marks in POLICIES:
        assert native(texts, marks) == [normalize(text, marks) for text in texts]


@given(st.text(st.sampled_from(STEADY), min_size=1), st.integers(0, 9), st.sampled_from(["NFD", "NFKD", "NFC"]))
def test_decomposed_text_at_every_alignment(text: str, shift: int, form: Any) -> None:
    texts = ["x" * shift + unicodedata.normalize(form, text)]
    assert native(texts) == list(map(normalize, texts))


@settings(max_examples=600)
@given(
    st.lists(st.binary(max_size=3) | st.sampled_from(["é", "e\u0301", "猫", "a", "😀"]).map(str.encode)).map(b"".join)
)
@example(b"\xe7\x8c")
@example(b"a\xf0\x9f\x98")
@example(b"\xed\xa0\x80\xc0\xaf\xe0\x80\x80\xf4\x90\x80\x80\xff")
@example(b"e\xcc\x81\xcc")
def test_ill_formed_bytes_become_replacement_characters_as_in_python(data: bytes) -> None:
    array = np.frombuffer(data, np.uint8)
    normal, offsets = normalizer().normalize(array, np.array([0, len(data)], np.int64))
    assert normal.tobytes().decode() == normalize(data.decode("utf-8", "replace"))
    assert offsets.tolist() == [0, len(normal)]


def test_a_long_tail_of_marks_is_sorted_once() -> None:
    size = 100_000  # Python's own sort of them is quadratic
    texts = ["A" + "\u0301\u0323" * size + "B"]
    assert native(texts) == ["ạ" + "\u0323" * (size - 1) + "\u0301" * size + "b"]


def test_real_text(shared: Any) -> None:
    from pivotkit.corpus import read_documents

    for code in ("en", "de", "fr", "es", "ja", "zh"):
        texts = [
            text for batch in read_documents(shared / "data" / "corpus" / f"{code}.jsonl.zst") for text in batch.texts
        ]
        for sample in (texts[:1000], [unicodedata.normalize("NFD", text) for text in texts[:200]]):
            assert native(sample) == list(map(normalize, sample))


Change = Callable[[dict[str, Any]], None]


def tables() -> dict[str, Any]:
    return {
        "combining": np.zeros(0x110000, np.uint8),
        "decompositions": (np.array([0xE9], np.uint32), np.array([0, 2]), np.array([0x65, 0x301], np.uint32)),
        "foldings": (np.array([0xC9], np.uint32), np.array([0, 1]), np.array([0xE9], np.uint32)),
        "compositions": np.array([[0x65, 0x301, 0xE9]], np.uint32),
        "roles": np.zeros(0x110000, np.uint8),
    }


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("combining", np.zeros(5, np.uint8), "combining must hold one byte for each"),
        ("roles", np.zeros(5, np.uint8), "roles must hold one byte for each"),
        ("roles", np.full(0x110000, 7, np.uint8), "roles must be below 7; got 7"),
        ("compositions", np.zeros((2, 2), np.uint32), r"compositions must have shape \(pairs, 3\)"),
        ("compositions", np.full((1, 3), 0x110000, np.uint32), "compositions must hold code points; got 1114112"),
        ("foldings", (np.array([1 << 21], np.uint32), np.array([0, 1]), np.array([5], np.uint32)), "foldings must hold"),
        ("foldings", (np.array([5], np.uint32), np.array([0, 1]), np.array([1 << 21], np.uint32)), "foldings must hold"),
        ("foldings", (np.array([5], np.uint32), np.array([0, 0]), np.zeros(0, np.uint32)), "must hold no empty text"),
        ("foldings", (np.array([5, 5], np.uint32), np.array([0, 1, 2]), np.array([6, 7], np.uint32)), "must ascend"),
        ("foldings", (np.array([5, 6], np.uint32), np.array([0, 1]), np.array([6], np.uint32)), "one code point for each"),
        ("foldings", (np.array([5], np.uint32), np.array([0, 2]), np.array([6], np.uint32)), "end at 1; got 2"),
    ],
)  # fmt: skip
def test_tables_that_lie_are_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _C.Normalizer(**(tables() | {name: value}))


def test_other_tables_give_other_normal_forms() -> None:
    """Nothing is compiled in: these tables know one letter."""
    data, _ = _C.Normalizer(**tables()).normalize(*pack_strings(["É Ä e\u0301"]))
    assert data.tobytes().decode() == "é Ä é"

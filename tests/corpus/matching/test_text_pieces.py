"""Where lines and sentences begin, in text and in tokens."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from text_pieces import pieces

from pivotkit import _C
from pivotkit._text import pack_strings


def cut(texts: list[str], kind: str) -> list[list[str]]:
    data, offsets = pack_strings(texts)
    ends, firsts = _C.text_pieces(data, offsets, kind)
    raw = data.tobytes()
    found = [raw[begin:end].decode() for begin, end in pairwise(ends.tolist())]
    return [found[begin:end] for begin, end in pairwise(firsts.tolist())]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\n\n a\nb\r\n\r\n c d \n", ["\n\n a\n", "b\r\n\r\n ", "c d \n"]),
        ("a\x85b\u2028c\u2029d\ve", ["a\x85", "b\u2028", "c\u2029", "d\v", "e"]),
        ("", []),
        (" \n ", [" \n "]),
    ],
)
def test_lines(text: str, expected: list[str]) -> None:
    assert cut([text], "line") == [expected]


@pytest.mark.parametrize(
    "sentences",
    [
        ["Hello there. ", '"Why?" ', "He asked."],
        ["A line that\nis wrapped. ", "The next."],
        ["A title\n\n", "A paragraph."],
        ["J. Smith has 3.5 cats, e.g. a tabby."],
        ["你好。", "再见！", "「はい。」", "と言った"],
        ["Это дом. ", "Вот он."],
        ["नमस्ते। ", "कैसे हो?"],
        ["Wait... ", "What?! ", "Yes."],
    ],
)
def test_sentences(sentences: list[str]) -> None:
    assert cut(["".join(sentences)], "sentence") == [sentences]


ALPHABET = "aBc .!?\n\r\"')。！」「\u2029\u3000é1я।»"


@given(st.lists(st.text(ALPHABET, max_size=12), max_size=4), st.sampled_from(["line", "sentence"]))
@example(["！\r!a", "é\n. Bc"], "sentence")
def test_pieces_equal_the_oracle_and_cover_the_text(texts: list[str], kind: str) -> None:
    assert cut(texts, kind) == [pieces(text, kind) for text in texts]


@given(st.binary(max_size=12), st.sampled_from(["line", "sentence"]))
def test_bytes_that_are_no_text_are_covered(raw: bytes, kind: str) -> None:
    data = np.frombuffer(raw, np.uint8)
    ends, firsts = _C.text_pieces(data, np.array([0, len(raw)]), kind)
    assert ends.tolist() == sorted(set(ends.tolist()))
    assert (ends[-1], firsts.tolist()) == (len(raw), [0, len(ends) - 1])


TOKENS = ["", "a", "B", " ", "\n", "\n\n", ". ", ".", " c", "。d", "。", "é"]


@given(
    st.lists(st.lists(st.integers(0, len(TOKENS) - 1), max_size=12), max_size=4),
    st.sampled_from(["line", "sentence"]),
    st.sampled_from([np.uint16, np.uint32]),
)
def test_a_piece_of_tokens_begins_with_the_token_of_its_first_character(
    documents: list[list[int]], kind: str, dtype: Any
) -> None:
    texts, text_offsets = pack_strings(TOKENS)
    offsets = np.cumsum([0, *map(len, documents)]).astype(np.int64)
    ids = np.array([token for document in documents for token in document], dtype)
    ends, firsts = _C.token_pieces(ids, offsets, texts, text_offsets, kind)
    expected, numbers = [0], [0]
    for document, first in zip(documents, offsets.tolist(), strict=False):
        written = [TOKENS[token] for token in document]
        begins = np.cumsum([0, *map(len, written)])[:-1]
        starts = np.cumsum([0, *map(len, pieces("".join(written), kind))])[1:-1]
        expected += [first + int(np.searchsorted(begins, start, "right")) - 1 for start in starts]
        expected += [first + len(document)] * bool(document)
        numbers.append(len(expected) - 1)
    assert ends.tolist() == expected
    assert firsts.tolist() == numbers


@pytest.mark.parametrize("kind", ["line", "sentence"])
def test_a_long_document_is_cut_as_a_short_one(kind: str) -> None:
    """Its text is written in parts, of which one may end within a character or a gap."""
    rng = np.random.default_rng(0)
    characters = "aB. \n。é😀"
    bytes_of = [bytes([byte]) for byte in range(256)]
    text = "".join(rng.choice(list(characters), 100_000))
    raw = np.frombuffer(text.encode(), np.uint8)
    table = np.frombuffer(b"".join(bytes_of), np.uint8), np.arange(257)
    ends, _ = _C.token_pieces(raw.astype(np.uint16), np.array([0, len(raw)]), *table, kind)
    assert ends.tolist() == np.cumsum([0, *(len(part) for part in cut_bytes(raw, kind))]).tolist()


def cut_bytes(raw: np.ndarray, kind: str) -> list[bytes]:
    ends, _ = _C.text_pieces(raw, np.array([0, len(raw)]), kind)
    return [raw[begin:end].tobytes() for begin, end in pairwise(ends.tolist())]


def test_bad_arguments_are_refused() -> None:
    data, offsets = pack_strings(["a"])
    with pytest.raises(ValueError, match="text_pieces: kind must be 'line' or 'sentence'; got 'word'"):
        _C.text_pieces(data, offsets, "word")
    with pytest.raises(IndexError, match=r"token_pieces: tokens must be ids in \[0, 1\); got 1 at 0"):
        _C.token_pieces(np.array([1], np.uint16), np.array([0, 1]), data, offsets, "line")

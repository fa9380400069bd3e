"""Words of texts and token ids, and some in a row: equal where the plain oracle says so, and only there."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from guard_oracle import grams, words_of
from hypothesis import given
from hypothesis import strategies as st

from pivotkit.corpus.reading.text_block import TextBlock, languages
from pivotkit.corpus.reading.token_blocks import TokenBlock
from pivotkit.selection.guard.shingles import Hashed, shingles, text_words, token_words

SCRIPTS = st.sampled_from(list("aéß1 ,.'-_\n中文字ひカー한국ไทยكِति́\u0301Ａﬁ"))
TEXTS = st.lists(st.text(SCRIPTS, max_size=30), min_size=1, max_size=5)


def block_of(texts: list[str]) -> TextBlock:
    packed, none = pa.array(texts, pa.large_string()), pa.nulls(len(texts), pa.large_string())
    (block,) = TextBlock.slices(packed, none, languages(none), np.arange(len(texts)), 1 << 30)
    return block


def lists(hashed: Hashed) -> list[list[int]]:
    return [part.tolist() for part in np.split(hashed.hashes, hashed.offsets[1:-1])]


@given(TEXTS)
def test_equal_words_and_only_those_have_equal_hashes(texts):
    expected = [word for text in texts for word in words_of(text)]
    found = lists(text_words(block_of(texts)))
    assert [len(words_of(text)) for text in texts] == [len(words) for words in found]
    flat = [word for words in found for word in words]
    assert len(set(flat)) == len(set(expected)) == len(set(zip(flat, expected, strict=True)))


@given(TEXTS, st.integers(1, 6))
def test_as_many_different_words_in_a_row_as_the_oracle_finds(texts, length):
    found = lists(shingles(text_words(block_of(texts)), length, short=False))
    words = list(map(words_of, texts))
    assert [len(one) for one in found] == [max(0, len(one) - length + 1) for one in words]
    assert len({one for some in found for one in some}) == len(set().union(*(grams(one, length) for one in words)))


def test_a_short_document_is_one_shingle_where_it_is_asked_for_and_has_words():
    words = text_words(block_of(["a b", "a b", "b a", "...", "a b c d e"]))
    assert [len(one) for one in lists(shingles(words, 5, short=True))] == [1, 1, 1, 0, 1]
    first, same, other, _, _ = lists(shingles(words, 5, short=True))
    assert first == same != other
    assert [len(one) for one in lists(shingles(words, 5, short=False))] == [0, 0, 0, 0, 1]


@pytest.mark.parametrize(("text", "words"), [
    ("Straße STRASSE", 2), ("中文 字", 3), ("カタカナ", 4), ("ไทย", 3), ("l'eau", 2), ("한국어 말", 2), ("e\u0301", 1), ("３４ ²", 2),
])  # fmt: skip
def test_what_is_a_word(text, words):
    assert len(text_words(block_of([text])).hashes) == words == len(words_of(text))


def test_a_token_id_is_a_word():
    block = TokenBlock(np.array([7, 0, 7, 65535], np.uint16), np.array([0, 1, 4]), 0)
    found = token_words(block)
    assert found.offsets.tolist() == [0, 1, 4]
    assert found.hashes[0] == found.hashes[2]
    assert len(set(found.hashes.tolist())) == 3

"""Context tables and token df, from arrays, against dense products."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from pivotkit import _C


def table(counter: _C.ContextCounter, words: int, vocabulary: int) -> Any:
    """The block's table, dense, read in two ranges of rows."""
    dense = np.zeros((words, vocabulary), np.int64)
    for begin, end in ((0, words // 2), (words // 2, words)):
        offsets, tokens, counts = counter.rows(begin, end)
        assert all((np.diff(row) > 0).all() for row in np.split(tokens, offsets[1:-1]))
        dense[np.repeat(np.arange(begin, end), np.diff(offsets)), tokens] = counts
    return dense


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
@pytest.mark.parametrize(
    ("words", "vocabulary", "documents", "length", "capacity"),
    [
        (7, 20, 60, 30, 1 << 20),
        (40, 3000, 700, 300, 1 << 20),
        (40, 3000, 700, 300, 5000),
        (3, 5000, 30, 30, 1),
        (5, 70, 900, 9, 100),
    ],
)
def test_blocks_add_up_to_the_product(
    dtype: Any, words: int, vocabulary: int, documents: int, length: int, capacity: int
) -> None:
    """Frequent tokens are columns of bits and rare ones are ids, words have few and many documents, blocks are small."""
    rng = np.random.default_rng(vocabulary)
    present = rng.random((documents, words)) < 0.3 * rng.random(words)
    sizes = rng.integers(0, length, documents)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    tokens = (rng.zipf(1.3, offsets[-1]) % vocabulary).astype(dtype)
    bags = np.zeros((documents, vocabulary), np.int64)
    bags[np.repeat(np.arange(documents), sizes), tokens] = 1
    hits = [np.flatnonzero(row).astype(np.int32) for row in present]

    counter = _C.ContextCounter(words, vocabulary, capacity)
    total, blocks = np.zeros((words, vocabulary), np.int64), 0
    for begin in range(0, documents, 50):
        end = min(begin + 50, documents)
        of_words = np.cumsum([0, *map(len, hits[begin:end])]).astype(np.int64)
        part = slice(offsets[begin], offsets[end])
        arguments = (of_words, np.concatenate(hits[begin:end]), tokens[part], offsets[begin : end + 1] - offsets[begin])
        taken = counter.add(*arguments)
        while taken < end - begin:
            total += table(counter, words, vocabulary)
            counter.clear()
            blocks += 1
            more = counter.add(*arguments, taken)
            assert more > 0
            taken += more
    total += table(counter, words, vocabulary)
    assert np.array_equal(total, present.astype(np.int64).T @ bags)
    assert np.array_equal(counter.background, bags.sum(0))
    assert (blocks > 0) == (capacity < 1 << 20)


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_token_df_counts_each_token_once_a_document(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 99, 200))]).astype(np.int64)
    tokens = (rng.zipf(1.2, offsets[-1]) % 5000).astype(dtype)
    counter = _C.TokenCounter(5000)
    for begin in (0, 120):
        end = 120 if begin == 0 else 200
        counter.add(tokens[offsets[begin] : offsets[end]], offsets[begin : end + 1] - offsets[begin])
    expected = sum(np.bincount(np.unique(tokens[a:b]), minlength=5000) for a, b in pairwise(offsets))
    assert np.array_equal(counter.df, expected)
    assert (counter.documents, counter.tokens) == (200, len(tokens))


@pytest.mark.parametrize("counted", ["tokens", "contexts"])
def test_documents_beyond_the_width_of_a_counter_are_counted(counted: str) -> None:
    """More than twice 65,535 documents, of which the first 65,536 all have token 0."""
    size, rng = 140_000, np.random.default_rng(1)
    documents = np.stack([np.where(np.arange(size) < 65_536, 0, 1), rng.integers(2, 5, size)], 1).astype(np.uint16)
    offsets = np.arange(0, 2 * size + 1, 2)
    expected = np.bincount(documents.ravel(), minlength=6)
    if counted == "tokens":
        tokens = _C.TokenCounter(6)
        tokens.add(documents.ravel(), offsets)
        assert np.array_equal(tokens.df, expected)
        tokens.add(documents.ravel(), offsets)
        assert np.array_equal(tokens.df, 2 * expected)
    else:
        contexts = _C.ContextCounter(1, 6, 1 << 24)
        assert contexts.add(np.arange(size + 1), np.zeros(size, np.int32), documents.ravel(), offsets) == size
        assert np.array_equal(contexts.background, expected)
        assert contexts.rows(0, 1)[2].tolist() == expected[expected > 0].tolist()


def test_bad_input_is_refused_before_anything_is_counted() -> None:
    counter = _C.ContextCounter(3, 5, 100)
    one, none = np.array([0, 1]), np.array([0, 0])
    words, tokens = np.array([0], np.int32), np.array([4], np.uint16)
    with pytest.raises(IndexError, match=r"tokens must be ids in \[0, 5\); got 5 at 0"):
        counter.add(one, words, np.array([5], np.uint16), one)
    with pytest.raises(IndexError, match=r"words must be word ids in \[0, 3\); got 3"):
        counter.add(one, np.array([3], np.int32), tokens, one)
    with pytest.raises(ValueError, match="token_offsets must describe 1 documents; got 2"):
        counter.add(one, words, tokens, np.array([0, 1, 1]))
    with pytest.raises(ValueError, match="must begin at 0, never decrease and end at 1"):
        counter.add(one, words, tokens, none)
    with pytest.raises(TypeError, match="tokens must be uint16 or uint32; got int64"):
        counter.add(one, words, np.array([4]), one)
    with pytest.raises(ValueError, match="from must be within the documents; got 2"):
        counter.add(one, words, tokens, one, 2)
    with pytest.raises(ValueError, match=r"rows must be a range within 3 words; got 2\.\.4"):
        counter.rows(2, 4)
    with pytest.raises(ValueError, match=r"words and vocabulary must be in \[1, 2\^31\)"):
        _C.ContextCounter(3, 0, 100)
    assert not counter.background.any()
    with pytest.raises(IndexError, match=r"TokenCounter: tokens must be ids in \[0, 5\); got 7 at 1"):
        _C.TokenCounter(5).add(np.array([4, 7], np.uint16), np.array([0, 2]))

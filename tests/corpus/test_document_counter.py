"""The native counter, called with arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pivotkit import _C

NO_PAIRS = np.zeros((0, 2), np.int32)


def arrays(documents: list[dict[int, int]]) -> tuple[Any, Any, Any]:
    offsets = np.cumsum([0, *map(len, documents)], dtype=np.int64)
    words = np.array([word for hits in documents for word in sorted(hits)], np.int32)
    counts = np.array([hits[word] for hits in documents for word in sorted(hits)], np.int32)
    return offsets, words, counts


def ids(documents: list[list[int]]) -> tuple[Any, Any]:
    offsets = np.cumsum([0, *map(len, documents)], dtype=np.int64)
    return np.array([i for document in documents for i in document], np.uint32), offsets


def dense(counter: _C.DocumentCounter, words: int, vocabulary: int) -> Any:
    offsets, tokens, counts = counter.context(0, words)
    table = np.zeros((words, vocabulary), np.int64)
    table[np.repeat(np.arange(words), np.diff(offsets)), tokens] = counts
    return table


@pytest.mark.parametrize(("words", "vocabulary", "documents"), [(7, 20, 60), (40, 300, 200), (3, 5000, 30)])
def test_counts_equal_dense_products(words: int, vocabulary: int, documents: int) -> None:
    rng = np.random.default_rng(words)
    occurrences = rng.integers(1, 5, (documents, words)) * (rng.random((documents, words)) < 0.2)
    tokens = [rng.integers(0, vocabulary, rng.integers(0, 30)).tolist() for _ in range(documents)]
    pairs = rng.integers(0, words, (3 * words, 2)).astype(np.int32)
    pairs = np.concatenate([pairs, pairs[:2], pairs[:2, ::-1], [[1, 1]]]).astype(np.int32)
    counter = _C.DocumentCounter(words, pairs, vocabulary, 10)
    hits = [{int(w): int(row[w]) for w in np.nonzero(row)[0]} for row in occurrences]
    for begin in range(0, documents, 17):  # in portions
        counter.add(*arrays(hits[begin : begin + 17]), *ids(tokens[begin : begin + 17]))

    present = (occurrences > 0).astype(np.int64)
    bags = np.zeros((documents, vocabulary), np.int64)
    for document, row in enumerate(tokens):
        bags[document, row] = 1
    together = present.T @ present
    assert counter.documents == documents
    assert np.array_equal(counter.df, present.sum(0))
    assert np.array_equal(counter.tf, occurrences.sum(0))
    assert np.array_equal(counter.pair_df, together[pairs[:, 0], pairs[:, 1]])
    assert np.array_equal(counter.background, bags.sum(0))
    assert np.array_equal(dense(counter, words, vocabulary), present.T @ bags)
    part = counter.context(1, 3)
    assert len(part[0]) == 3
    sizes = np.diff(counter.context(0, words)[0])
    assert (sizes <= counter.context_bounds()).all()
    for row in np.split(counter.context(0, words)[1], np.cumsum(sizes)[:-1]):
        assert (np.diff(row) > 0).all()


def test_a_hub_word_counts_all_its_pairs() -> None:
    words = 500
    pairs = np.array([[0, word] for word in range(words)], np.int32)
    counter = _C.DocumentCounter(words, pairs)
    counter.add(*arrays([{0: 1, 3: 2}, {0: 1}, {3: 1}, {0: 1, 3: 1, 499: 1}]))
    expected = np.zeros(words, np.int64)
    expected[[0, 3, 499]] = 3, 2, 1
    assert np.array_equal(counter.pair_df, expected)


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [
        (np.array([[0, 3]], np.int32), IndexError, r"pairs must be word ids in \[0, 3\); got 3"),
        (np.array([[-1, 0]], np.int32), IndexError, "got -1"),
        (np.zeros((2, 3), np.int32), ValueError, "pairs must have shape"),
        (np.zeros((2, 2), np.int64), TypeError, "incompatible"),
    ],
)
def test_pairs_are_checked(pairs: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        _C.DocumentCounter(3, pairs)


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"words, pairs and vocabulary must be below 2\^31"):
        _C.DocumentCounter(2, NO_PAIRS, 2**31)


@pytest.mark.parametrize(
    ("offsets", "words", "counts", "error", "message"),
    [
        ([0, 1], [3], [1], IndexError, r"words must be word ids in \[0, 3\); got 3"),
        ([0, 2], [1, 1], [1, 1], ValueError, "words of a document must ascend; got 1, 1"),
        ([0, 1], [1], [0], ValueError, "counts must be positive; got 0"),
        ([0, 1], [1], [1, 1], ValueError, "counts must be as many as words"),
        ([0, 2], [1], [1], ValueError, "offsets must begin at 0, never decrease and end at 1"),
    ],
)
def test_hits_are_checked_before_anything_is_counted(
    offsets: list[int], words: list[int], counts: list[int], error: type[Exception], message: str
) -> None:
    counter = _C.DocumentCounter(3, NO_PAIRS)
    with pytest.raises(error, match=message):
        counter.add(np.array(offsets, np.int64), np.array(words, np.int32), np.array(counts, np.int32))
    assert counter.documents == 0


def test_tokens_are_checked_before_anything_is_counted() -> None:
    counter = _C.DocumentCounter(3, NO_PAIRS, 5)
    hits = arrays([{0: 1}])
    with pytest.raises(IndexError, match=r"tokens must be ids in \[0, 5\); got 5"):
        counter.add(*hits, *ids([[5]]))
    with pytest.raises(ValueError, match="token_offsets must describe 1 documents; got 2"):
        counter.add(*hits, *ids([[1], [2]]))
    with pytest.raises(ValueError, match="must come together"):
        counter.add(*hits, ids([[1]])[0])
    with pytest.raises(ValueError, match="documents must come with tokens"):
        counter.add(*hits)
    with pytest.raises(TypeError, match="contiguous uint32"):
        counter.add(*hits, np.array([1]), np.array([0, 1]))
    with pytest.raises(ValueError, match=r"rows must be a range within 3 words; got 2\.\.4"):
        counter.context(2, 4)
    assert counter.documents == 0

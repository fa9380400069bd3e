"""The native counters, called with arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pivotkit import _C

NO_PAIRS = np.zeros((0, 2), np.int32)


@pytest.fixture(params=["scalar", ""], ids=["portable", "default"])
def instructions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Companions are filtered where one instruction does it; both ways must count the same."""
    if request.param:
        monkeypatch.setenv("PIVOTKIT_ISA", request.param)


def arrays(documents: list[dict[int, int]]) -> tuple[Any, Any, Any]:
    offsets = np.cumsum([0, *map(len, documents)], dtype=np.int64)
    words = np.array([word for hits in documents for word in hits], np.int32)
    counts = np.array([times for hits in documents for times in hits.values()], np.int32)
    return offsets, words, counts


@pytest.mark.usefixtures("instructions")
@pytest.mark.parametrize(
    ("words", "documents", "share", "pairs"), [(7, 60, 0.2, 21), (40, 3000, 0.5, 3000), (300, 9000, 0.05, 90)]
)
def test_counts_equal_dense_products(words: int, documents: int, share: float, pairs: int) -> None:
    """Few and many pairs, few and many hits: documents are counted by edges and by product, and edges move meanwhile."""
    rng = np.random.default_rng(words)
    occurrences = rng.integers(1, 5, (documents, words)) * (rng.random((documents, words)) < share * rng.random(words))
    listed = rng.integers(0, words, (pairs, 2)).astype(np.int32)
    listed = np.concatenate([listed, listed[:2], listed[:2, ::-1], [[1, 1]]]).astype(np.int32)
    counter = _C.DocumentCounter(words, listed)
    hits = [{int(w): int(row[w]) for w in rng.permutation(np.nonzero(row)[0])} for row in occurrences]
    for begin in range(0, documents, 170):  # in portions
        counter.add(*arrays(hits[begin : begin + 170]))
    present = (occurrences > 0).astype(np.int64)
    together = present.T @ present
    assert counter.documents == documents
    assert np.array_equal(counter.df, present.sum(0))
    assert np.array_equal(counter.tf, occurrences.sum(0))
    assert np.array_equal(counter.pair_df, together[listed[:, 0], listed[:, 1]])
    counter.add(*arrays(hits[:5]))  # what was read goes on
    assert np.array_equal(counter.pair_df, (together + present[:5].T @ present[:5])[listed[:, 0], listed[:, 1]])
    counter.clear()
    assert (counter.documents, counter.df.sum(), counter.pair_df.sum()) == (0, 0, 0)
    counter.add(*arrays(hits))
    assert np.array_equal(counter.df, present.sum(0))
    assert np.array_equal(counter.pair_df, together[listed[:, 0], listed[:, 1]])


def test_a_hub_word_counts_all_its_pairs() -> None:
    words = 500
    pairs = np.array([[0, word] for word in range(words)], np.int32)
    counter = _C.DocumentCounter(words, pairs)
    counter.add(*arrays([{0: 1, 3: 2}, {0: 1}, {3: 1}, {0: 1, 3: 1, 499: 1}]))
    expected = np.zeros(words, np.int64)
    expected[[0, 3, 499]] = 3, 2, 1
    assert np.array_equal(counter.pair_df, expected)


Sets = st.lists(st.sets(st.integers(0, 9)), max_size=12)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=80), Sets, Sets)
def test_pairs_equal_brute_force(listed: list[tuple[int, int]], first: list[set[int]], second: list[set[int]]) -> None:
    """Pairs listed twice, either way round, of a word with itself; words in no pair; documents with most words."""
    pairs = np.array(listed, np.int32).reshape(-1, 2)
    counter = _C.DocumentCounter(10, pairs)
    for added in (first, first + second):
        counter.add(*arrays([dict.fromkeys(words, 1) for words in (first if added is first else second)]))
        assert counter.pair_df.tolist() == [sum({a, b} <= words for words in added) for a, b in listed]


@pytest.mark.usefixtures("instructions")
def test_a_document_of_more_words_than_are_counted_at_once() -> None:
    words = 2150
    pairs = np.stack(np.triu_indices(words), 1).astype(np.int32)
    counter = _C.DocumentCounter(words, pairs)
    rng = np.random.default_rng(0)
    present = rng.random((40, words)) < np.linspace(0.01, 1.2, 40)[:, None]
    counter.add(*arrays([dict.fromkeys(np.nonzero(row)[0].tolist(), 1) for row in present]))
    together = present.T.astype(np.float32) @ present.astype(np.float32)
    assert present[-1].all()
    assert np.array_equal(counter.pair_df, together[pairs[:, 0], pairs[:, 1]])


@pytest.mark.usefixtures("instructions")
def test_a_pair_in_more_documents_of_a_block_than_16_bits_count() -> None:
    """Edges are arranged last after 65,536 of these documents; the block of then is of 80,000."""
    words, documents = 700, 65_536 + 80_000
    pairs = np.stack(np.triu_indices(words), 1).astype(np.int32)
    rng = np.random.default_rng(0)
    rare = rng.integers(0, 232, (documents, 3)) * 3 + [2, 3, 4]
    hits = np.concatenate([np.tile([0, 1], (documents, 1)), rare], 1).astype(np.int32)
    counter = _C.DocumentCounter(words, pairs)
    counter.add(np.arange(documents + 1) * 5, hits.ravel(), np.ones(hits.size, np.int32))
    expected = np.zeros((words, words), np.int64)
    for i in range(5):
        for j in range(i, 5):
            np.add.at(expected, (np.minimum(hits[:, i], hits[:, j]), np.maximum(hits[:, i], hits[:, j])), 1)
    assert expected[0, 0] == expected[0, 1] == documents
    assert np.array_equal(counter.pair_df, expected[pairs[:, 0], pairs[:, 1]])


@pytest.mark.usefixtures("instructions")
def test_more_words_than_16_bits_number() -> None:
    """The words of the documents have the fewest pairs, and so the last numbers of 70,000 until edges are arranged."""
    words, group = 70_000, 8
    others = words - group
    first, second = np.triu_indices(group)
    ring = np.arange(others)
    steps = [np.stack([ring, (ring + step) % others], 1) for step in range(1, 6)]
    pairs = np.concatenate([np.stack([others + second, others + first], 1), *steps]).astype(np.int32)
    present = np.random.default_rng(0).random((1000, group)) < 0.6
    counter = _C.DocumentCounter(words, pairs)
    counter.add(*arrays([dict.fromkeys((others + np.nonzero(row)[0]).tolist(), 1) for row in present]))
    together = present.T.astype(np.int64) @ present
    assert np.array_equal(counter.pair_df[: len(first)], together[first, second])
    assert not counter.pair_df[len(first) :].any()


Places = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 6)), min_size=1, max_size=8, unique_by=lambda place: place[0]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.dictionaries(st.integers(0, 4), Places, max_size=5), min_size=1, max_size=4), st.integers(1, 20))
def test_windows_hold_an_occurrence_of_each_word_whole(
    documents: list[dict[int, list[tuple[int, int]]]], window: int
) -> None:
    pairs = np.array([(a, b) for a in range(5) for b in range(a, 5)], np.int32)
    counter = _C.DocumentCounter(5, pairs, window)
    hits = [{word: sorted(places) for word, places in document.items()} for document in documents]
    flat = [place for document in hits for places in document.values() for place in places]
    sizes = [len(places) for document in hits for places in document.values()]
    starts = np.array([start for start, _ in flat], np.int32)
    ends = np.array([start + size for start, size in flat], np.int32)
    offsets, words, counts = arrays([{word: len(places) for word, places in document.items()} for document in hits])
    counter.add(offsets, words, counts, (np.cumsum([0, *sizes], dtype=np.int64), starts, ends))
    expected = [
        sum(
            any(max(i + m, j + n) - min(i, j) <= window for i, m in document.get(a, []) for j, n in document.get(b, []))
            for document in hits
        )
        for a, b in pairs.tolist()
    ]
    assert counter.pair_df.tolist() == expected


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
    with pytest.raises(ValueError, match=r"words must be below 2\^31"):
        _C.DocumentCounter(2**31, NO_PAIRS)
    with pytest.raises(ValueError, match="window must not be negative; got -1"):
        _C.DocumentCounter(2, NO_PAIRS, -1)


@pytest.mark.parametrize(
    ("offsets", "words", "counts", "error", "message"),
    [
        ([0, 1], [3], [1], IndexError, r"words must be word ids in \[0, 3\); got 3"),
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


def test_a_word_that_comes_twice_in_a_document_is_refused() -> None:
    with pytest.raises(ValueError, match="words of a document must be distinct; got 1 twice"):
        _C.DocumentCounter(3, NO_PAIRS).add(np.array([0, 2]), np.array([1, 1], np.int32), np.array([1, 1], np.int32))


def test_windows_want_places() -> None:
    counter = _C.DocumentCounter(3, NO_PAIRS, 5)
    hits = arrays([{0: 2}])
    with pytest.raises(ValueError, match="places must come with a window; got none"):
        counter.add(*hits)
    with pytest.raises(ValueError, match="places must be as many as counts; got others at hit 0"):
        counter.add(*hits, (np.array([0, 1]), np.zeros(1, np.int32), np.ones(1, np.int32)))

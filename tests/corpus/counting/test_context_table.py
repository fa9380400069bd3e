"""The sum of context tables in memory, against dense products and against the merge of the blocks' own row files."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pivotkit import _C
from pivotkit.corpus.tables.context_table import NAMES, open_context
from pivotkit.errors import CorpusError

CHUNK = 1 << 20  # RowStore::kChunk


class Documents(NamedTuple):
    """Distinct hit words and token ids of each document."""

    hits: list[np.ndarray]
    tokens: list[np.ndarray]

    def table(self, words: int, vocabulary: int) -> Any:
        table = np.zeros((words, vocabulary), np.int64)
        for hits, tokens in zip(self.hits, self.tokens, strict=True):
            table[np.ix_(hits, np.unique(tokens))] += 1
        return table


def random_documents(words: int, vocabulary: int, seed: int, documents: int, length: int) -> Documents:
    """Some words are in no document, some in most; tokens follow Zipf."""
    rng = np.random.default_rng(seed)
    present = rng.random((documents, words)) < rng.choice([0.0, 0.05, 0.7], words)
    sizes = rng.integers(0, length, documents)
    dtype = np.uint16 if vocabulary <= 1 << 16 else np.uint32
    return Documents(
        [np.flatnonzero(row).astype(np.int32) for row in present],
        [(rng.zipf(1.2, size) % vocabulary).astype(dtype) for size in sizes],
    )


def blocks(counter: _C.ContextCounter, documents: Documents) -> Iterator[None]:
    """Stops whenever the block is full, and at the end; the caller clears the block."""
    offsets = np.cumsum([0, *map(len, documents.hits)]).astype(np.int64)
    token_offsets = np.cumsum([0, *map(len, documents.tokens)]).astype(np.int64)
    arguments = offsets, np.concatenate(documents.hits), np.concatenate(documents.tokens), token_offsets
    at = 0
    while (at := at + counter.add(*arguments, at)) < len(documents.hits):
        yield
    yield


def filled(words: int, vocabulary: int, documents: Documents) -> _C.ContextCounter:
    counter = _C.ContextCounter(words, vocabulary, 1 << 24)
    assert len([None for _ in blocks(counter, documents)]) == 1
    return counter


def dense(table: _C.ContextTable, words: int, vocabulary: int, folder: Path) -> Any:
    path = folder / "table.rows"
    assert table.write(str(path)) == path.stat().st_size
    _C.check_rows(str(path), words, vocabulary)
    folder = folder / "table"
    folder.mkdir(exist_ok=True)
    indptr, tokens, df = (str(folder / f"{name}.npy") for name in NAMES)
    _C.merge_to_csr([str(path)], words, vocabulary, 1 << 20, 1, tokens, df, indptr)
    return open_context(folder, words, vocabulary).toarray()


def segment_bytes(path: Path, words: int) -> int:
    """The bytes of the rows of a row file without their checksums."""
    offsets = np.frombuffer(path.read_bytes()[-24 - 8 * (words + 1) : -24], "<u8").astype(np.int64)
    return int(offsets[-1]) - 8 * np.count_nonzero(np.diff(offsets))


def write_twice(path: Path, twice: Path, words: int, vocabulary: int) -> Path:
    _C.merge_to_rows([str(path), str(path)], words, vocabulary, 1 << 20, str(twice))
    return twice


@pytest.mark.parametrize(
    ("words", "vocabulary", "documents", "length", "capacity"),
    [
        (9, 30, 80, 20, 1),
        (30, 3000, 400, 300, 3000),
        (30, 3000, 400, 60, 1 << 20),
        (500, 9000, 60, 50, 700),
        (12, 70_000, 60, 8000, 30_000),
        (70, 70_000, 30, 200, 1),
    ],
)
def test_blocks_add_up_to_the_product_and_to_the_bytes_of_their_merged_files(
    words: int, vocabulary: int, documents: int, length: int, capacity: int, tmp_path: Path
) -> None:
    """Columns of 2 and of 4 bytes; a block of one document, of some and of all; rows counted, sorted and copied."""
    counter, table = _C.ContextCounter(words, vocabulary, capacity), _C.ContextTable(words, vocabulary)
    total, paths = np.zeros((words, vocabulary), np.int64), []
    for seed in range(3):
        unit = random_documents(words, vocabulary, seed, documents, length)
        total += unit.table(words, vocabulary)
        for _ in blocks(counter, unit):
            paths.append(str(tmp_path / f"{len(paths)}.rows"))
            counter.write(paths[-1])
            table.add(counter)
            assert not counter.rows(0, words)[1].size
            counter.clear()  # its rows were read
    assert (len(paths) > 3) == (capacity < 1 << 20)
    assert np.array_equal(dense(table, words, vocabulary, tmp_path), total)
    _C.merge_to_rows(paths, words, vocabulary, 1 << 20, str(tmp_path / "merged.rows"))
    assert (tmp_path / "table.rows").read_bytes() == (tmp_path / "merged.rows").read_bytes()


def test_row_files_add_up_with_blocks(tmp_path: Path) -> None:
    words, vocabulary = 40, 2000
    table, total = _C.ContextTable(words, vocabulary), np.zeros((words, vocabulary), np.int64)
    for seed in range(6):
        unit = random_documents(words, vocabulary, seed, 50, 100)
        total += unit.table(words, vocabulary)
        counter = filled(words, vocabulary, unit)
        if seed % 2 == 0:
            table.add(counter)
        else:
            counter.write(str(tmp_path / "block.rows"))
            table.add_rows(str(tmp_path / "block.rows"))
    assert np.array_equal(dense(table, words, vocabulary, tmp_path), total)


@pytest.mark.parametrize("documents", [21_846, 32_767, 32_768, 40_000])
def test_totals_grow_from_2_bytes_to_4(documents: int, tmp_path: Path) -> None:
    """Three times 21,846 is past 65,535, twice 32,767 is not and twice 32,768 is."""
    rows = np.arange(documents)
    unit = Documents([np.zeros(1, np.int32)] * documents, list(np.stack([0 * rows, 1 + rows % 3], 1).astype(np.uint16)))
    counter, table = _C.ContextCounter(2, 5, 1 << 24), _C.ContextTable(2, 5)
    for times in range(1, 4):
        for _ in blocks(counter, unit):
            table.add(counter)
        assert np.array_equal(dense(table, 2, 5, tmp_path), times * unit.table(2, 5))


def test_totals_of_8_bytes_add_up(tmp_path: Path) -> None:
    """No block of a test reaches 2^32 documents: its row file is doubled, and then added."""
    words, vocabulary = 6, 500
    unit = random_documents(words, vocabulary, 3, 100, 200)
    path = tmp_path / "0.rows"
    filled(words, vocabulary, unit).write(str(path))
    for doubling in range(1, 41):
        path = write_twice(path, tmp_path / f"{doubling}.rows", words, vocabulary)
        if doubling not in (20, 25, 32, 40):
            continue
        table, more = _C.ContextTable(words, vocabulary), random_documents(words, vocabulary, doubling, 100, 200)
        table.add(filled(words, vocabulary, unit))
        table.add_rows(str(path))
        table.add(filled(words, vocabulary, more))
        expected = unit.table(words, vocabulary) * (1 + (1 << doubling)) + more.table(words, vocabulary)
        assert np.array_equal(dense(table, words, vocabulary, tmp_path), expected)


def test_an_addition_that_fails_ends_the_table_and_keeps_the_block(tmp_path: Path) -> None:
    """The powers of two below 2^63 add up to the largest total; the next document is too many."""
    unit = Documents([np.array([1], np.int32)], [np.array([2], np.uint16)])
    counter, table = filled(3, 4, unit), _C.ContextTable(3, 4)
    path = tmp_path / "0.rows"
    counter.write(str(path))
    for doubling in range(1, 64):
        table.add_rows(str(path))
        if doubling < 63:
            path = write_twice(path, tmp_path / f"{doubling}.rows", 3, 4)
    assert dense(table, 3, 4, tmp_path)[1, 2] == (1 << 63) - 1
    with pytest.raises(OverflowError, match=r"every total must stay below 2\^63"):
        table.add(counter)
    assert table.nbytes == 0
    assert counter.rows(0, 3)[1].tolist() == [2]
    kept = (tmp_path / "table.rows").read_bytes()
    for call in (
        lambda: table.add(counter),
        lambda: table.add_rows(str(path)),
        lambda: table.write(str(tmp_path / "table.rows")),
    ):
        with pytest.raises(RuntimeError, match="the table must be cleared after an addition that failed"):
            call()
    assert (tmp_path / "table.rows").read_bytes() == kept
    table.clear()
    table.add(counter)
    assert np.array_equal(dense(table, 3, 4, tmp_path), unit.table(3, 4))


def test_a_damaged_file_is_refused_and_ends_the_table(tmp_path: Path) -> None:
    path, table = tmp_path / "a.rows", _C.ContextTable(9, 30)
    unit = random_documents(9, 30, 0, 40, 20)
    filled(9, 30, unit).write(str(path))
    with pytest.raises(FileNotFoundError):
        table.add_rows(str(tmp_path / "b.rows"))
    table.add_rows(str(path))
    assert np.array_equal(dense(table, 9, 30, tmp_path), unit.table(9, 30))
    raw = bytearray(path.read_bytes())
    raw[20] ^= 1
    path.write_bytes(raw)
    with pytest.raises(CorpusError, match=r"a\.rows, row \d: must be as it was written"):
        table.add_rows(str(path))
    with pytest.raises(RuntimeError, match="write: the table must be cleared after an addition that failed"):
        table.write(str(path))


def test_rows_larger_than_a_chunk_and_rows_across_chunks_are_whole(tmp_path: Path) -> None:
    """Every token in a document of every other word: rows of 1.8 MB between rows of a few bytes."""
    words, vocabulary = 7, 300_000
    everything = np.arange(vocabulary, dtype=np.uint32)
    large = Documents([np.arange(0, words, 2, dtype=np.int32)] * 2, [everything, everything[::3]])
    small = Documents([np.array([2, 3, 6], np.int32)], [everything[5:9]])
    table, total = _C.ContextTable(words, vocabulary), np.zeros((words, vocabulary), np.int64)
    for unit in (small, large, small, large, large, small):
        table.add(filled(words, vocabulary, unit))
        total += unit.table(words, vocabulary)
        assert np.array_equal(dense(table, words, vocabulary, tmp_path), total)
        size = segment_bytes(tmp_path / "table.rows", words)
        assert table.nbytes == -(-size // CHUNK) * CHUNK
    assert table.nbytes > 6 * CHUNK


def test_memory_is_that_of_the_rows_and_clear_gives_it_back(tmp_path: Path) -> None:
    words, vocabulary = 300, 5000
    table, sizes = _C.ContextTable(words, vocabulary), [0]
    assert table.nbytes == 0
    for seed in range(8):
        table.add(filled(words, vocabulary, random_documents(words, vocabulary, seed, 100, 3000)))
        table.write(str(tmp_path / "table.rows"))
        assert table.nbytes == -(-segment_bytes(tmp_path / "table.rows", words) // CHUNK) * CHUNK
        sizes.append(table.nbytes)
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[1] > 0
    table.clear()
    assert table.nbytes == 0
    unit = random_documents(words, vocabulary, 9, 20, 100)
    table.add(filled(words, vocabulary, unit))
    assert table.nbytes == CHUNK
    assert np.array_equal(dense(table, words, vocabulary, tmp_path), unit.table(words, vocabulary))


@pytest.mark.parametrize("limit", [0, 2 * CHUNK, 5 * CHUNK])
def test_a_block_larger_than_the_limit_is_added_in_parts(limit: int, tmp_path: Path) -> None:
    """A part passes the limit by one row and the chunks at its ends."""
    words, vocabulary = 300, 60_000
    unit = random_documents(words, vocabulary, 1, 100, 30_000)
    whole, table = _C.ContextTable(words, vocabulary), _C.ContextTable(words, vocabulary)
    paths, peaks = [], []
    for _ in range(2):  # the second time, old rows wait
        assert whole.add(filled(words, vocabulary, unit)) == words
        counter, word, parts = filled(words, vocabulary, unit), 0, 0
        while (word := table.add(counter, word, limit)) < words:
            peaks.append(table.nbytes)
            paths.append(str(tmp_path / f"{len(paths)}.rows"))
            table.write(paths[-1])
            table.clear()
            parts += 1
        assert not counter.rows(0, words)[1].size
    assert parts > 2
    assert limit < max(peaks) <= limit + 5 * CHUNK < whole.nbytes
    paths.append(str(tmp_path / "rest.rows"))
    table.write(paths[-1])
    _C.merge_to_rows(paths, words, vocabulary, 1 << 20, str(tmp_path / "merged.rows"))
    whole.write(str(tmp_path / "whole.rows"))
    assert (tmp_path / "merged.rows").read_bytes() == (tmp_path / "whole.rows").read_bytes()
    with pytest.raises(ValueError, match=f"add: begin must be below {words}; got {words}"):
        table.add(counter, words)


def test_an_empty_block_changes_nothing_and_an_empty_table_is_written(tmp_path: Path) -> None:
    counter, table = _C.ContextCounter(3, 5, 100), _C.ContextTable(3, 5)
    table.add(counter)
    assert table.nbytes == 0
    assert not dense(table, 3, 5, tmp_path).any()
    unit = Documents([np.array([1], np.int32)], [np.array([2], np.uint16)])
    table.add(filled(3, 5, unit))
    assert not counter.rows(0, 3)[1].size
    table.add(counter)
    for _ in blocks(counter, unit):  # an empty block whose rows were read takes documents again
        table.add(counter)
    assert np.array_equal(dense(table, 3, 5, tmp_path), 2 * unit.table(3, 5))


def test_a_counter_of_other_words_or_tokens_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    unit = Documents([np.array([1], np.int32)], [np.array([2], np.uint16)])
    table = _C.ContextTable(3, 5)
    table.add(filled(3, 5, unit))
    for words, vocabulary in ((4, 5), (3, 6)):
        counter = filled(words, vocabulary, unit)
        with pytest.raises(ValueError, match=f"add: counter must be of 3 words and 5 tokens; got {words} and"):
            table.add(counter)
        assert counter.rows(0, words)[1].tolist() == [2]
    assert np.array_equal(dense(table, 3, 5, tmp_path), unit.table(3, 5))
    for sizes in ((0, 5), (3, 0), (1 << 31, 5), (3, 1 << 31)):
        with pytest.raises(ValueError, match=r"ContextTable: words and vocabulary must be in \[1, 2\^31\); got"):
            _C.ContextTable(*sizes)


WORDS, VOCABULARY = 4, 200
DOCUMENTS = st.lists(
    st.tuples(st.sets(st.integers(0, WORDS - 1)), st.sets(st.integers(0, VOCABULARY - 1), max_size=30)), min_size=1
)


@settings(max_examples=60, deadline=None)
@given(units=st.lists(DOCUMENTS, max_size=5), capacity=st.integers(1, 300), cleared=st.integers(0, 5))
def test_any_blocks_add_up_since_the_table_was_cleared(units: Sequence[Any], capacity: int, cleared: int) -> None:
    counter, table = _C.ContextCounter(WORDS, VOCABULARY, capacity), _C.ContextTable(WORDS, VOCABULARY)
    total = np.zeros((WORDS, VOCABULARY), np.int64)
    for number, unit in enumerate(units):
        if number == cleared:
            table.clear()
            total[:] = 0
        documents = Documents(
            [np.array(sorted(hits), np.int32) for hits, _ in unit],
            [np.array(list(tokens), np.uint16) for _, tokens in unit],
        )
        total += documents.table(WORDS, VOCABULARY)
        for _ in blocks(counter, documents):
            table.add(counter)
    with tempfile.TemporaryDirectory() as folder:
        assert np.array_equal(dense(table, WORDS, VOCABULARY, Path(folder)), total)


def test_threads_that_add_and_write_at_once_see_whole_tables(tmp_path: Path) -> None:
    """Two threads add blocks of two counters, one of them shared; a third writes, and reads what it wrote."""
    words, vocabulary, rounds = 30, 2000, 12
    unit = random_documents(words, vocabulary, 0, 30, 200)
    once = unit.table(words, vocabulary)
    table, shared = _C.ContextTable(words, vocabulary), _C.ContextCounter(words, vocabulary, 1 << 20)
    failures: list[BaseException] = []

    def guarded(work: Any) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                failures.append(error)

        return threading.Thread(target=run)

    def add() -> None:
        for _ in range(rounds):
            own = filled(words, vocabulary, unit)
            table.add(shared)
            table.add(own)

    def write() -> None:
        for _ in range(rounds):
            got = dense(table, words, vocabulary, tmp_path)
            assert np.array_equal(got, once * (got.max() // once.max()))
            assert table.nbytes % CHUNK == 0

    threads = [guarded(work) for work in (add, add, write)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert np.array_equal(dense(table, words, vocabulary, tmp_path), once * 2 * rounds)

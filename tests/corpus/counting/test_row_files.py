"""Sparse rows in files and their sum, against dense sums; whatever was altered is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pivotkit import _C
from pivotkit.corpus.tables.context_table import NAMES, open_context
from pivotkit.errors import CorpusError


def write_rows(path: Path, words: int, vocabulary: int, seed: int, documents: int = 40) -> Any:
    """A context table of random documents in a row file, and the same dense."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, vocabulary // 3, documents)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    tokens = (rng.zipf(1.3, offsets[-1]) % vocabulary).astype(np.uint32)
    present = rng.random((documents, words)) < 0.4 * rng.random(words)  # some words in no document
    hits = [np.flatnonzero(row).astype(np.int32) for row in present]
    counter = _C.ContextCounter(words, vocabulary, 1 << 20)
    of_words = np.cumsum([0, *map(len, hits)]).astype(np.int64)
    assert counter.add(of_words, np.concatenate(hits), tokens, offsets) == documents
    assert counter.write(str(path)) == path.stat().st_size
    bags = np.zeros((documents, vocabulary), np.int64)
    bags[np.repeat(np.arange(documents), sizes), tokens] = 1
    return present.astype(np.int64).T @ bags


def merge(paths: list[Path], words: int, vocabulary: int, out: Path, memory: int = 1 << 20, threads: int = 1) -> Any:
    out.mkdir(exist_ok=True)
    indptr, tokens, df = (str(out / f"{name}.npy") for name in NAMES)
    cells = _C.merge_to_csr([*map(str, paths)], words, vocabulary, memory, threads, tokens, df, indptr)
    table = open_context(out, words, vocabulary)
    assert table.nnz == cells
    assert all((np.diff(row) > 0).all() for row in np.split(table.indices, table.indptr[1:-1]))
    return table.toarray()


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("memory", [1, 20_000, 1 << 24])
@pytest.mark.parametrize(("words", "vocabulary"), [(1, 5), (60, 400), (9, 70_000)])
def test_files_add_up_to_the_dense_sum(words: int, vocabulary: int, memory: int, threads: int, tmp_path: Path) -> None:
    """Rows of all widths; memory for all rows, for some and for less than one; threads more than rows."""
    paths = [tmp_path / f"{i}.rows" for i in range(7)]
    total = sum(write_rows(path, words, vocabulary, i) for i, path in enumerate(paths))
    assert np.array_equal(merge(paths, words, vocabulary, tmp_path / "out", memory, threads), total)
    merged = tmp_path / "merged.rows"
    assert _C.merge_to_rows([*map(str, paths)], words, vocabulary, memory, str(merged)) == merged.stat().st_size
    _C.check_rows(str(merged), words, vocabulary)
    assert np.array_equal(
        merge([merged, paths[0]], words, vocabulary, tmp_path / "out"),
        total + merge([paths[0]], words, vocabulary, tmp_path / "one"),
    )


def test_many_words_with_few_cells_are_listed_and_not_scanned(tmp_path: Path) -> None:
    words, vocabulary = 20_000, 50
    paths = [tmp_path / "a.rows", tmp_path / "b.rows"]
    total = sum(write_rows(path, words, vocabulary, i, documents=3) for i, path in enumerate(paths))
    assert np.array_equal(merge(paths, words, vocabulary, tmp_path / "out", 1 << 22, 2), total)


def test_totals_wider_than_16_and_32_bits_add_up_and_2_to_the_63_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "0.rows"
    total = write_rows(path, 3, 90, 0)
    doublings = 63 - int(total.max()).bit_length()
    for doubling in range(1, doublings + 1):
        twice = tmp_path / f"{doubling}.rows"
        _C.merge_to_rows([str(path), str(path)], 3, 90, 1 << 20, str(twice))
        assert np.array_equal(merge([twice], 3, 90, tmp_path / "out"), total << doubling)
        path = twice
    with pytest.raises(OverflowError, match=r"every total must stay below 2\^63"):
        merge([path, path], 3, 90, tmp_path / "out")


def test_no_files_make_an_empty_table(tmp_path: Path) -> None:
    assert not merge([], 3, 5, tmp_path / "out").any()


def test_whatever_was_altered_cut_or_added_is_refused(tmp_path: Path) -> None:
    whole, victim = tmp_path / "whole.rows", tmp_path / "victim.rows"
    write_rows(whole, 12, 60, 3)
    raw = whole.read_bytes()
    _C.check_rows(str(whole), 12, 60)
    damaged = [raw[:kept] for kept in (0, 7, 8, len(raw) // 2, len(raw) - 1)] + [raw + b"\0" * 8, raw[8:]]
    for place in range(len(raw)):
        flipped = bytearray(raw)
        flipped[place] ^= 1 << place % 8
        damaged.append(bytes(flipped))
    for bytes_ in damaged:
        victim.write_bytes(bytes_)
        for threads in (1, 2):
            with pytest.raises(CorpusError, match=r"victim\.rows"):
                merge([whole, victim], 12, 60, tmp_path / "out", 3000, threads)
        with pytest.raises(CorpusError, match=r"victim\.rows"):
            _C.check_rows(str(victim), 12, 60)


def test_a_row_of_another_file_in_its_place_is_found_by_a_whole_reading(tmp_path: Path) -> None:
    once, twice = tmp_path / "once.rows", tmp_path / "twice.rows"
    write_rows(once, 12, 60, 3)
    _C.merge_to_rows([str(once), str(once)], 12, 60, 1 << 20, str(twice))  # the same columns
    raw, other = once.read_bytes(), twice.read_bytes()
    offsets = np.frombuffer(raw[-24 - 13 * 8 : -24], "<u8").astype(int)
    assert len(raw) == len(other)
    row = int(np.argmax(np.diff(offsets)))
    part = slice(offsets[row], offsets[row + 1])
    once.write_bytes(raw[: part.start] + other[part] + raw[part.stop :])
    assert once.read_bytes() != raw
    with pytest.raises(CorpusError, match=r"once\.rows"):
        _C.check_rows(str(once), 12, 60)


def test_a_file_of_other_rows_or_columns_is_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.rows", 12, 60, 3)
    with pytest.raises(CorpusError, match="must be a whole file of 11 rows; got another"):
        merge([tmp_path / "a.rows"], 11, 60, tmp_path / "out")
    with pytest.raises(CorpusError, match=r"a\.rows, row \d+: must be as it was written"):
        merge([tmp_path / "a.rows"], 12, 30, tmp_path / "out")
    with pytest.raises(FileNotFoundError):
        merge([tmp_path / "b.rows"], 12, 60, tmp_path / "out")
    with pytest.raises(ValueError, match="threads must be at least 1; got 0"):
        merge([tmp_path / "a.rows"], 12, 60, tmp_path / "out", threads=0)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_full_disk_ends_the_merge(tmp_path: Path, threads: int) -> None:
    paths = [tmp_path / f"{i}.rows" for i in range(3)]
    for i, path in enumerate(paths):
        write_rows(path, 60, 4000, i)
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full stands for a full disk")
    with pytest.raises(OSError, match="No space left"):
        _C.merge_to_csr([*map(str, paths)], 60, 4000, 10_000, threads, "/dev/full", "/dev/full", str(tmp_path / "i"))

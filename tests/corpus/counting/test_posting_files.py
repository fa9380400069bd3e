"""Posting lists in files, against plain lists; whatever was altered is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pivotkit import _C
from pivotkit.errors import CorpusError

Hits = list[tuple[int, int, int]]  # word, row, occurrences
LARGEST_ROW, LARGEST_COUNT = 2**31 - 1, 2**31 - 1


def write(path: Path, documents: list[tuple[int, dict[int, int]]], words: int, run_hits: int, calls: int = 3) -> Hits:
    """Documents, a row and occurrences per word each, in a file; and its hits in order of words."""
    writer = _C.PostingWriter(str(path), words, run_hits)
    for part in np.array_split(np.arange(len(documents)), calls):
        chosen = [documents[at] for at in part]
        writer.add(
            np.cumsum([0, *(len(found) for _, found in chosen)]).astype(np.int64),
            np.array([word for _, found in chosen for word in found], np.int32),
            np.array([count for _, found in chosen for count in found.values()], np.int32),
            np.array([row for row, _ in chosen], np.int64),
        )
    assert writer.finish() == path.stat().st_size
    return sorted((word, row, count) for row, found in documents for word, count in found.items())


def read(path: Path, words: int, first: int = 0, last: int = 1 << 31) -> Hits:
    file = _C.PostingFile(str(path), words)
    runs = [file.read(run, first, last) for run in range(file.runs)]
    for word, row, _ in runs:
        assert (np.diff(word.astype(np.int64) << 32 | row) > 0).all(), "words ascend, and rows within a word"
    return sorted((int(w), int(r), int(c)) for run in runs for w, r, c in zip(*run, strict=True))


def drawn(documents: int, words: int, seed: int) -> list[tuple[int, dict[int, int]]]:
    rng = np.random.default_rng(seed)
    rows = np.cumsum(rng.integers(1, 4, documents))
    found = [np.unique(rng.zipf(1.3, rng.integers(0, 40)) % words) for _ in range(documents)]
    counts = [rng.geometric(0.7, len(of)) for of in found]
    return [
        (int(row), dict(zip(map(int, rng.permutation(of)), map(int, count), strict=True)))
        for row, of, count in zip(rows, found, counts, strict=True)
    ]


@pytest.mark.parametrize("run_hits", [1, 50, 1 << 20])
def test_what_is_read_is_what_was_written(run_hits: int, tmp_path: Path) -> None:
    path = tmp_path / "a.postings"
    expected = write(path, drawn(500, 300, 0), 300, run_hits)
    assert read(path, 300) == expected
    assert (_C.PostingFile(str(path), 300).runs == 1) == (run_hits == 1 << 20)
    for first, last in ((0, 1), (7, 8), (250, 300), (299, 1000), (40, 40)):
        assert read(path, 300, first, last) == [hit for hit in expected if first <= hit[0] < last]


def test_lists_of_several_blocks_are_read_alone(tmp_path: Path) -> None:
    """Lists longer than a block of 64 KB, and many that share one."""
    rng = np.random.default_rng(1)
    frequent = {0, 3, 4, 999}
    documents = [
        (row, {word: int(rng.integers(1, 999)) for word in sorted({*frequent, *rng.integers(0, 1000, 3).tolist()})})
        for row in range(0, 120_000, 2)
    ]
    path = tmp_path / "a.postings"
    expected = write(path, documents, 1000, 1 << 20)
    assert path.stat().st_size > 10 * (1 << 16)
    of_word: dict[int, Hits] = {}
    for hit in expected:
        of_word.setdefault(hit[0], []).append(hit)
    for word in [*frequent, 1, 2, 500, 998]:
        assert read(path, 1000, word, word + 1) == of_word[word]
    assert read(path, 1000, 2, 5) == [*of_word[2], *of_word[3], *of_word[4]]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 2**29), st.dictionaries(st.integers(0, 9), st.integers(1, LARGEST_COUNT), max_size=6)),
        max_size=4,
    ),
    st.integers(1, 8),
)
def test_any_rows_and_counts_are_kept(steps: list[tuple[int, dict[int, int]]], run_hits: int) -> None:
    import tempfile

    rows = np.cumsum([0, *(step for step, _ in steps)])[1:]
    documents = [(int(row), found) for row, (_, found) in zip(rows, steps, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.postings"
        assert write(path, documents, 10, run_hits) == read(path, 10)


def test_the_largest_row_and_the_first_are_kept(tmp_path: Path) -> None:
    documents = [(0, {0: 1, 4: LARGEST_COUNT}), (LARGEST_ROW, {0: 2, 3: 1})]
    path = tmp_path / "a.postings"
    assert write(path, documents, 5, 100) == read(path, 5)


@pytest.mark.parametrize("documents", [[], [(0, {}), (5, {})]])
def test_a_file_without_hits_has_no_runs(documents: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.postings"
    assert write(path, documents, 5, 100) == []
    assert _C.PostingFile(str(path), 5).runs == 0


def test_whatever_was_altered_cut_or_added_is_refused(tmp_path: Path) -> None:
    whole, victim = tmp_path / "whole.postings", tmp_path / "victim.postings"
    expected = write(whole, drawn(60, 60, 2), 60, 100)
    raw, rng = whole.read_bytes(), np.random.default_rng(3)
    assert _C.PostingFile(str(whole), 60).runs > 3
    flips = [raw[:at] + bytes([raw[at] ^ 1 << int(rng.integers(8))]) + raw[at + 1 :] for at in range(len(raw))]
    cuts = [raw[:at] for at in range(0, len(raw), 7)]
    others = [raw + b"\0", raw[1:], b"\0" + raw, raw[:80] + raw[81:], b""]
    for damaged in [*flips, *cuts, *others]:
        victim.write_bytes(damaged)
        with pytest.raises(CorpusError, match=r"victim\.postings"):
            read(victim, 60)
    victim.write_bytes(raw)
    assert read(victim, 60) == expected
    with pytest.raises(CorpusError, match="must be a whole file of the postings of 61 words"):
        _C.PostingFile(str(whole), 61)


def test_two_files_have_one_digest_only_if_they_hold_the_same(tmp_path: Path) -> None:
    digests = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write(tmp_path / name, drawn(50, 20, seed), 20, 1 << 20)
        digests.append(_C.PostingFile(str(tmp_path / name), 20).digest)
    assert digests[0] == digests[1] != digests[2]


def test_bad_hits_are_refused_before_any_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.postings"
    writer = _C.PostingWriter(str(path), 5, 100)
    one, word, count, row = (np.array(a, t) for a, t in (([0, 1], "q"), ([4], "i"), ([2], "i"), ([7], "q")))
    for error, message, arguments in (
        (IndexError, r"words must be word ids in \[0, 5\); got 5", (one, word + 1, count, row)),
        (IndexError, r"words must be word ids in \[0, 5\); got -1", (one, word - 5, count, row)),
        (ValueError, "counts must be at least 1; got 0", (one, word, count - 2, row)),
        (ValueError, r"rows must ascend from 0 and stay below 2\^31; got -1", (one, word, count, row - 8)),
        (
            ValueError,
            r"rows must ascend from 0 and stay below 2\^31; got 2147483648",
            (one, word, count, row + 2**31 - 7),
        ),
        (ValueError, "rows must be 1 documents; got 2", (one, word, count, np.array([1, 2]))),
        (ValueError, "counts must be as many as words; got 2", (one, word, np.array([1, 1], np.int32), row)),
        (ValueError, "never decrease and end at 1", (np.array([0, 2]), word, count, row)),
    ):
        with pytest.raises(error, match=message):
            writer.add(*arguments)
    writer.add(one, word, count, row)
    with pytest.raises(ValueError, match="rows must ascend from 8"):
        writer.add(one, word, count, row)
    writer.finish()
    assert read(path, 5) == [(4, 7, 2)]
    with pytest.raises(IndexError, match=r"run must be in \[0, 1\); got 1"):
        _C.PostingFile(str(path), 5).read(1, 0, 5)
    with pytest.raises(ValueError, match=r"words must be in \[1, 2\^31\); got 0"):
        _C.PostingWriter(str(path), 0, 100)
    with pytest.raises(OSError, match="No such file") as refusal:
        _C.PostingFile(str(tmp_path / "absent"), 5)
    assert refusal.value.filename == str(tmp_path / "absent")

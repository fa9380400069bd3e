"""Context tables that are estimated from a sample of the documents of each word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from pivotkit import _C
from pivotkit.corpus.counting.bottom_k import HIGHEST, BottomKSketch, Hashes
from pivotkit.corpus.counting.matched_block import MatchedBlock
from pivotkit.corpus.counting.unit_tokens import ContextTableBuilder, block_folder
from pivotkit.corpus.tables.context_table import atomic_context, open_context
from pivotkit.corpus.tables.unit_counts import SAMPLED, SAMPLED_TOKEN, read_cells, read_postings

CHUNK = 1 << 20  # cells that are scaled together
HEADER = 128  # bytes of a .npy file's header
NOTHING = np.zeros(0, np.int64)

Hits = tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], Hashes]  # words, rows and hashes of documents


def estimate_context(
    paths: Sequence[Path],
    size: int,
    df: npt.NDArray[np.int64],
    vocabulary: int,
    unit_folder: Path,
    folder: Path,
    memory: int,
) -> scipy.sparse.csr_array:
    """Estimate the context table from the ``size`` documents of each word with the lowest hashes.

    A cell is c df / n, float64, where c of the word's n sampled documents contain the token. The estimate is unbiased,
    so for a rare token it may exceed the documents that contain it. The table is written to ``folder`` and mapped.
    """
    words = len(df)
    sketch = BottomKSketch(words, size)
    for path in paths:
        for word, _, hashes in _hits(path, np.full(words, HIGHEST)):
            sketch.add(word, hashes)
    bounds = sketch.bounds()
    del sketch
    taken = np.zeros(words, np.int64)
    with block_folder(unit_folder) as place:
        contexts = ContextTableBuilder(words, vocabulary, memory // 2, place)
        for path in paths:
            hits = list(_hits(path, bounds))
            for word, _, _ in hits:
                taken += np.bincount(word, minlength=words)
            for block in _blocks(path, hits) if hits else ():
                contexts.add(block)
        contexts.finish()
        del contexts
        with atomic_context(folder) as (indptr, tokens, counts):
            paths_ = str(tokens), str(counts), str(indptr)
            _C.merge_to_csr([*map(str, sorted(place.glob("*.rows")))], words, vocabulary, memory, 1, *paths_)
            _scale(indptr, counts, df, taken)
    return open_context(folder, words, vocabulary)


def _sampled(path: Path) -> tuple[npt.NDArray[np.int64], Hashes]:
    """Rows, ascending, and hashes of the documents whose tokens are kept."""
    cells = [(row, count) for _, row, _, count in read_cells(path, (SAMPLED,))]
    rows = np.concatenate([NOTHING, *(row for row, _ in cells)])
    return rows, np.concatenate([NOTHING, *(count for _, count in cells)]).view(np.uint64)


def _hits(path: Path, bounds: Hashes) -> Iterator[Hits]:
    """Words, rows and hashes of the hits in kept documents whose hash is at most the word's bound."""
    rows, hashes = _sampled(path)
    if not len(rows):
        return
    for word, row, _ in read_postings(path, len(bounds)):
        at = np.minimum(np.searchsorted(rows, row), len(rows) - 1)
        low = (rows[at] == row) & (hashes[at] <= bounds[word])
        yield word[low], rows[at[low]], hashes[at[low]]


def _blocks(path: Path, hits: list[Hits]) -> Iterator[MatchedBlock]:
    """The sampled documents, each with the words whose sample it is in, which ``hits`` lists."""
    words, rows = (np.concatenate([hit[i] for hit in hits]) for i in (0, 1))
    order = np.lexsort((words, rows))
    words, rows = words[order], rows[order]
    for document, offsets, tokens in _documents(path):
        begin, end = np.searchsorted(rows, document), np.searchsorted(rows, document, "right")
        first, last = int(begin[0]), int(end[-1])
        of_words = np.concatenate([np.zeros(1, np.int64), np.cumsum(end - begin)])
        # A sampled document without tokens has no cells, so it is not among these.
        part = words[first:last][np.isin(rows[first:last], document)].astype(np.int32)
        yield MatchedBlock((of_words, part, np.ones(len(part), np.int32), None), document, document, (tokens, offsets))


def _documents(path: Path) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint32]]]:
    """Rows, offsets and tokens of the kept documents, always whole, wherever the row groups are cut."""
    rows, tokens = NOTHING, np.zeros(0, np.uint32)
    for _, row, token, _ in read_cells(path, (SAMPLED_TOKEN,)):
        rows, tokens = np.concatenate([rows, row]), np.concatenate([tokens, token.astype(np.uint32)])
        whole = int(np.searchsorted(rows, rows[-1]))  # the last document may go on in the next group
        if whole:
            yield _split(rows[:whole], tokens[:whole])
        rows, tokens = rows[whole:], tokens[whole:]
    if len(rows):
        yield _split(rows, tokens)


def _split(rows: npt.NDArray[np.int64], tokens: npt.NDArray[np.uint32]) -> Any:
    document, begin = np.unique(rows, return_index=True)
    return document, np.append(begin, len(rows)).astype(np.int64), tokens


def _scale(indptr: Path, counts: Path, df: npt.NDArray[np.int64], taken: npt.NDArray[np.int64]) -> None:
    """Multiply the counts of each row by df / taken, in place: int64 becomes float64."""
    offsets, values = np.load(indptr), np.load(counts, mmap_mode="r+")
    estimates = values.view(np.float64)
    for begin in range(0, len(values), CHUNK):
        part = slice(begin, min(begin + CHUNK, len(values)))
        word = np.searchsorted(offsets, np.arange(part.start, part.stop), "right") - 1
        estimates[part] = values[part] * df[word] / taken[word]  # this order gives df itself where all were taken
    values.flush()
    with counts.open("r+b") as file:
        header = file.read(HEADER)
        file.seek(0)
        file.write(header.replace(b"<i8", b"<f8"))

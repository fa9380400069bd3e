"""What the tokens of documents are counted into: the background, and the context table or a sample for it."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pivotkit import _C
from pivotkit.artifacts import PART, is_alive, sweep
from pivotkit.corpus.counting.bottom_k import BottomKSketch, document_hashes
from pivotkit.corpus.counting.checkpoints import STRATA_SUFFIX
from pivotkit.corpus.counting.matched_block import MatchedBlock, Tokens
from pivotkit.corpus.tables.strata import StratumList
from pivotkit.corpus.tables.unit_counts import SAMPLED, SAMPLED_TOKEN, UnitCountsWriter

MOST_DOCUMENTS = 1 << 31  # that one stratum table counts, in cells of 32 bits, before it is written
WINDOW_TOKENS = 1 << 20  # round words, that are held at a time
CELL_BYTES = 8  # the most that one cell of a block takes
BLOCKS = f".blocks-{platform.node()}-"  # and the id of the process that the row files belong to


class BackgroundCounter:
    """Counts the documents that contain each token."""

    def __init__(self, vocabulary: int) -> None:
        self._counter = _C.TokenCounter(vocabulary)

    def add(self, block: MatchedBlock) -> None:
        assert block.tokens is not None
        self._counter.add(*block.tokens)

    @property
    def background(self) -> npt.NDArray[np.int64]:
        """The documents that contain each token so far, int64 (V,)."""
        return self._counter.df


class SampleBuilder(BackgroundCounter):
    """Counts the background, and keeps the tokens of each document that may be in the sample of one of its words.

    The documents' hashes and tokens go to the unit's counts (SAMPLED, SAMPLED_TOKEN).
    """

    def __init__(self, words: int, vocabulary: int, size: int, file: str, unit_counts: UnitCountsWriter) -> None:
        super().__init__(vocabulary)
        self._sketch = BottomKSketch(words, size)
        self._file, self._unit_counts = file, unit_counts

    def add(self, block: MatchedBlock) -> None:
        super().add(block)
        assert block.tokens is not None
        hashes = document_hashes(self._file, block.places)
        document = np.repeat(np.arange(len(block.rows)), np.diff(block.hits[0]))
        low = self._sketch.add(block.hits[1], hashes[document])
        kept = np.unique(document[low])
        if not len(kept):
            return
        ids, offsets = block.tokens
        keys = [
            (row << 32) + np.unique(ids[offsets[d] : offsets[d + 1]])
            for d, row in zip(kept, block.rows[kept], strict=True)
        ]
        rows, tokens = np.divmod(np.concatenate(keys), 1 << 32)
        self._unit_counts.cells(SAMPLED, block.rows[kept], np.zeros(len(kept), np.int32), hashes[kept].view(np.int64))
        self._unit_counts.cells(SAMPLED_TOKEN, rows, tokens, np.ones(len(rows), np.int64))


class ContextTableBuilder:
    """Counts the background and the context table, over any number of units.

    Documents fill a block, whose rows are added to the table in memory. A table that takes half of ``memory`` is
    written to a row file and begun anew. With a ``window``, a row is of the tokens round its word, as `Scope` says.
    """

    def __init__(self, words: int, vocabulary: int, memory: int, place: Path, window: int = 0) -> None:
        self._counter = _C.ContextCounter(words, vocabulary, memory // 4 // CELL_BYTES)
        self._background = _C.TokenCounter(vocabulary) if window else None
        self._window = window
        self._table = _C.ContextTable(words, vocabulary)
        self._words = words
        self._most = memory // 2
        self._place = place
        self._files = 0

    def add(self, block: MatchedBlock) -> None:
        assert block.tokens is not None
        offsets, words, _, places = block.hits
        if self._background is None:
            self._add(offsets, words, block.tokens)
            return
        self._background.add(*block.tokens)
        hit = 0
        while hit < len(words):  # a hit and the tokens round it are a document of their own
            windows = _C.word_windows(offsets, places, *block.tokens, self._window, hit, WINDOW_TOKENS)
            taken = len(windows[1]) - 1
            self._add(np.arange(taken + 1), words[hit : hit + taken], windows)
            hit += taken

    def _add(self, offsets: npt.NDArray[np.int64], words: npt.NDArray[np.int32], tokens: Tokens) -> None:
        taken, size = 0, len(offsets) - 1
        while True:
            taken += self._counter.add(offsets, words, *tokens, taken)
            if taken == size:
                return
            self._add_block()

    @property
    def background(self) -> npt.NDArray[np.int64]:
        """The documents that contain each token so far, int64 (V,)."""
        return self._counter.background if self._background is None else self._background.df

    def finish(self) -> None:
        """Write what is in memory: all row files in the place together are the table of all documents added."""
        self._add_block()
        self._write()

    def _add_block(self) -> None:
        """Add the rows of the block to the table, which is written as often as it reaches its limit."""
        word = 0
        while (word := self._table.add(self._counter, word, self._most)) < self._words:
            self._write()

    def _write(self) -> None:
        if self._table.nbytes:
            self._table.write(str(self._place / f"{self._files}.rows"))
            self._table.clear()
            self._files += 1


class StratumTableBuilder:
    """Counts words and tokens by stratum, and the background, over any number of units (`StratumCounts`)."""

    def __init__(self, strata: StratumList, vocabulary: int, words: int, place: Path) -> None:
        self._counter = _C.StratumCounter(len(strata), vocabulary, words)
        self._strata = strata
        self._place = place
        self._files = 0

    def add(self, block: MatchedBlock) -> None:
        assert block.lengths is not None
        sets, documents = block.languages or ([()], np.zeros(len(block.rows), np.int64))
        offsets, words, *_ = block.hits
        strata = self._strata.assign(self._strata.places(sets), documents, block.lengths)
        self._counter.add(offsets, words, strata, *(block.tokens or ()))
        if self._counter.documents >= MOST_DOCUMENTS:
            self.finish()

    @property
    def background(self) -> npt.NDArray[np.int64]:
        """The documents that contain each token so far, int64 (V,)."""
        return self._counter.background

    def finish(self) -> None:
        """Write what is in memory: all files in the place together are the table of all documents added."""
        if self._counter.documents:
            self._counter.write(str(self._place / f"{self._files}{STRATA_SUFFIX}"))
            self._counter.clear()
            self._files += 1


@contextmanager
def block_folder(folder: Path) -> Iterator[Path]:
    """A folder in ``folder`` for row files of this process; it vanishes, unless it was moved away."""
    place = Path(tempfile.mkdtemp(PART, f"{BLOCKS}{os.getpid()}-", folder))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def sweep_blocks(folder: Path) -> None:
    """Remove from ``folder`` the blocks and unfinished files of this machine's killed processes."""
    sweep(folder)
    for place in folder.glob(f"{BLOCKS}*"):
        process = place.name.removeprefix(BLOCKS).partition("-")[0]
        if process.isdigit() and not is_alive(int(process)):
            shutil.rmtree(place, ignore_errors=True)  # another run may sweep, too

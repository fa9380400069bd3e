"""What the tokens of a unit's documents are counted into: the background, and the context table or a sample for it."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from pivotkit import _C
from pivotkit.artifacts import PART, atomic_path, is_alive, sweep
from pivotkit.corpus.counting.bottom_k import BottomKSketch, document_hashes
from pivotkit.corpus.counting.matched_block import MatchedBlock
from pivotkit.corpus.tables.unit_counts import SAMPLED, SAMPLED_TOKEN, UnitCountsWriter

CELL_BYTES = 8  # the most that one cell of a block takes
BLOCKS = f".blocks-{platform.node()}-"  # and the id of the process that the blocks belong to
FOOTER = 24  # bytes at the end of a row file: two checksums and the number of rows


class BackgroundCounter(AbstractContextManager["BackgroundCounter"]):
    """Counts the documents that contain each token."""

    def __init__(self, vocabulary: int) -> None:
        self._counter = _C.TokenCounter(vocabulary)

    def __exit__(self, *_: object) -> None:
        pass

    def add(self, block: MatchedBlock) -> None:
        assert block.tokens is not None
        self._counter.add(*block.tokens)

    def finish(self, _: Path) -> npt.NDArray[np.int64]:
        """The background, int64 (V,)."""
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


class ContextTableBuilder(AbstractContextManager["ContextTableBuilder"]):
    """Counts the background and the context table, and writes the table as a row file.

    A block of the table that is full is written to the folder ``place``. `finish` merges the blocks, and the folder
    vanishes on exit.
    """

    def __init__(self, words: int, vocabulary: int, block_bytes: int, folder: Path) -> None:
        self._words, self._vocabulary, self._bytes = words, vocabulary, block_bytes
        self._folder = folder
        self._exits = ExitStack()
        self._blocks: list[str] = []
        self._counter: _C.ContextCounter | None = _C.ContextCounter(words, vocabulary, block_bytes // CELL_BYTES)

    def __enter__(self) -> ContextTableBuilder:
        place = tempfile.TemporaryDirectory(PART, f"{BLOCKS}{os.getpid()}-", self._folder)
        self.place = Path(self._exits.enter_context(place))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.__exit__(kind, error, trace)

    def add(self, block: MatchedBlock) -> None:
        assert self._counter is not None
        assert block.tokens is not None
        offsets, words, *_ = block.hits
        taken, size = 0, len(offsets) - 1
        while True:
            taken += self._counter.add(offsets, words, *block.tokens, taken)
            if taken == size:
                return
            path = str(self.place / f"{len(self._blocks)}.rows")
            self._counter.write(path)
            self._counter.clear()
            self._blocks.append(path)

    def finish(self, path: Path) -> npt.NDArray[np.int64]:
        """Write the table to ``path`` and return the background, int64 (V,)."""
        assert self._counter is not None
        background = self._counter.background
        with atomic_path(path) as temporary:
            last = str(self.place / "last.rows") if self._blocks else str(temporary)
            self._counter.write(last)
            self._counter = None  # frees the memory that the merge of the blocks takes
            if self._blocks:
                _C.merge_to_rows([*self._blocks, last], self._words, self._vocabulary, self._bytes, str(temporary))
        return background


def footer_digest(path: Path) -> str:
    """Size and footer of the row file at ``path``, which tell it from any other; OSError when there is none."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - FOOTER))
        return f"{size}:{file.read().hex()}"


def sweep_blocks(folder: Path) -> None:
    """Remove from ``folder`` the blocks and unfinished files of this machine's killed processes."""
    sweep(folder)
    for place in folder.glob(f"{BLOCKS}*"):
        process = place.name.removeprefix(BLOCKS).partition("-")[0]
        if process.isdigit() and not is_alive(int(process)):
            shutil.rmtree(place, ignore_errors=True)  # another run may sweep, too

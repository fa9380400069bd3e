"""What the tokens of a unit's documents are counted into: the documents of each token, and the context table."""

from __future__ import annotations

import tempfile
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from pivotkit import _C
from pivotkit.artifacts import atomic_path

CELL_BYTES = 8  # of a block, the most
FOOTER = 24  # bytes at the end of a row file, which tell what is in it

Tokens = tuple[npt.NDArray[Any], npt.NDArray[np.int64]]  # ids, and where each document begins


class Background(AbstractContextManager["Background"]):
    """The documents of each token."""

    def __init__(self, vocabulary: int) -> None:
        self._counter = _C.TokenCounter(vocabulary)

    def __exit__(self, *_: object) -> None:
        pass

    def add(self, _: npt.NDArray[np.int64], __: npt.NDArray[np.int32], tokens: Tokens) -> None:
        self._counter.add(*tokens)

    def finish(self, _: Path) -> npt.NDArray[np.int64]:
        return self._counter.df


class Contexts(AbstractContextManager["Contexts"]):
    """The same, and the context table, as a row file: full blocks wait beside it and are added up."""

    def __init__(self, words: int, vocabulary: int, block_bytes: int, folder: Path) -> None:
        self._words, self._vocabulary, self._bytes = words, vocabulary, block_bytes
        self._folder = folder
        self._exits = ExitStack()
        self._blocks: list[str] = []
        self._counter: _C.ContextCounter | None = _C.ContextCounter(words, vocabulary, block_bytes // CELL_BYTES)

    def __enter__(self) -> Contexts:
        place = tempfile.TemporaryDirectory(dir=self._folder, prefix=".blocks-")
        self._place = Path(self._exits.enter_context(place))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.__exit__(kind, error, trace)

    def add(self, offsets: npt.NDArray[np.int64], words: npt.NDArray[np.int32], tokens: Tokens) -> None:
        assert self._counter is not None
        taken, size = 0, len(offsets) - 1
        while True:
            taken += self._counter.add(offsets, words, *tokens, taken)
            if taken == size:
                return
            path = str(self._place / f"{len(self._blocks)}.rows")
            self._counter.write(path)
            self._counter.clear()
            self._blocks.append(path)

    def finish(self, path: Path) -> npt.NDArray[np.int64]:
        """Write the table to ``path``; the background."""
        assert self._counter is not None
        background = self._counter.background
        with atomic_path(path) as temporary:
            last = str(self._place / "last.rows") if self._blocks else str(temporary)
            self._counter.write(last)
            self._counter = None  # its memory is what the blocks are added up in
            if self._blocks:
                _C.merge_to_rows([*self._blocks, last], self._words, self._vocabulary, self._bytes, str(temporary))
        return background


def read_seal(path: Path) -> str:
    """What tells the row file at ``path`` from any other: its size and its footer. OSError when there is none."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - FOOTER))
        return f"{size}:{file.read().hex()}"

"""Reading token files in blocks of whole documents: read and not mapped, so that memory is what is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pivotkit.errors import CorpusError

READ_IDS = 1 << 21  # ids that are read together
LONGEST_DOCUMENT = 1 << 27  # ids: beyond this the end-of-sequence id is another one

# Ids, where each document begins among them, and where in the file the first does.
TokenBlock = tuple[npt.NDArray[Any], npt.NDArray[np.int64], int]


@dataclass(frozen=True)
class IdFile:
    """A file of ids as it was when the run began: ``size`` ids of ``dtype``, all below ``vocab_size``."""

    path: Path
    dtype: np.dtype[Any]
    size: int
    vocab_size: int

    def read(self, begin: int, end: int) -> npt.NDArray[Any]:
        """Ids [begin, end) as uint16 or uint32; CorpusError when the file is shorter now or an id is out of range."""
        with self.path.open("rb") as file:
            file.seek(begin * self.dtype.itemsize)
            ids = np.fromfile(file, self.dtype, end - begin)
        if len(ids) != end - begin:
            place = f"token {begin + len(ids)}"
            raise CorpusError(self.path, place, "must stay as it was when the run began; found it shorter")
        if len(ids) and (ids.max() >= self.vocab_size or (self.dtype.kind == "i" and ids.min() < 0)):
            at = int(np.flatnonzero((ids >= self.vocab_size) | (ids < 0))[0])
            rule = f"must be an id in [0, {self.vocab_size}); got {ids[at]}"
            raise CorpusError(self.path, f"token {begin + at}", rule)
        return ids if self.dtype in (np.dtype("<u2"), np.dtype("<u4")) else ids.astype(np.uint32)

    def instances(self, begin: int, end: int, size: int) -> Iterator[TokenBlock]:
        """Stretches of ``size`` ids."""
        step = max(1, READ_IDS // size) * size
        for at in range(begin, end, step):
            ids = self.read(at, min(at + step, end))
            yield ids, np.arange(0, len(ids) + 1, size, dtype=np.int64), at

    def documents(self, offsets: npt.NDArray[np.int64]) -> Iterator[TokenBlock]:
        """Documents between ``offsets``."""
        at, last = 0, len(offsets) - 1
        while at < last:
            to = min(last, max(at + 1, int(np.searchsorted(offsets, offsets[at] + READ_IDS, side="right")) - 1))
            first = int(offsets[at])
            yield self.read(first, int(offsets[to])), offsets[at : to + 1] - first, first
            at = to

    def until_eos(self, begin: int, end: int, eos: int, bos: int | None) -> Iterator[TokenBlock]:
        """Documents that begin in [begin, end): after the end of another, or at the file's start."""
        at, wanted = self._first_start(begin, end, eos, bos), READ_IDS
        while at < end:
            ids = self.read(at, min(self.size, at + wanted + 1))  # one more: whether a document ends may depend on it
            ends = _ends(ids, eos, bos, at + len(ids) == self.size)
            ends = ends[: int(np.searchsorted(ends, end - at)) + 1]  # the last begins before `end`
            if len(ends):
                yield ids[: ends[-1]], np.concatenate([np.zeros(1, np.int64), ends]), at
                at, wanted = at + int(ends[-1]), READ_IDS
            elif wanted < LONGEST_DOCUMENT:
                wanted *= 2
            else:
                rule = f"must begin a document of at most {LONGEST_DOCUMENT} ids, ended by {eos}; got a longer one"
                raise CorpusError(self.path, f"token {at}", rule)

    def _first_start(self, begin: int, end: int, eos: int, bos: int | None) -> int:
        """Where the first document at or after ``begin`` begins; ``end`` when none does before it."""
        if begin == 0:
            return 0
        for at in range(begin - 1, end, READ_IDS):
            ends = _ends(self.read(at, min(self.size, at + READ_IDS + 1)), eos, bos, False)
            if len(ends):
                return min(end, at + int(ends[0]))
        return end


def _ends(ids: npt.NDArray[Any], eos: int, bos: int | None, is_last: bool) -> npt.NDArray[np.int64]:
    """One past the last id of each document that ends in ``ids``, of which the last id only decides about the one before.

    With ``is_last`` the file ends with ``ids``, and so does the last document.
    """
    ends = np.flatnonzero(ids[: len(ids) if is_last else -1] == eos).astype(np.int64) + 1
    if bos is not None:
        ends = ends[(ends == len(ids)) | (ids[np.minimum(ends, len(ids) - 1)] == bos)]
    if is_last and len(ids) and not (len(ends) and ends[-1] == len(ids)):
        ends = np.append(ends, len(ids))
    return ends

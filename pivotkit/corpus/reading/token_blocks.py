"""The one reader of token ids on disk: blocks of documents, read and not mapped, so that memory is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pivotkit import _C
from pivotkit.corpus.reading.budget import DocumentBudget
from pivotkit.errors import CorpusError

BLOCK_TOKENS = 1 << 21  # ids per block, unless the caller says otherwise
NATIVE = (np.dtype(np.uint16), np.dtype(np.uint32))  # ids that native code takes
LONGEST_DOCUMENT = 1 << 27  # a document of more ids means that the end-of-sequence id is another one

Ids = npt.NDArray[Any]
Offsets = npt.NDArray[np.int64]


class TokenBlock(NamedTuple):
    """Documents ``ids[offsets[d]:offsets[d + 1]]``.

    Attributes
    ----------
    ids : (tokens,) integers
        uint16 or uint32 when they were read from a file.
    offsets : int64 (documents + 1,)
        From 0 to the number of ids.
    first : int
        The place of the block's first id in its file.
    continued : bool
        Whether the first document began in the block before. Then its last part is in this block or a later one.
    """

    ids: Ids
    offsets: Offsets
    first: int
    continued: bool = False

    def __repr__(self) -> str:
        return f"TokenBlock({len(self.offsets) - 1:,} documents, {len(self.ids):,} ids from {self.first:,})"


def document_ends(ids: Ids, eos: int, bos: int | None, is_last: bool) -> Offsets:
    """One past the last id of each document that ends in ``ids``: the rule of ``eos`` and ``bos``.

    A document ends at ``eos``, which belongs to it. With ``bos``, only an ``eos`` before a ``bos`` ends a document. The
    end of the file (``is_last``) ends one, too. Otherwise the last id of ``ids`` only decides about the one before it.

    >>> document_ends(np.array([5, 0, 7, 0, 8]), eos=0, bos=None, is_last=True).tolist()
    [2, 4, 5]
    """
    decided = ids[: len(ids) if is_last else -1]
    if ids.dtype in NATIVE:
        ends = _C.token_places(np.ascontiguousarray(decided), eos) + 1
    else:
        ends = np.flatnonzero(decided == eos).astype(np.int64) + 1
    if bos is not None:
        ends = ends[(ends == len(ids)) | (ids[np.minimum(ends, len(ids) - 1)] == bos)]
    if is_last and len(ids) and not (len(ends) and ends[-1] == len(ids)):
        ends = np.append(ends, len(ids))
    return ends


def spans(offsets: Offsets, tokens: int, whole: bool) -> Iterator[tuple[int, int, Offsets, bool]]:
    """Cut documents into stretches of about ``tokens`` ids: begin, end, offsets from begin on, `TokenBlock.continued`.

    A document of more than ``tokens`` ids is one stretch when ``whole``, else several.
    """
    at, last = 0, len(offsets) - 1
    while at < last:
        to = min(last, max(at + 1, int(np.searchsorted(offsets, offsets[at] + tokens, side="right")) - 1))
        begin, end = int(offsets[at]), int(offsets[to])
        if whole or end - begin <= tokens:
            yield begin, end, offsets[at : to + 1] - begin, False
        else:
            for first in range(begin, end, tokens):
                size = min(tokens, end - first)
                yield first, first + size, np.array([0, size], np.int64), first > begin
        at = to


@dataclass(frozen=True)
class IdFile:
    """A file of ids as it was when the run began: ``size`` ids of ``dtype``, all below ``vocab_size``.

    The methods that give blocks hold about ``tokens`` ids at a time. With ``whole``, a longer document is read at once;
    without, it comes in several blocks (`TokenBlock.continued`). With a ``budget``, a longer document that does not fit
    it is refused before it is read.
    """

    path: Path
    dtype: np.dtype[Any]
    size: int
    vocab_size: int
    budget: DocumentBudget | None = None

    def read(self, begin: int, end: int) -> Ids:
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
            raise CorpusError(self.path, f"token {begin + at}", rule + self._hint(ids))
        return ids if self.dtype in (np.dtype("<u2"), np.dtype("<u4")) else ids.astype(np.uint32)

    def _hint(self, ids: Ids) -> str:
        """What to try when ids are out of range: the narrower type, where both halves of each are in range."""
        is_wide = self.dtype == np.dtype("<u4") and bool((ids.view("<u2") < self.vocab_size).all())
        return " (the ids look like uint16)" if is_wide else ""

    def instances(self, begin: int, end: int, length: int, tokens: int) -> Iterator[TokenBlock]:
        """Training instances of ``length`` ids each."""
        step = max(1, tokens // length) * length
        if begin < end and length > tokens:
            self._check(begin, length)
        for at in range(begin, end, step):
            ids = self.read(at, min(at + step, end))
            yield TokenBlock(ids, np.arange(0, len(ids) + 1, length, dtype=np.int64), at)

    def documents(self, offsets: Offsets, tokens: int, whole: bool) -> Iterator[TokenBlock]:
        """Documents [offsets[d], offsets[d + 1])."""
        for begin, end, bounds, continued in spans(offsets, tokens, whole):
            if end - begin > tokens:
                self._check(begin, end - begin)
            yield TokenBlock(self.read(begin, end), bounds, begin, continued)

    def until_eos(
        self, begin: int, end: int, eos: int, bos: int | None, tokens: int, whole: bool
    ) -> Iterator[TokenBlock]:
        """Documents that begin in [begin, end): at the file's start, or after the end of another."""
        at, wanted, continued = self._first_start(begin, end, eos, bos), tokens, False
        while at < end or continued:
            ids = self.read(at, min(self.size, at + wanted + 1))  # one more: whether a document ends may depend on it
            ends = document_ends(ids, eos, bos, at + len(ids) == self.size)
            ends = ends[: int(np.searchsorted(ends, end - at)) + 1]  # the last one begins before `end`
            if len(ends):
                yield TokenBlock(ids[: ends[-1]], np.concatenate([np.zeros(1, np.int64), ends]), at, continued)
                at, wanted, continued = at + int(ends[-1]), tokens, False
            elif not whole:
                yield TokenBlock(ids[:-1], np.array([0, len(ids) - 1], np.int64), at, continued)
                at, continued = at + len(ids) - 1, True
            else:
                wanted = self._length(at, eos, bos)
                self._check(at, wanted)

    def _length(self, begin: int, eos: int, bos: int | None) -> int:
        """How many ids the document has that begins at ``begin``."""
        for at in range(begin, min(self.size, begin + LONGEST_DOCUMENT), BLOCK_TOKENS):
            ids = self.read(at, min(self.size, at + BLOCK_TOKENS + 1))
            ends = document_ends(ids, eos, bos, at + len(ids) == self.size)
            if len(ends):
                return at + int(ends[0]) - begin
        rule = f"must begin a document of at most {LONGEST_DOCUMENT} ids, ended by {eos}; got a longer one"
        raise CorpusError(self.path, f"token {begin}", rule)

    def _check(self, begin: int, ids: int) -> None:
        if self.budget is not None:
            self.budget.check_ids(self.path, begin, ids, self.dtype.itemsize)

    def _first_start(self, begin: int, end: int, eos: int, bos: int | None) -> int:
        """Where the first document at or after ``begin`` begins; ``end`` when none begins before it."""
        if begin == 0:
            return 0
        for at in range(begin - 1, end, BLOCK_TOKENS):
            ends = document_ends(self.read(at, min(self.size, at + BLOCK_TOKENS + 1)), eos, bos, False)
            if len(ends):
                return min(end, at + int(ends[0]))
        return end

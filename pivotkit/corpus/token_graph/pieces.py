"""Token ids of any source in pieces of bounded size, ready for the native counter, and mapped pages given back."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pivotkit.corpus.reading.documents import Unit
from pivotkit.corpus.reading.token_formats import Ids, TokenFile
from pivotkit.corpus.reading.token_store import TokenStore
from pivotkit.errors import CorpusError

LARGEST_PIECE = 8 << 20  # bytes of a source that are in memory at once

Offsets = npt.NDArray[np.int64]
Documents = TokenFile | TokenStore | Iterable[TokenFile] | Iterable[tuple[Ids, Offsets]]


@dataclass(frozen=True)
class TokenBlock:
    """Documents ``ids[offsets[d]:offsets[d + 1]]``; ``path`` is their file's, where they come from one."""

    ids: Ids
    offsets: Offsets
    unit: str | None = None
    path: Path | None = None


class Piece(NamedTuple):
    """A part of a block: ids as uint16 or uint32, and whether the first document began in the piece before."""

    ids: Any
    offsets: Offsets
    continued: bool


def token_blocks(function: str, documents: Documents) -> Iterator[TokenBlock]:
    """The blocks of a source, one a unit where it has units."""
    if isinstance(documents, TokenStore):
        for unit in documents.units:
            yield TokenBlock(documents.ids(unit), documents.offsets(unit), unit.name, unit.path)
        return
    if isinstance(documents, TokenFile):
        documents = [documents]
    if not isinstance(documents, Iterable):
        raise TypeError(f"{function}: documents must be token files, a TokenStore or blocks; got {documents!r}")
    for block in documents:
        if isinstance(block, TokenFile):
            yield TokenBlock(block.ids, block.offsets, Unit.of(block.path).name, block.path)
        elif isinstance(block, tuple) and len(block) == 2:
            yield _checked(function, *block)
        else:
            raise TypeError(
                f"{function}: documents must be token files or pairs (ids, offsets); got {type(block).__name__}"
            )


def _checked(function: str, ids: Any, offsets: Any) -> TokenBlock:
    for name, array in (("ids", ids), ("offsets", offsets)):
        if not (isinstance(array, np.ndarray) and array.ndim == 1 and array.dtype.kind in "iu"):
            raise TypeError(f"{function}: {name} must be a one-dimensional array of integers; got {array!r}")
    offsets = offsets.astype(np.int64, copy=False)
    rule = f"{function}: offsets must begin at 0, never decrease and end at {len(ids)}"
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(ids) or (offsets[1:] < offsets[:-1]).any():
        raise ValueError(f"{rule}; got others")
    return TokenBlock(ids, offsets)


def largest_id(block: TokenBlock, bytes_at_once: int) -> int:
    """The largest id of a block, -1 of an empty one."""
    step = max(1, bytes_at_once // block.ids.itemsize)
    largest = -1
    for begin in range(0, len(block.ids), step):
        largest = max(largest, int(block.ids[begin : begin + step].max()))
        release(block.ids)
    return largest


def pieces(function: str, block: TokenBlock, vocabulary: int, bytes_at_once: int) -> Iterator[Piece]:
    """The block in pieces that take at most ``bytes_at_once`` bytes with their offsets; a long document spans several.

    An id outside the vocabulary is a CorpusError with the file and the token's place, or an IndexError without a file.
    """
    ids, offsets = block.ids, block.offsets
    step = max(1, bytes_at_once // (ids.itemsize + 20))
    starts = offsets[:-1]
    for begin in range(0, max(len(ids), 1), step):
        end = min(begin + step, len(ids))
        first = int(np.searchsorted(starts, begin)) if begin else 0
        last = int(np.searchsorted(starts, end)) if end < len(ids) else len(starts)
        continued = begin > 0 and (first == len(starts) or starts[first] > begin)
        bounds = np.concatenate([np.zeros(int(continued), np.int64), offsets[first:last] - begin, [end - begin]])
        part = ids[begin:end]
        if len(part) and not (int(part.min()) >= 0 and int(part.max()) < vocabulary):
            place = int(np.flatnonzero((part < 0) | (part >= vocabulary))[0])
            if block.path is not None:
                problem = f"must be below the vocabulary, {vocabulary}; got {part[place]}"
                raise CorpusError(block.path, f"token {begin + place}", problem)
            raise IndexError(f"{function}: ids must be in [0, {vocabulary}); got {part[place]} at {begin + place}")
        if part.dtype not in (np.dtype("<u2"), np.dtype("<u4")):
            part = part.astype(np.uint32)
        yield Piece(np.ascontiguousarray(part), bounds, continued)
        release(ids)


def release(array: npt.NDArray[Any]) -> None:
    """Give back the resident pages of a read-only mapped array: what is read again is read from the file again."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap) and base.flags.writeable:
            return  # it may hold what no file does
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)

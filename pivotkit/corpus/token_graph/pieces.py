"""Token ids of any source in blocks of bounded size, ready for the native counter."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pivotkit.arguments import kind
from pivotkit.corpus.reading.token_blocks import Ids, Offsets, TokenBlock, spans
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.reading.units import Unit
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.errors import CorpusError

LARGEST_PIECE = 8 << 20  # the most bytes of a source that are in memory at once
BYTES_PER_ID = 20  # at most, besides the id itself: a copy of it, the offset of a document, masks


def corpus_pieces(
    documents: TokenFiles | TokenStore, units: list[Unit], vocabulary: int, bytes_at_once: int
) -> Iterator[TokenBlock]:
    """The documents of ``units`` in blocks of at most ``bytes_at_once`` bytes; a long document spans several.

    An id outside the vocabulary raises a CorpusError with its file and place.
    """
    tokens = max(1, bytes_at_once // (4 + BYTES_PER_ID))
    for unit in units:
        for block in documents.blocks(unit, tokens=tokens, whole=False):
            if (place := _first_outside(block.ids, vocabulary)) is not None:
                problem = f"must be below the vocabulary, {vocabulary}; got {block.ids[place]}"
                raise CorpusError(unit.path, f"token {block.first + place}", problem)
            yield block


def array_pieces(
    function: str, documents: Iterable[tuple[Ids, Offsets]], vocabulary: int, bytes_at_once: int
) -> Iterator[TokenBlock]:
    """The documents of arrays (ids, offsets), as `corpus_pieces`; an id outside the vocabulary raises an IndexError."""
    if not isinstance(documents, Iterable):
        raise TypeError(f"{function}: documents must be TokenFiles, a TokenStore or blocks; got {kind(documents)}")
    for pair in documents:
        if not (isinstance(pair, tuple) and len(pair) == 2):
            raise TypeError(
                f"{function}: documents must be TokenFiles, a TokenStore or pairs (ids, offsets); got {kind(pair)}"
            )
        ids, offsets = _checked(function, *pair)
        tokens = max(1, bytes_at_once // (ids.itemsize + BYTES_PER_ID))
        for begin, end, bounds, continued in spans(offsets, tokens, whole=False):
            part = ids[begin:end]
            if (place := _first_outside(part, vocabulary)) is not None:
                raise IndexError(f"{function}: ids must be in [0, {vocabulary}); got {part[place]} at {begin + place}")
            if part.dtype not in (np.dtype("<u2"), np.dtype("<u4")):
                part = part.astype(np.uint32)
            yield TokenBlock(np.ascontiguousarray(part), bounds, begin, continued)
            release(ids)


def _checked(function: str, ids: Any, offsets: Any) -> tuple[Ids, Offsets]:
    for name, array in (("ids", ids), ("offsets", offsets)):
        if not (isinstance(array, np.ndarray) and array.ndim == 1 and array.dtype.kind in "iu"):
            raise TypeError(f"{function}: {name} must be a one-dimensional array of integers; got {kind(array)}")
    offsets = offsets.astype(np.int64, copy=False)
    rule = f"{function}: offsets must begin at 0, never decrease and end at {len(ids)}"
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(ids) or (offsets[1:] < offsets[:-1]).any():
        raise ValueError(f"{rule}; got others")
    return ids, offsets


def _first_outside(ids: Ids, vocabulary: int) -> int | None:
    """The place of the first id that is not in [0, vocabulary)."""
    if not len(ids) or (int(ids.min()) >= 0 and int(ids.max()) < vocabulary):
        return None
    return int(np.flatnonzero((ids < 0) | (ids >= vocabulary))[0])


def release(array: npt.NDArray[Any]) -> None:
    """Give back the resident pages of a read-only mapped array; later reads come from the file again."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap) and base.flags.writeable:
            return  # its pages may hold changes that the file does not
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)

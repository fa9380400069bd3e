"""The index files of Megatron-LM and datatrove: where each document of a token file begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pivotkit.corpus.reading.token_blocks import Offsets
from pivotkit.errors import CorpusError

MEGATRON = b"MMIDIDX\x00\x00" + (1).to_bytes(8, "little")  # an index begins with its name and version
MEGATRON_HEADER = 34  # bytes: name, version, type of the ids, number of sequences, number of bounds of documents
MEGATRON_TYPES = {1: "u1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}  # by the index's code; other codes are no ids


def count_ids(path: Path, dtype: np.dtype[Any]) -> int:
    """How many ids a headerless file holds; CorpusError where it ends within one."""
    size, rest = divmod(path.stat().st_size, dtype.itemsize)
    if rest:
        place = f"byte {size * dtype.itemsize}"
        raise CorpusError(path, place, f"must hold whole ids of {dtype}; got a part of one")
    return size


def megatron_dtype(path: Path) -> np.dtype[Any]:
    """The type of the ids of the ``.bin`` at ``path``, from the first bytes of its index."""
    with _index(path.with_suffix(".idx")).open("rb") as file:
        return _megatron_dtype(path.with_suffix(".idx"), file.read(MEGATRON_HEADER))


def megatron_offsets(path: Path) -> Offsets:
    """Where the documents of a ``.bin`` begin, and the end of the last, from the ``.idx`` beside it.

    A document may be of several sequences. Layout: ``MMapIndexedDataset`` version 1.

    Raises
    ------
    CorpusError
        For an index that is missing, of another kind or version, cut short, or of a type that is not an id's, and for
        sequences that do not lie one behind another over the whole ``.bin``.
    """
    index = path.with_suffix(".idx")
    raw = _index(index).read_bytes()
    dtype = _megatron_dtype(index, raw)
    sequences, bounds = (int(number) for number in np.frombuffer(raw, "<u8", 2, 18))
    size = MEGATRON_HEADER + 12 * sequences + 8 * bounds
    if len(raw) != size:
        raise CorpusError(
            index, "", f"must hold {sequences} sequences and {bounds} bounds, {size} bytes; got {len(raw)}"
        )
    ids = count_ids(path, dtype)
    lengths = np.frombuffer(raw, "<i4", sequences, MEGATRON_HEADER)
    pointers = np.frombuffer(raw, "<i8", sequences, MEGATRON_HEADER + 4 * sequences)
    documents = np.frombuffer(raw, "<i8", bounds, MEGATRON_HEADER + 12 * sequences)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
    if (lengths < 0).any() or not np.array_equal(pointers, ends[:-1] * dtype.itemsize) or ends[-1] != ids:
        rule = f"must lay its sequences one behind another over {path.name}, {ids} ids"
        raise CorpusError(index, "", f"{rule}; got others")
    if not len(documents) or documents[0] != 0 or documents[-1] != sequences or (np.diff(documents) < 0).any():
        raise CorpusError(index, "", f"must bound documents by sequences from 0 to {sequences}, in order; got others")
    offsets: Offsets = ends[documents]
    return offsets


def datatrove_offsets(path: Path, dtype: np.dtype[Any]) -> Offsets:
    """Where the documents of a ``.ds`` begin, and the end of the last, from the ``.ds.index`` beside it.

    Raises
    ------
    CorpusError
        For an index that is missing or cut short, and for ends that do not rise to the number of ids.
    """
    ids = count_ids(path, dtype)
    index = path.with_name(path.name + ".index")
    raw = _index(index).read_bytes()
    if len(raw) % 8:
        raise CorpusError(index, f"byte {len(raw) - len(raw) % 8}", "must hold ends of 8 bytes; got a part of one")
    offsets = np.concatenate([np.zeros(1, np.int64), np.frombuffer(raw, "<u8").astype(np.int64)])
    if (np.diff(offsets) < 0).any() or offsets[-1] != ids:
        raise CorpusError(index, "", f"must hold ends that rise to {ids}, the ids of {path.name}; got others")
    return offsets


def _megatron_dtype(index: Path, head: bytes) -> np.dtype[Any]:
    if head[: len(MEGATRON)] != MEGATRON or len(head) < MEGATRON_HEADER:
        raise CorpusError(index, "byte 0", f"must be a Megatron index of version 1; got {head[:18]!r}")
    if head[17] not in MEGATRON_TYPES:
        types = ", ".join(map(str, MEGATRON_TYPES))
        raise CorpusError(index, "byte 17", f"must name a type of ids, {types}; got {head[17]}")
    return np.dtype(MEGATRON_TYPES[head[17]])


def _index(path: Path) -> Path:
    if not path.exists():
        raise CorpusError(path, "", "must lie beside its token file; found none")
    return path

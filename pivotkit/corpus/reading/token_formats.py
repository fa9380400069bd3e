"""What lies beside or before the ids of a token file: the indexes of Megatron-LM and datatrove, a header of NumPy.

Each index is read and made here, so that what is read is what is written.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np

from pivotkit.corpus.reading.corpus_files import regular_file
from pivotkit.corpus.reading.token_blocks import Offsets
from pivotkit.errors import CorpusError

MEGATRON = b"MMIDIDX\x00\x00" + (1).to_bytes(8, "little")  # an index begins with its name and version
NUMPY = b"\x93NUMPY"
WIDTHS = ("uint16", "uint32", "uint64")
MEGATRON_HEADER = 34  # bytes: name, version, type of the ids, number of sequences, number of bounds of documents
MEGATRON_TYPES = {1: "u1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}  # by the index's code; other codes are no ids
NARROW = 1 << 16  # the largest vocabulary whose ids take two bytes


def count_ids(path: Path, dtype: np.dtype[Any]) -> int:
    """How many ids a headerless file holds; CorpusError where it ends within one."""
    size, rest = divmod(path.stat().st_size, dtype.itemsize)
    if rest:
        place = f"byte {size * dtype.itemsize}"
        raise CorpusError(path, place, f"must hold whole ids of {dtype}; got a part of one")
    return size


def written_dtype(format: str, vocab_size: int) -> np.dtype[Any]:
    """The type in which ids below ``vocab_size`` are written; Megatron has no code for uint32.

    >>> written_dtype("olmo", 65537), written_dtype("megatron", 65537), written_dtype("megatron", 65536)
    (dtype('uint32'), dtype('int32'), dtype('uint16'))
    """
    return np.dtype("<u2" if vocab_size <= NARROW else "<i4" if format == "megatron" else "<u4")


def megatron_index(lengths: Offsets, dtype: np.dtype[Any]) -> bytes:
    """The ``.idx`` of documents of one sequence each, which `megatron_layout` reads.

    >>> len(megatron_index(np.array([2, 3]), np.dtype("<u2"))) == MEGATRON_HEADER + 12 * 2 + 8 * 3
    True
    """
    code = next(code for code, name in MEGATRON_TYPES.items() if np.dtype(name) == dtype)
    pointers = (np.cumsum(lengths) - lengths) * dtype.itemsize
    head = MEGATRON + struct.pack("<BQQ", code, len(lengths), len(lengths) + 1)
    bounds = np.arange(len(lengths) + 1)
    return head + lengths.astype("<i4").tobytes() + pointers.astype("<i8").tobytes() + bounds.astype("<i8").tobytes()


def datatrove_index(lengths: Offsets) -> bytes:
    """The ``.ds.index`` of documents of these lengths, which `datatrove_offsets` reads.

    >>> np.frombuffer(datatrove_index(np.array([2, 3])), "<u8").tolist()
    [2, 5]
    """
    return np.cumsum(lengths).astype("<u8").tobytes()


def check_no_header(path: Path, dtype: np.dtype[Any]) -> None:
    """Raise a CorpusError when the file at ``path`` begins as numpy.save writes it (NEP 1)."""
    with path.open("rb") as file:
        if file.read(len(NUMPY)) == NUMPY:
            rule = f"must hold {dtype.name} ids without a header; got a file of numpy.save"
            raise CorpusError(
                path, "byte 0", f"{rule} (numpy.load(path).astype('{dtype.name}').tofile(new) writes one)"
            )


def index_of(path: Path, format: str) -> Path | None:
    """The file that says where the documents of a token file lie; None where its ids do."""
    if format == "olmo":
        return None
    index = path.with_suffix(".idx") if format == "megatron" else path.with_name(path.name + ".index")
    if not os.path.lexists(index):
        raise CorpusError(index, "", "must lie beside its token file; found none")
    regular_file(index)
    return index


def megatron_dtype(path: Path) -> np.dtype[Any]:
    """The type of the ids of the ``.bin`` at ``path``, from the first bytes of its index."""
    index = _index(path, "megatron")
    with index.open("rb") as file:
        return _megatron_dtype(index, file.read(MEGATRON_HEADER))


def megatron_layout(path: Path) -> tuple[np.dtype[Any], Offsets]:
    """The type of a ``.bin``'s ids, where its documents begin, and the end of the last, from the ``.idx`` beside it.

    A document may be of several sequences. Layout: ``MMapIndexedDataset`` version 1.

    Raises
    ------
    CorpusError
        For an index that is missing, of another kind or version, cut short, or of a type that is not an id's, and for
        sequences that do not lie one behind another over the whole ``.bin``.
    """
    index = _index(path, "megatron")
    raw = index.read_bytes()
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
    if not len(documents) or documents[0] != 0 or documents[-1] != sequences or (documents[1:] < documents[:-1]).any():
        raise CorpusError(index, "", f"must bound documents by sequences from 0 to {sequences}, in order; got others")
    return dtype, ends[documents]


def datatrove_offsets(path: Path, dtype: np.dtype[Any]) -> Offsets:
    """Where the documents of a ``.ds`` begin, and the end of the last, from the ``.ds.index`` beside it.

    Raises
    ------
    CorpusError
        For an index that is missing or cut short, and for ends that do not rise to the number of ids.
    """
    ids = count_ids(path, dtype)
    index = _index(path, "datatrove")
    raw = index.read_bytes()
    if len(raw) % 8:
        raise CorpusError(index, f"byte {len(raw) - len(raw) % 8}", "must hold ends of 8 bytes; got a part of one")
    offsets = np.concatenate([np.zeros(1, np.int64), np.frombuffer(raw, "<u8").astype(np.int64)])
    if (offsets[1:] < offsets[:-1]).any() or offsets[-1] != ids:
        size = ids * dtype.itemsize
        other = next((name for name in WIDTHS if size and int(offsets[-1]) * np.dtype(name).itemsize == size), "")
        hint = f" (as for {other} ids)" if other else ""
        raise CorpusError(index, "", f"must hold ends that rise to {ids}, the ids of {path.name}; got others{hint}")
    return offsets


def _megatron_dtype(index: Path, head: bytes) -> np.dtype[Any]:
    if head[: len(MEGATRON)] != MEGATRON or len(head) < MEGATRON_HEADER:
        raise CorpusError(index, "byte 0", f"must be a Megatron index of version 1; got {head[:18]!r}")
    if head[17] not in MEGATRON_TYPES:
        types = ", ".join(map(str, MEGATRON_TYPES))
        raise CorpusError(index, "byte 17", f"must name a type of ids, {types}; got {head[17]}")
    return np.dtype(MEGATRON_TYPES[head[17]])


def _index(path: Path, format: str) -> Path:
    index = index_of(path, format)
    assert index is not None
    return index

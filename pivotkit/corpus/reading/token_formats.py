"""Token files that pre-training read: memory-mapped, documents by their bounds, nothing copied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from pivotkit.errors import CorpusError

Ids = npt.NDArray[np.integer]
Id = TypeVar("Id", bound=np.integer)

TYPES = ("uint16", "uint32")
SCAN = 1 << 24  # ids that are searched for ends together
MEGATRON = b"MMIDIDX\x00\x00" + (1).to_bytes(8, "little")  # what an index begins with: its name and version
MEGATRON_HEADER = 34  # name, version, the ids' type, how many sequences, how many bounds of documents
MEGATRON_TYPES = {1: "u1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}  # by the index's code; the others are no ids


def map_ids(path: Path, dtype: np.dtype[Id]) -> npt.NDArray[Id]:
    """The ids of a headerless file, mapped and read-only; a CorpusError where it ends within one."""
    size = path.stat().st_size
    if size % dtype.itemsize:
        raise CorpusError(
            path, f"byte {size - size % dtype.itemsize}", f"must hold whole ids of {dtype}; got a part of one"
        )
    return np.memmap(path, dtype=dtype, mode="r") if size else np.zeros(0, dtype)  # an empty file cannot be mapped


def split(ids: npt.NDArray[Id], offsets: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[Id]]:
    """Documents ``ids[offsets[d]:offsets[d + 1]]``, views of ``ids``."""
    for begin, end in pairwise(offsets.tolist()):
        yield ids[begin:end]


@dataclass(frozen=True)
class TokenFile:
    """The ids of one file and where its documents are.

    Attributes
    ----------
    path : Path
    ids : (tokens,) array of a little-endian integer type, mapped and read-only
    offsets : (documents + 1,) int64
        Document d is ``ids[offsets[d]:offsets[d + 1]]``, its end-of-sequence id included where the file has one.
    """

    path: Path
    ids: Ids = field(repr=False)
    offsets: npt.NDArray[np.int64] = field(repr=False)

    def __len__(self) -> int:
        """How many documents the file holds."""
        return len(self.offsets) - 1

    def documents(self) -> Iterator[Ids]:
        """The ids of each document in the order of the file, views of ``ids``."""
        return split(self.ids, self.offsets)


def open_olmo(path: str | Path, *, dtype: str, eos: int, bos: int | None = None) -> TokenFile:
    """Map a token file of OLMo and dolma: ids and nothing else, though its name ends in ``.npy``.

    Parameters
    ----------
    path : str or Path
    dtype : {"uint16", "uint32"}
        Of the ids; little-endian. OLMo's first tokenizer fits 16 bits, dolma2 takes 32.
    eos : int
        The id that ends a document, and belongs to it. What follows the last one is a document too.
    bos : int, optional
        Where a document may hold ``eos`` (tokenizers with ``bos`` equal to ``eos``): it ends only where ``bos`` comes next.

    Raises
    ------
    ValueError
        Another type.
    CorpusError
        A file that ends within an id.

    Notes
    -----
    Cost: one pass over the ids; 8 bytes a document are held beside the mapping.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "part-0.npy"
    >>> np.array([5, 6, 0, 7, 0, 8], "<u2").tofile(file)
    >>> [document.tolist() for document in open_olmo(file, dtype="uint16", eos=0).documents()]
    [[5, 6, 0], [7, 0], [8]]
    """
    path = Path(path)
    ids = map_ids(path, _type("open_olmo", dtype))
    parts = [np.zeros(1, np.int64)]
    for begin in range(0, len(ids), SCAN):
        ends = begin + np.flatnonzero(ids[begin : begin + SCAN] == eos) + 1
        if bos is not None:
            ends = ends[(ends == len(ids)) | (ids[np.minimum(ends, len(ids) - 1)] == bos)]
        parts.append(ends)
    if len(ids) and not (len(parts[-1]) and parts[-1][-1] == len(ids)):
        parts.append(np.array([len(ids)]))
    return TokenFile(path, ids, np.concatenate(parts))


def open_megatron(path: str | Path) -> TokenFile:
    """Map a ``.bin`` of Megatron-LM with the ``.idx`` beside it; a document may be of several sequences.

    Parameters
    ----------
    path : str or Path
        The ``.bin``.

    Raises
    ------
    CorpusError
        An index that is missing, of another kind or version, cut short, of a type that is no id's, or whose sequences do
        not lie one behind another over the whole ``.bin``.

    Notes
    -----
    Layout: ``MMapIndexedDataset`` version 1. Cost: one pass over the index.
    """
    path = Path(path)
    index = path.with_suffix(".idx")
    raw = _index(index)
    if raw[: len(MEGATRON)] != MEGATRON or len(raw) < MEGATRON_HEADER:
        raise CorpusError(index, "byte 0", f"must be a Megatron index of version 1; got {bytes(raw[:18])!r}")
    code = raw[17]
    sequences, bounds = (int(number) for number in np.frombuffer(raw, "<u8", 2, 18))
    if code not in MEGATRON_TYPES:
        raise CorpusError(
            index, "byte 17", f"must name a type of ids, {', '.join(map(str, MEGATRON_TYPES))}; got {code}"
        )
    if len(raw) != MEGATRON_HEADER + 12 * sequences + 8 * bounds:
        rule = f"must hold {sequences} sequences and {bounds} bounds, {MEGATRON_HEADER + 12 * sequences + 8 * bounds} bytes"
        raise CorpusError(index, "", f"{rule}; got {len(raw)}")
    ids = map_ids(path, np.dtype(MEGATRON_TYPES[code]))
    lengths = np.frombuffer(raw, "<i4", sequences, MEGATRON_HEADER)
    pointers = np.frombuffer(raw, "<i8", sequences, MEGATRON_HEADER + 4 * sequences)
    documents = np.frombuffer(raw, "<i8", bounds, MEGATRON_HEADER + 12 * sequences)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
    if (lengths < 0).any() or not np.array_equal(pointers, ends[:-1] * ids.itemsize) or ends[-1] != len(ids):
        raise CorpusError(
            index, "", f"must lay its sequences one behind another over {path.name}, {len(ids)} ids; got others"
        )
    if not len(documents) or documents[0] != 0 or documents[-1] != sequences or (np.diff(documents) < 0).any():
        raise CorpusError(index, "", f"must bound documents by sequences from 0 to {sequences}, in order; got others")
    return TokenFile(path, ids, ends[documents])


def open_datatrove(path: str | Path, *, dtype: str) -> TokenFile:
    """Map a ``.ds`` of datatrove with the ``.ds.index`` beside it, which says where each document ends.

    Parameters
    ----------
    path : str or Path
        The ``.ds``.
    dtype : {"uint16", "uint32"}
        Of the ids; little-endian.

    Raises
    ------
    ValueError
        Another type.
    CorpusError
        A file that ends within an id, an index that is missing, cut short, or whose ends do not rise to the number of ids.

    Notes
    -----
    Cost: one pass over the index.
    """
    path = Path(path)
    ids = map_ids(path, _type("open_datatrove", dtype))
    index = path.with_name(path.name + ".index")
    raw = _index(index)
    if len(raw) % 8:
        raise CorpusError(index, f"byte {len(raw) - len(raw) % 8}", "must hold ends of 8 bytes; got a part of one")
    offsets = np.concatenate([np.zeros(1, np.int64), np.frombuffer(raw, "<u8").astype(np.int64)])
    if (np.diff(offsets) < 0).any() or offsets[-1] != len(ids):
        raise CorpusError(index, "", f"must hold ends that rise to {len(ids)}, the ids of {path.name}; got others")
    return TokenFile(path, ids, offsets)


def _type(function: str, dtype: str) -> np.dtype[np.integer]:
    if dtype not in TYPES:
        raise ValueError(f"{function}: dtype must be one of {', '.join(TYPES)}; got {dtype!r}")
    return np.dtype(dtype).newbyteorder("<")


def _index(path: Path) -> bytes:
    if not path.exists():
        raise CorpusError(path, "", "must lie beside its token file; found none")
    return path.read_bytes()

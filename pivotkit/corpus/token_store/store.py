"""A corpus as token ids on disk: read back without copying.

A store is a folder. ``tokenizer.json`` identifies the tokenizer. ``units/<unit>.u32`` holds the ids of one work unit
back to back (little-endian uint32), ``<unit>.offsets.npy`` where each document begins (int64, documents + 1), and
``<unit>.parquet`` the row, id and language of each document. ``store.json`` is written last and lists the units in
order. A unit with its Parquet file is complete, because that file is written last and every file appears whole. Where a
large file can be cut, ``<unit>.parts.parquet`` says where its parts begin.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pivotkit.arguments import check_path
from pivotkit.artifacts import read_object, read_table
from pivotkit.corpus.reading import token_blocks
from pivotkit.corpus.reading.amounts import amount
from pivotkit.corpus.reading.budget import DocumentBudget
from pivotkit.corpus.reading.documents import Unit
from pivotkit.corpus.reading.scope import DOCUMENT, Scope
from pivotkit.corpus.reading.token_blocks import IdFile, TokenBlock
from pivotkit.corpus.reading.token_formats import count_ids
from pivotkit.corpus.token_store.parts import Part, load_parts
from pivotkit.errors import InputError

ID = np.dtype("<u4")


class TokenStore:
    """Token ids of a corpus, memory-mapped; made by `tokenize`, opened by `TokenStore.open`.

    Attributes
    ----------
    folder : Path
    fingerprint : str
        Hash of the tokenizer, so that its ids are not read as another's. `tokenizer` is the same, as for `TokenFiles`.
    vocab_size : int
        One more than the tokenizer's largest id.
    on_error : str
        "raise" or "skip": what `tokenize` did with documents that cannot be read.
    units : list[Unit]
        The files, in the order of the corpus. Functions of a unit also take the units that `cut` makes of a file.
    """

    def __init__(self, folder: Path, header: dict[str, Any], units: list[Unit]) -> None:
        self.folder = folder
        self.fingerprint: str = header["fingerprint"]
        self.vocab_size: int = header["vocab_size"]
        self.on_error: str = header["on_error"]
        self.units = units
        self._written = dict(zip(units, units, strict=True))  # the unit whose name the files of a unit have

    def __repr__(self) -> str:
        told = f"{amount(len(self.units), 'unit')}, vocab_size={self.vocab_size}, tokenizer='{self.fingerprint[:8]}...'"
        return f"TokenStore({str(self.folder)!r}, {told})"

    @property
    def tokenizer(self) -> str:
        """Name of the tokenizer, by which counts tell whether they may be merged: its fingerprint."""
        return self.fingerprint

    @classmethod
    def open(cls, folder: str | Path) -> TokenStore:
        """Open a finished store; InputError when there is none, or when one of its files is missing or cut short."""
        check_path("open", "folder", folder)
        folder = Path(folder)
        if not (folder / "store.json").exists():
            raise InputError(folder, "", "must be a finished token store; found no store.json")
        listed = read_object(folder / "store.json", {"units": list})["units"]
        try:
            units = [Unit(Path(unit["path"]), int(unit["size"]), int(unit["modified"])) for unit in listed]
        except (KeyError, TypeError, ValueError):
            raise InputError(
                folder / "store.json", "", "must list path, size and time of each file; got others"
            ) from None
        header = read_object(folder / "tokenizer.json", {"fingerprint": str, "vocab_size": int, "on_error": str})
        store = cls(folder, header, units)
        for unit in units:
            if not unit_is_complete(folder, unit):
                raise InputError(folder, unit.path.name, "must have all files of this unit whole; found otherwise")
        return store

    def moved(self, units: Sequence[Unit]) -> TokenStore:
        """This store for the same files in other places or with other times; the caller vouches for their contents.

        InputError unless ``units`` have the names and sizes of the store's, in order.
        """
        known = {(unit.path.name, unit.size) for unit in self.units}
        if [(unit.path.name, unit.size) for unit in units] != [(unit.path.name, unit.size) for unit in self.units]:
            strange = next((unit.path for unit in units if (unit.path.name, unit.size) not in known), "another order")
            raise InputError(self.folder, "", f"must hold every file of the corpus as it is now; got {strange}")
        store = copy.copy(self)
        store.units = list(units)
        store._written = dict(zip(units, self.units, strict=True))
        return store

    def documents(self, unit: Unit) -> Iterator[npt.NDArray[np.uint32]]:
        """The ids of each document of ``unit``, uint32 views of the mapped file."""
        ids = self.ids(unit)
        for begin, end in pairwise(self.offsets(unit).tolist()):
            yield ids[begin:end]

    def ids(self, unit: Unit) -> npt.NDArray[np.uint32]:
        """All ids of ``unit`` back to back, uint32, mapped and read-only."""
        path = self._path(unit, ".u32")
        if not count_ids(path, ID):
            return np.zeros(0, ID)  # an empty file cannot be mapped
        ids = np.memmap(path, dtype=ID, mode="r")
        if unit.is_whole:
            return ids
        offsets = self._offsets(unit)
        return ids[offsets[0] : offsets[-1]]

    def read(self, unit: Unit, begin: int, end: int) -> npt.NDArray[np.uint32]:
        """Ids [begin, end) of ``unit``, read and not mapped."""
        first = 0 if unit.is_whole else int(self._offsets(unit)[0])
        return self._file(unit).read(first + begin, first + end)

    def offsets(self, unit: Unit) -> npt.NDArray[np.int64]:
        """Where each document of ``unit`` begins in `ids`, int64 (documents + 1)."""
        offsets = self._offsets(unit)
        return offsets if unit.is_whole else offsets - offsets[0]

    def first_row(self, unit: Unit) -> int:
        """How many rows of the file are before ``unit``."""
        return self._span(unit)[0].row

    def identity(self) -> dict[str, Any]:
        """What the counts depend on besides the units themselves, as `TokenFiles.identity`."""
        return {
            "format": "store",
            "tokenizer": self.fingerprint,
            "vocab_size": self.vocab_size,
            "on_error": self.on_error,
        }

    def work_units(self, unit_bytes: int | None = None, scope: Scope = DOCUMENT) -> list[Unit]:
        """The store's units, cut as `cut` does; for instances, which may cross any place, they are whole files."""
        size = None if scope.kind == "instance" else unit_bytes
        return [part for unit in self.units for part in self.cut(unit, size)]

    def cut(self, unit: Unit, unit_bytes: int | None) -> list[Unit]:
        """The units of one of the store's files, in order: of about ``unit_bytes`` of the file, or one for None.

        They begin where parts of the file begin that `tokenize` has read alone, about every 4 MiB where the file's
        format allows it, and every function of the store takes them.
        """
        if unit_bytes is None:
            return [unit.file]
        begins = [0]
        for part in self._parts(unit):
            if part.begin - begins[-1] >= unit_bytes:
                begins.append(part.begin)
        return [replace(unit, begin=begin, end=end) for begin, end in zip(begins, [*begins[1:], None], strict=True)]

    def blocks(
        self,
        unit: Unit,
        scope: Scope = DOCUMENT,
        *,
        tokens: int | None = None,
        whole: bool = True,
        budget: DocumentBudget | None = None,
    ) -> Iterator[TokenBlock]:
        """Read the documents (or instances) of ``unit`` block by block, as `TokenFiles.blocks`."""
        at_once = token_blocks.BLOCK_TOKENS if tokens is None else tokens
        file = self._file(unit, budget)
        if scope.kind == "instance":
            if not unit.is_whole:
                raise ValueError(f"TokenStore: unit must be a whole file for instances; got {unit!r}")
            return file.instances(0, file.size // scope.tokens * scope.tokens, scope.tokens, at_once)
        return file.documents(self._offsets(unit), at_once, whole)

    def table(self, unit: Unit) -> pa.Table:
        """``row`` (int64; from 0 at the unit's first), ``id`` and ``lang`` (string) of each document of ``unit``."""
        table = read_table(self._path(unit, ".parquet"))
        if unit.is_whole:
            return table
        first, last = self._span(unit)
        table = table.slice(first.document, None if last is None else last.document - first.document)
        return table.set_column(0, "row", pc.subtract(table["row"], first.row))

    def tokens(self, unit: Unit) -> int:
        """How many ids ``unit`` holds."""
        if unit.is_whole:
            return self._size(unit)
        offsets = self._offsets(unit)
        return int(offsets[-1] - offsets[0])

    def _size(self, unit: Unit) -> int:
        """How many ids the file of ``unit`` holds."""
        return self._path(unit, ".u32").stat().st_size // ID.itemsize

    def _offsets(self, unit: Unit) -> npt.NDArray[np.int64]:
        """Where each document of ``unit`` begins in the ids of its file."""
        path, size = self._path(unit, ".offsets.npy"), self._size(unit)
        try:
            offsets: npt.NDArray[np.int64] = np.load(path, None if unit.is_whole else "r", allow_pickle=False)
        except (OSError, ValueError, EOFError, SyntaxError) as error:  # NumPy parses headers with Python's parser
            raise InputError(path, "", f"must hold offsets; {error}") from None
        good = offsets.dtype == "<i8" and offsets.ndim == 1 and offsets.size and offsets[0] == 0
        if good and offsets[-1] == size:
            first, last = self._span(unit)
            part = offsets[first.document : None if last is None else last.document + 1]
            if not (part[1:] < part[:-1]).any():
                return part if unit.is_whole else np.array(part)
        raise InputError(path, "", f"must hold offsets that ascend from 0 to {size}; got others")

    def _parts(self, unit: Unit) -> list[Part]:
        """The parts of the file of ``unit``."""
        listed = self._path(unit, ".parquet")
        return load_parts(self._path(unit, ".parts.parquet"), pq.read_metadata(listed).num_rows)

    def _span(self, unit: Unit) -> tuple[Part, Part | None]:
        """Where ``unit`` begins and ends; None for the end of the file."""
        if unit.is_whole:
            return Part(0, 0, 0, 0), None
        parts = {part.begin: part for part in self._parts(unit)}
        if unit.begin not in parts or not (unit.end is None or unit.end in parts):
            raise ValueError(f"TokenStore: unit must be one of the store's units; got {unit!r}")
        return parts[unit.begin], None if unit.end is None else parts[unit.end]

    def _file(self, unit: Unit, budget: DocumentBudget | None = None) -> IdFile:
        return IdFile(self._path(unit, ".u32"), ID, self._size(unit), self.vocab_size, budget)

    def _path(self, unit: Unit, suffix: str) -> Path:
        if unit.file not in self._written:
            raise ValueError(f"TokenStore: unit must be one of the store's units; got {unit.path}")
        return unit_path(self.folder, self._written[unit.file], suffix)


def unit_path(folder: Path, unit: Unit, suffix: str) -> Path:
    return folder / "units" / (unit.name + suffix)


def unit_is_complete(folder: Path, unit: Unit) -> bool:
    """Whether all three files of ``unit`` are there and agree on the number of documents and tokens."""
    flat, ends, listed = (unit_path(folder, unit, suffix) for suffix in (".u32", ".offsets.npy", ".parquet"))
    if not (flat.exists() and ends.exists() and listed.exists()):
        return False
    try:
        offsets = np.load(ends, mmap_mode="r")
        documents = pq.read_metadata(listed).num_rows
        return offsets.shape == (documents + 1,) and int(offsets[-1]) * 4 == flat.stat().st_size
    except (ValueError, TypeError, EOFError, OSError, SyntaxError, pa.ArrowException):
        return False

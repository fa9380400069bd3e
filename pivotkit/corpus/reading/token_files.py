"""Token files as a corpus to count: which files, in which format, in pieces that are read in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pivotkit.corpus.reading.id_file import IdFile, TokenBlock
from pivotkit.corpus.reading.scope import Scope
from pivotkit.corpus.reading.token_formats import MEGATRON_TYPES, TokenFile, open_datatrove, open_megatron
from pivotkit.corpus.reading.units import Corpus, Unit, find_files
from pivotkit.errors import CorpusError

FORMATS = ("olmo", "megatron", "datatrove")
SUFFIXES = {"olmo": ".npy", "megatron": ".bin", "datatrove": ".ds"}


@dataclass(frozen=True)
class TokenFiles:
    """Token files that pre-training read, as a corpus for `count`.

    Parameters
    ----------
    files : path or sequence of paths
        Files, folders (every file below with the format's suffix: ``.npy``, ``.bin``, ``.ds``) or globs; counted in the
        order of their names.
    vocab_size : int
        Ids are below it; an id beyond it is an error that names file and place.
    format : {"olmo", "megatron", "datatrove"}, default "olmo"
        Headerless ids whose documents end at ``eos``; ``.bin`` beside ``.idx``; ``.ds`` beside ``.ds.index``.
    dtype : {"uint16", "uint32"}, default "uint16"
        Of the ids, little-endian; Megatron's index says it itself.
    eos : int, optional
        The id that ends a document and belongs to it; "olmo" needs it.
    bos : int, optional
        As for `open_olmo`: where a document may hold ``eos``, it ends only before ``bos``.
    tokenizer : str, optional
        A name for whose ids these are; counts of different names do not merge.

    Raises
    ------
    ValueError
        A format or type that is none of these, an "olmo" without ``eos``.

    Examples
    --------
    >>> TokenFiles("part-*.npy", vocab_size=50280, eos=50279).format
    'olmo'
    """

    files: Corpus
    vocab_size: int
    format: str = "olmo"
    dtype: str = "uint16"
    eos: int | None = None
    bos: int | None = None
    tokenizer: str | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"TokenFiles: format must be one of {', '.join(FORMATS)}; got {self.format!r}")
        if self.dtype not in ("uint16", "uint32"):
            raise ValueError(f"TokenFiles: dtype must be uint16 or uint32; got {self.dtype!r}")
        if (self.eos is None) == (self.format == "olmo"):
            raise ValueError(f"TokenFiles: eos must be given for olmo files and for no others; got {self.eos!r}")
        if self.bos is not None and self.eos is None:
            raise ValueError(f"TokenFiles: bos must come with eos; got {self.bos!r}")
        if not 1 <= self.vocab_size < 2**31:
            raise ValueError(f"TokenFiles: vocab_size must be in [1, 2^31); got {self.vocab_size}")

    def identity(self) -> dict[str, Any]:
        """What the counts depend on besides the files themselves."""
        return {
            "format": self.format, "dtype": self.dtype, "eos": self.eos, "bos": self.bos,
            "vocab_size": self.vocab_size, "tokenizer": self.tokenizer,
        }  # fmt: skip

    def paths(self) -> list[Path]:
        """The files, sorted; CorpusError where a part matches nothing or is of another suffix."""
        suffix = SUFFIXES[self.format]
        return find_files("TokenFiles", self.files, (suffix,), lambda folder: list(folder.rglob(f"*{suffix}")))

    def units(self, unit_bytes: int | None, scope: Scope) -> list[Unit]:
        """Stretches of about ``unit_bytes`` of every file, in order; None: whole files.

        ``begin`` and ``end`` count ids for "olmo" and for instances, else documents. A unit has the documents (or
        instances) that begin in it.
        """
        units = []
        for path in self.paths():
            whole = Unit.of(path)
            size, ends = self._extent(path, scope)
            if unit_bytes is None:
                units.append(Unit(path, whole.size, whole.modified, 0, size))
                continue
            if ends is None:
                step = max(1, unit_bytes // self._itemsize(path))
                if scope.kind == "instance":
                    step = -(-step // scope.tokens) * scope.tokens
                bounds = [*range(0, size, step), size] if size else [0, 0]
            else:
                limits = np.arange(0, ends[-1], max(1, unit_bytes // self._itemsize(path)))
                bounds = [*np.unique(np.searchsorted(ends[:-1], limits)).tolist(), size] if size else [0, 0]
            units += [
                Unit(path, whole.size, whole.modified, begin, end)
                for begin, end in pairwise(bounds)
                if begin < end or size == 0
            ]
        return units

    def blocks(self, unit: Unit, scope: Scope) -> Iterator[TokenBlock]:
        """The documents (or instances) of ``unit`` as ids and offsets, some million ids at a time, read and not mapped."""
        end = self._extent(unit.path, scope)[0] if unit.end is None else unit.end
        dtype = self._dtype(unit.path)
        file = IdFile(unit.path, dtype, unit.size // dtype.itemsize, self.vocab_size)
        if scope.kind == "instance":
            return file.instances(unit.begin, end, scope.tokens)
        if self.format == "olmo":
            return file.until_eos(unit.begin, end, int(self.eos or 0), self.bos)
        return file.documents(self._open(unit.path).offsets[unit.begin : end + 1])

    def _open(self, path: Path) -> TokenFile:
        return open_megatron(path) if self.format == "megatron" else open_datatrove(path, dtype=self.dtype)

    def _extent(self, path: Path, scope: Scope) -> tuple[int, npt.NDArray[np.int64] | None]:
        """How many ids, or documents with their offsets, a file holds."""
        if self.format == "olmo" or scope.kind == "instance":
            size, rest = divmod(path.stat().st_size, self._itemsize(path))
            if rest:
                raise CorpusError(
                    path,
                    f"byte {path.stat().st_size - rest}",
                    f"must hold whole ids of {self._dtype(path)}; got a part of one",
                )
            return (size // scope.tokens * scope.tokens if scope.kind == "instance" else size), None
        offsets = self._open(path).offsets
        return len(offsets) - 1, offsets

    def _dtype(self, path: Path) -> np.dtype[Any]:
        if self.format != "megatron":
            return np.dtype(self.dtype).newbyteorder("<")
        with path.with_suffix(".idx").open("rb") as file:
            code = file.read(18)[-1:]
        return np.dtype(MEGATRON_TYPES[code[0]]) if code and code[0] in MEGATRON_TYPES else self._open(path).ids.dtype

    def _itemsize(self, path: Path) -> int:
        return self._dtype(path).itemsize

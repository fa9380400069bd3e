"""The context table on disk: compressed sparse rows in three arrays, mapped and not read, however large.

``indptr.npy`` (words + 1), ``tokens.npy`` (int32, the token id of each cell) and ``df.npy`` (int64). ``indptr`` is 32 bits
wide as ``tokens`` is, so that SciPy takes all three as they are; beyond 2^31 cells it is not, and SciPy widens a copy.
"""

from __future__ import annotations

import io
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.format import write_array_header_1_0
from scipy.sparse import csr_array

from pivotkit.artifacts import atomic_path
from pivotkit.errors import InputError

NAMES = ("indptr", "tokens", "df")
NARROW = 2**31 - 1  # cells that 32-bit places can tell apart
HEADER = 128  # bytes of a header of one dimension, whatever its length


class ContextWriter:
    """Writes a table row by row; its files appear, whole, when the block it is used in succeeds."""

    def __init__(self, folder: Path, words: int, vocabulary: int) -> None:
        self._folder, self._words = folder, words
        self._offsets = [0]
        self._exits = ExitStack()

    def __enter__(self) -> ContextWriter:
        self._paths = {name: self._exits.enter_context(atomic_path(self._folder / f"{name}.npy")) for name in NAMES}
        self._files = {name: self._exits.enter_context(self._paths[name].open("wb")) for name in ("tokens", "df")}
        for file in self._files.values():
            file.write(b"\0" * HEADER)
        return self

    def row(self, tokens: npt.NDArray[Any], counts: npt.NDArray[np.int64]) -> None:
        """The next word's cells, tokens ascending."""
        self._files["tokens"].write(tokens.astype("<i4").tobytes())
        self._files["df"].write(counts.astype("<i8").tobytes())
        self._offsets.append(self._offsets[-1] + len(tokens))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            for name, file in self._files.items():
                file.seek(0)
                file.write(_header(np.dtype("<i4" if name == "tokens" else "<i8"), self._offsets[-1]))
                file.flush()
            width = np.int32 if self._offsets[-1] <= NARROW else np.int64
            with self._paths["indptr"].open("wb") as file:
                np.save(file, np.array(self._offsets, width))
        self._exits.__exit__(kind, error, trace)


def _header(dtype: np.dtype[Any], length: int) -> bytes:
    """The .npy header of a vector: NumPy leaves room for the length to grow, so its size is known before the length."""
    buffer = io.BytesIO()
    write_array_header_1_0(buffer, {"descr": dtype.str, "fortran_order": False, "shape": (length,)})
    raw = buffer.getvalue()
    if len(raw) != HEADER:
        raise RuntimeError(f"ContextWriter: NumPy's header must be of {HEADER} bytes; got {len(raw)}")
    return raw


def write_context(context: csr_array, folder: Path) -> None:
    """Write a table that is in memory."""
    with ContextWriter(folder, *context.shape) as writer:
        for begin, end in zip(context.indptr, context.indptr[1:], strict=False):
            writer.row(context.indices[begin:end], context.data[begin:end])


def open_context(folder: Path, words: int, vocabulary: int) -> csr_array:
    """The table in ``folder``, mapped read-only; InputError when its files do not fit together."""
    try:
        indptr, tokens, df = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in NAMES)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(folder, "", f"must hold a whole context table; {error}") from None
    if len(indptr) != words + 1 or len(tokens) != len(df) or indptr[-1] != len(tokens):
        raise InputError(folder, "", f"must hold a context table of {words} words; got arrays of other lengths")
    return csr_array((df, tokens, np.array(indptr)), shape=(words, vocabulary))


def is_open(context: csr_array, folder: Path) -> bool:
    """Whether ``context`` is the table in ``folder``, mapped, so that there is nothing to write."""
    base = context.data
    while base is not None and not isinstance(base, np.memmap):
        base = base.base
    return base is not None and Path(str(base.filename)) == (folder / "df.npy").resolve()

"""The context table on disk: compressed sparse rows in three arrays, which are mapped instead of read.

``indptr.npy`` (int64, words + 1), ``tokens.npy`` (int32, the token id of each cell) and ``df.npy`` (int64, or float64
for estimates).
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import scipy

from pivotkit.artifacts import atomic_path
from pivotkit.errors import InputError

NAMES = ("indptr", "tokens", "df")
NARROW = 2**31 - 1  # the most cells that 32-bit offsets can count
CHUNK = 1 << 20  # cells that are checked together
_mapped: WeakKeyDictionary[mmap.mmap, tuple[int, ...]] = WeakKeyDictionary()  # which file each table's ``df`` is


@contextmanager
def atomic_context(folder: Path) -> Iterator[list[Path]]:
    """Temporary paths that become the table's files, in the order of `NAMES`, when the ``with`` block succeeds."""
    with ExitStack() as exits:
        yield [exits.enter_context(atomic_path(folder / f"{name}.npy")) for name in NAMES]


def write_context(context: scipy.sparse.csr_array, folder: Path) -> None:
    """Write a table to ``folder``."""
    arrays = (
        (context.indptr, "<i8"),
        (context.indices, "<i4"),
        (context.data, "<f8" if context.dtype.kind == "f" else "<i8"),
    )
    with atomic_context(folder) as paths:
        for path, (array, dtype) in zip(paths, arrays, strict=True):
            with path.open("wb") as file:
                np.save(file, array.astype(dtype, copy=False))


def open_context(folder: Path, words: int, vocabulary: int) -> scipy.sparse.csr_array:
    """The table in ``folder``, mapped read-only; InputError when its files do not fit together.

    What native code relies on is checked: offsets ascend from 0 to the number of cells, and token ids lie in [0,
    ``vocabulary``). Cost: one pass over the offsets and token ids, some 0.5 s per GB.
    """
    arrays = []
    for name in NAMES:
        try:
            arrays.append(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError, EOFError, SyntaxError) as error:  # NumPy parses headers with Python's parser
            raise _broken(folder, name, str(error)) from None
    indptr, tokens, df = arrays
    if indptr.dtype != "<i8" or indptr.shape != (words + 1,):
        raise _broken(folder, "indptr", f"got {indptr.dtype} {indptr.shape} for {words} words")
    if indptr[0] != 0 or indptr[-1] != tokens.size or (indptr[1:] < indptr[:-1]).any():
        raise _broken(folder, "indptr", f"got offsets that do not ascend from 0 to {tokens.size}")
    if tokens.dtype != "<i4" or tokens.ndim != 1:
        raise _broken(folder, "tokens", f"got {tokens.dtype} {tokens.shape}")
    if df.dtype not in ("<i8", "<f8") or df.shape != tokens.shape:
        raise _broken(folder, "df", f"got {df.dtype} {df.shape} for {tokens.size} tokens")
    for part in _chunks(folder / "tokens.npy", tokens.size):
        if part.min() < 0 or part.max() >= vocabulary:
            raise _broken(folder, "tokens", f"got an id that is not in [0, {vocabulary})")
    if isinstance(df, np.memmap) and df.size:
        _mapped[df._mmap] = _identity(folder / "df.npy")  # type: ignore[attr-defined]
    # SciPy copies the tokens unless the offsets have the same width.
    offsets = np.array(indptr, np.int32 if indptr[-1] <= NARROW else np.int64)
    return scipy.sparse.csr_array((df, tokens, offsets), shape=(words, vocabulary))


def _chunks(path: Path, size: int) -> Iterator[npt.NDArray[np.int32]]:
    """The last ``size`` ids of a file, read and not mapped: what is mapped counts as memory of the process."""
    with path.open("rb") as file:
        file.seek(-4 * size, os.SEEK_END)
        for begin in range(0, size, CHUNK):
            yield np.fromfile(file, "<i4", min(CHUNK, size - begin))


def _broken(folder: Path, name: str, problem: str) -> InputError:
    return InputError(
        folder / f"{name}.npy", "", f"must hold a whole context table with the files beside it; {problem}"
    )


def _identity(path: Path) -> tuple[int, ...]:
    status = os.stat(path)  # noqa: PTH116 (one call for the whole identity)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def is_open(context: scipy.sparse.csr_array, folder: Path) -> bool:
    """Whether ``context`` is mapped from the files that lie in ``folder`` now, so that there is nothing to write."""
    base = context.data
    while base is not None and not isinstance(base, np.memmap):
        base = base.base
    path = folder / "df.npy"
    if base is None or not path.exists():
        return False
    return _mapped.get(base._mmap) == _identity(path)  # type: ignore[attr-defined]

"""The context table on disk: compressed sparse rows in three arrays, which are mapped instead of read.

``indptr.npy`` (int64, words + 1), ``tokens.npy`` (int32, the token id of each cell) and ``df.npy`` (int64, or float64
for estimates).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from pivotkit.artifacts import atomic_path
from pivotkit.errors import InputError

NAMES = ("indptr", "tokens", "df")
NARROW = 2**31 - 1  # the most cells that 32-bit offsets can count


@contextmanager
def atomic_context(folder: Path) -> Iterator[list[Path]]:
    """Temporary paths that become the table's files, in the order of `NAMES`, when the ``with`` block succeeds."""
    with ExitStack() as exits:
        yield [exits.enter_context(atomic_path(folder / f"{name}.npy")) for name in NAMES]


def write_context(context: csr_array, folder: Path) -> None:
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


def open_context(folder: Path, words: int, vocabulary: int) -> csr_array:
    """The table in ``folder``, mapped read-only; InputError when its files do not fit together."""
    try:
        indptr, tokens, df = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in NAMES)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(folder, "", f"must hold a whole context table; {error}") from None
    if len(indptr) != words + 1 or len(tokens) != len(df) or indptr[-1] != len(tokens):
        raise InputError(folder, "", f"must hold a context table of {words} words; got arrays of other lengths")
    # SciPy copies the tokens unless the offsets have the same width.
    offsets = np.array(indptr, np.int32 if indptr[-1] <= NARROW else np.int64)
    return csr_array((df, tokens, offsets), shape=(words, vocabulary))


def is_open(context: csr_array, folder: Path) -> bool:
    """Whether ``context`` is mapped from ``folder``, so that there is nothing to write."""
    base = context.data
    while base is not None and not isinstance(base, np.memmap):
        base = base.base
    return base is not None and Path(str(base.filename)) == (folder / "df.npy").resolve()

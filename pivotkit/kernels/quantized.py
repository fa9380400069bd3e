"""The int8 copy of an unembedding matrix for certified screening, and its cache file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pivotkit import _C

#: Digits, scales, residual norms and norms, as in csrc/unembed/quantized.h.
Quantized = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]

_FORMAT = b"pivotkit int8 rotation 1"
_HASH_ROWS = 4096


def quantize(weight: NDArray[Any], dtype: str, threads: int, cache: Path | None) -> Quantized:
    """Quantize the bits of a weight; with ``cache``, write that file if it is missing and map it."""
    if cache is None:
        return _C.quantize(weight, dtype, threads)
    fingerprint = _fingerprint(weight, dtype)
    if not cache.exists():
        _write(cache, _C.quantize(weight, dtype, threads), fingerprint)
    return _read(cache, _record(weight.shape), fingerprint)


def _record(shape: tuple[int, ...]) -> np.dtype[np.void]:
    rows, cols = (-(-size // 64) * 64 for size in shape)
    row_floats = ("<f4", (rows,))
    return np.dtype(
        [("fingerprint", "S64"), *((name, *row_floats) for name in _FLOATS), ("digits", "u1", (rows * cols,))]
    )


_FLOATS = ("scales", "residuals", "norms")


def _fingerprint(weight: NDArray[Any], dtype: str) -> bytes:
    digest = hashlib.sha256(_FORMAT + repr((dtype, weight.shape)).encode())
    for at in range(0, weight.shape[0], _HASH_ROWS):
        digest.update(np.ascontiguousarray(weight[at : at + _HASH_ROWS]).data)
    return digest.hexdigest().encode()


def _write(path: Path, quantized: Quantized, fingerprint: bytes) -> None:
    from pivotkit.artifacts import atomic_path  # imported here because it loads the table libraries

    digits, *floats = quantized
    rows = floats[0].size
    record = _record((rows, digits.size // rows))
    with atomic_path(path) as temporary:
        file = np.lib.format.open_memmap(temporary, mode="w+", dtype=record, shape=(1,))
        file["fingerprint"] = fingerprint
        for name, values in zip(_FLOATS, floats, strict=True):
            file[name][0] = values
        file["digits"][0] = digits.ravel()
        file.flush()


def _read(path: Path, record: np.dtype[np.void], fingerprint: bytes) -> Quantized:
    rule = "PackedUnembedding: cache must hold this weight's quantization (delete the file to make a new one)"
    try:
        file = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{rule}; got {path}: {error}") from error
    if file.dtype != record or file.shape != (1,) or bytes(file["fingerprint"][0]) != fingerprint:
        raise ValueError(f"{rule}; got {path}, of another weight")
    scales, residuals, norms = (file[name][0] for name in _FLOATS)
    return file["digits"][0], scales, residuals, norms

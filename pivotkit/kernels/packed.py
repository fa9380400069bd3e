"""An unembedding matrix, prepared once per model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pivotkit import _C
from pivotkit.arguments import check_path, check_text, refuse
from pivotkit.errors import BackendUnavailable
from pivotkit.kernels.arrays import bits, check_float, default_threads, device_of
from pivotkit.kernels.quantized import Quantized, quantize


class PackedUnembedding:
    """An unembedding matrix, prepared once per model: checked, and quantized to int8 for certified screening.

    It keeps the matrix itself, in its own type. ``precision="exact"`` copies nothing. ``"certified"`` adds one byte per
    weight and 12 bytes per row, with D and V rounded up to 64. The int8 copy is of the rows after a rotation, which
    leaves every product as it is.

    Parameters
    ----------
    weight : (V, D) float32, bfloat16 or float16, torch or NumPy
        The matrix; its rows must be contiguous.
    precision : {"exact", "certified"}, default "exact"
        ``"certified"`` allows ``unembed`` both precisions, ``"exact"`` only that one.
    threads : int, optional
        Threads of the check and the copy; by default one per CPU that the process may use.
    cache : path, optional
        File of the int8 copy. It is written if missing, and memory-mapped. For ``"certified"`` only.

    Raises
    ------
    TypeError
        ``weight`` is no array or not of a float type.
    ValueError
        ``weight`` has a wrong shape, rows that are not contiguous, NaN or infinity. ``cache`` holds another weight, is
        damaged, or is given for ``"exact"``.
    BackendUnavailable
        ``"certified"`` is asked for on a GPU.

    Notes
    -----
    Cost of ``"certified"``: one read of the weight and V D log D additions, 0.6 s for V 262,144 and D 640 on 2 cores.
    ``cache`` costs about as much again for a hash of the whole weight, which finds a stale file. It saves memory: all
    processes that map the file share it.

    Examples
    --------
    >>> import numpy as np
    >>> PackedUnembedding(np.eye(3, dtype=np.float32)).shape
    (3, 3)
    >>> from pivotkit.kernels import unembed
    >>> packed = PackedUnembedding(np.eye(3, dtype=np.float32), precision="certified")
    >>> unembed(np.float32([[0, 2, 1]]), packed, k=2, precision="certified").ids.tolist()
    [[1, 2]]
    """

    def __init__(
        self,
        weight: Any,
        precision: str = "exact",
        threads: int | None = None,
        cache: str | os.PathLike[str] | None = None,
    ) -> None:
        name = "PackedUnembedding"
        check_precision(name, precision)
        check_path(name, "cache", cache, none=True)
        self.dtype = check_weight(name, weight)
        if precision == "certified" and device_of(weight) != "cpu":
            raise BackendUnavailable(f"{name}: precision must be 'exact' on {device_of(weight)}; got 'certified'")
        if cache is not None and precision != "certified":
            raise ValueError(f"{name}: cache must be None for precision 'exact', which copies nothing; got {cache}")
        count = default_threads(name, threads)
        self.weight = weight
        self.shape = (int(weight.shape[0]), int(weight.shape[1]))
        self.precision = precision
        place = _first_nonfinite(weight, self.dtype, count)
        if place is not None:
            raise ValueError(f"{name}: weight must be finite; got NaN or infinity at row {place[0]}, column {place[1]}")
        self.quantized: Quantized | None = None
        if precision == "certified":
            self.quantized = quantize(bits(weight), self.dtype, count, None if cache is None else Path(cache))

    def __repr__(self) -> str:
        return f"PackedUnembedding(shape={self.shape}, dtype={self.dtype!r}, precision={self.precision!r})"


def check_precision(function: str, precision: str) -> None:
    """Refuse a name that is no precision."""
    check_text(function, "precision", precision)
    if precision not in ("exact", "certified"):
        refuse(function, "precision", "be 'exact' or 'certified'", precision)


def check_weight(function: str, weight: Any) -> str:
    """Name of the weight's float type; refuses a weight that no backend can read in place."""
    dtype = check_float(function, "weight", weight)
    if weight.ndim != 2 or 0 in weight.shape:
        raise ValueError(f"{function}: weight must be (V, D) and not empty; got {tuple(weight.shape)}")
    step = weight.stride(1) if hasattr(weight, "stride") else weight.strides[1] // weight.itemsize
    if step != 1 and weight.shape[1] > 1:
        raise ValueError(
            f"{function}: weight must have contiguous rows (a copy would double it); got a stride of {step}"
        )
    return dtype


def _first_nonfinite(weight: Any, dtype: str, threads: int) -> tuple[int, int] | None:
    if device_of(weight) == "cpu":
        return _C.first_nonfinite(bits(weight), dtype, threads)
    from pivotkit.kernels.torch_backend import first_nonfinite

    return first_nonfinite(weight.detach())

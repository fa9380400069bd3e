"""An unembedding matrix made ready once per model."""

from __future__ import annotations

from typing import Any

from pivotkit import _C
from pivotkit.errors import BackendUnavailable
from pivotkit.kernels.arrays import bits, check_float, default_threads, device_of


class PackedUnembedding:
    """An unembedding matrix (V, D), checked once: float type, shape, contiguous rows, no NaN or infinity.

    It keeps the matrix itself, in its own type, and copies nothing.

    Parameters
    ----------
    weight : (V, D) float32, bfloat16 or float16, torch or NumPy
        Rows must be contiguous.
    precision : str, default "exact"
        Only ``"exact"`` (float32 accumulation) is in this build.
    threads : int, optional
        Threads of the check; default one per CPU.

    Raises
    ------
    TypeError, ValueError, BackendUnavailable
        As for ``unembed``.

    Examples
    --------
    >>> import numpy as np
    >>> PackedUnembedding(np.eye(3, dtype=np.float32)).shape
    (3, 3)
    """

    def __init__(self, weight: Any, precision: str = "exact", threads: int | None = None) -> None:
        name = "PackedUnembedding"
        check_precision(name, precision)
        self.dtype = check_weight(name, weight)
        self.weight = weight
        self.shape = (int(weight.shape[0]), int(weight.shape[1]))
        self.precision = precision
        place = _first_nonfinite(weight, self.dtype, default_threads(name, threads))
        if place is not None:
            raise ValueError(f"{name}: weight must be finite; got NaN or infinity at row {place[0]}, column {place[1]}")


def check_precision(function: str, precision: str) -> None:
    """Refuse a precision that does not exist, or not in this build."""
    if precision == "certified":
        raise BackendUnavailable(f"{function}: precision must be 'exact' in this build; got 'certified'")
    if precision != "exact":
        raise ValueError(f"{function}: precision must be 'exact' or 'certified'; got {precision!r}")


def check_weight(function: str, weight: Any) -> str:
    """Name of the weight's float type, after refusing what no backend can read in place."""
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

"""Torch tensors and NumPy arrays behind one set of functions; torch is imported only where its tensors come in."""

from __future__ import annotations

import functools
import sys
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pivotkit.arguments import available_cpus, shown

MOST_THREADS = 4096
FLOAT_TYPES = ("float32", "bfloat16", "float16")


def is_torch(value: object) -> bool:
    """Whether the value is a torch tensor; torch is never imported to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def float_name(value: Any) -> str:
    """Name of the type of an array or tensor: ``"bfloat16"`` for ``torch.bfloat16``."""
    return _dtype_name(value.dtype)


@functools.cache  # NumPy takes microseconds to spell a type
def _dtype_name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def check_float(function: str, argument: str, value: Any) -> str:
    """Name of the floating type of an array or tensor.

    Raises
    ------
    TypeError
        The value is neither, or has another type.
    """
    if not is_torch(value) and not isinstance(value, np.ndarray):
        raise TypeError(f"{function}: {argument} must be a torch tensor or a NumPy array; got {type(value).__name__}")
    name = float_name(value)
    if name not in FLOAT_TYPES:
        raise TypeError(f"{function}: {argument} must be float32, bfloat16 or float16; got {name}")
    return name


def device_of(value: Any) -> str:
    """Device of a tensor as text; NumPy arrays are on the CPU."""
    return str(value.device) if is_torch(value) else "cpu"


def bits(value: Any) -> NDArray[Any]:
    """The memory of a CPU array for the native code, never copied: float32 as it is, 16-bit floats as uint16."""
    if is_torch(value):
        import torch

        value = value.detach()
        value = (value if value.dtype == torch.float32 else value.view(torch.uint16)).numpy()
    array: NDArray[Any] = value
    return array.view(np.uint16) if array.itemsize == 2 else array


def tensor(value: Any) -> Any:
    """The same memory as a torch tensor without gradient."""
    import torch

    if is_torch(value):
        return value.detach()
    if value.flags.writeable and value.dtype.kind != "V":  # NumPy knows bfloat16 as an extension, of kind V
        return torch.from_numpy(value)
    with warnings.catch_warnings():
        # Torch warns of read-only memory (a memory map); the kernels only read.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        if str(value.dtype) == "bfloat16":
            return torch.from_numpy(value.view(np.uint16)).view(torch.bfloat16)
        return torch.from_numpy(value)


def integers(function: str, argument: str, value: Any) -> NDArray[np.int64]:
    """Ids as a NumPy int64 array.

    Raises
    ------
    TypeError
        The values are not integers.
    """
    try:
        array = value.detach().cpu().numpy() if is_torch(value) else np.asarray(value)
    except ValueError:  # lists of different lengths
        raise TypeError(f"{function}: {argument} must be integer ids; got lists of different lengths") from None
    if array.size == 0 and not isinstance(value, np.ndarray) and not is_torch(value):
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{function}: {argument} must be integer ids; got {array.dtype}")
    return array.astype(np.int64, copy=False)


def default_threads(function: str, threads: int | None) -> int:
    """The number of threads given, or one thread per CPU that this process may use."""
    if threads is None:
        return available_cpus()
    if isinstance(threads, bool) or not isinstance(threads, int):
        raise TypeError(f"{function}: threads must be an int or None; got {type(threads).__name__}")
    if threads < 1:
        raise ValueError(f"{function}: threads must be at least 1; got {shown(threads)}")
    if threads > MOST_THREADS:
        raise ValueError(f"{function}: threads must be at most {MOST_THREADS}; got {shown(threads)}")
    return threads

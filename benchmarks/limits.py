"""The machine's limits, measured when asked for: bandwidth of a streaming read, rate of multiply-adds in registers."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# Loops of limits.cpp, and how many rounds take a quarter of a second or less.
LOOPS = {
    "float32": ("multiply_adds", 20_000_000, "float32 multiply-adds in registers"),
    "pairs": ("multiply_add_pairs", 20_000_000, "multiply-adds of bfloat16 pairs in registers"),
    "tiles": ("multiply_add_tiles", 5_000_000, "products of bfloat16 tiles"),
}


@functools.lru_cache(maxsize=1)
def library() -> Any | None:
    """``limits.cpp``, built for this processor; None without g++."""
    if shutil.which("g++") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "limits.so"
        command = ["g++", "-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC", "-pthread"]
        subprocess.run([*command, str(Path(__file__).with_suffix(".cpp")), "-o", str(built)], check=True)
        loaded = ctypes.CDLL(str(built))
    loaded.read_bytes.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int]
    for name, _, _ in LOOPS.values():
        getattr(loaded, name).argtypes = [ctypes.c_int64, ctypes.c_int]
        getattr(loaded, name).restype = ctypes.c_double
    return loaded


def best_time(method: Callable[[], Any], rounds: int, before: Callable[[], Any] = lambda: None) -> float:
    times = []
    for _ in range(rounds):
        before()
        begin = time.perf_counter()
        method()
        times.append(time.perf_counter() - begin)
    return min(times)


def read_seconds(weight: Tensor) -> float:
    """The least time in which the weight's bytes could be read once, by torch's sum or by plain loops, from memory."""
    loaded = library()
    assert loaded is not None
    words, others = weight.view(torch.float32), torch.ones(1 << 25)  # more than a cache holds
    plain = best_time(
        lambda: loaded.read_bytes(weight.data_ptr(), weight.nbytes, torch.get_num_threads()), 6, others.sum
    )
    return min(plain, best_time(words.sum, 6, others.sum))


@functools.cache
def flops_per_second(kind: str) -> float:
    """Best rate that the processor reached in five tries of a loop of `LOOPS`; 0 where it has no such instruction."""
    loaded = library()
    assert loaded is not None
    name, rounds, _ = LOOPS[kind]
    done = [0.0]

    def run() -> None:
        done[0] = getattr(loaded, name)(rounds, torch.get_num_threads())

    return done[0] / seconds if (seconds := best_time(run, 5)) and done[0] else 0.0

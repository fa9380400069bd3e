"""The fused unembedding on CUDA against what one would write in PyTorch there; skipped where no GPU is.

Every method ends by waiting for the device, so times are of finished work. Sizes as in ``bench_unembed.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from unembed_methods import (
    LAYERS,
    ROWS,
    SECONDS,
    SHAPES,
    TRACE_SHAPE,
    assert_same,
    hidden_of,
    per_layer,
    pivotkit_unembed,
    torch_chunked,
    torch_dense,
    weight_of,
)

from pivotkit.kernels.cuda_backend import built

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
    pytest.mark.skipif(not built(), reason="pivotkit was built without CUDA kernels"),
]
DTYPES = [torch.float32, torch.bfloat16]
NAMES = ["float32", "bfloat16"]


def finished(method: Callable[[], Any], peaks: dict[str, float], name: str) -> Callable[[], Any]:
    """The method and a wait for its work; notes the MiB by which the device's memory rose at most."""

    def run() -> Any:
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        result = method()
        torch.cuda.synchronize()
        peaks[name] = round((torch.cuda.max_memory_allocated() - before) / 2**20, 1)
        return result

    return run


def all_finished(methods: dict[str, Callable[[], Any]], peaks: dict[str, float]) -> dict[str, Callable[[], Any]]:
    return {name: finished(method, peaks, name) for name, method in methods.items()}


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("dtype", DTYPES, ids=NAMES)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_unembed(interleaved: Any, benchmark: Any, shape: tuple[int, int], dtype: torch.dtype, rows: int) -> None:
    (dim, vocabulary), peaks = shape, {}
    weight, hidden = weight_of(dim, vocabulary, dtype, "cuda"), hidden_of(rows, dim, dtype, "cuda")
    type_name = str(dtype).removeprefix("torch.")
    benchmark.group = f"unembed cuda M={rows} V={vocabulary} D={dim} {type_name}"
    benchmark.extra_info["case"] = {"D": dim, "V": vocabulary, "M": rows, "weight": type_name}
    benchmark.extra_info["device"] = torch.cuda.get_device_name()
    results = interleaved(
        all_finished(
            {
                "torch": lambda: torch_dense(hidden, weight),
                "torch_chunked": lambda: torch_chunked(hidden, weight),
                "torch_per_layer": lambda: per_layer(torch_dense, hidden, weight),
                "pivotkit": lambda: pivotkit_unembed(hidden, weight),
            },
            peaks,
        ),
        SECONDS,
    )
    assert_same(results["pivotkit"], results["torch"], hidden, weight)
    assert peaks["pivotkit"] <= 65
    if not benchmark.disabled:
        benchmark.extra_info["peak_mib"] = peaks
        # What the method reads and multiplies at the least, per second: to be held against the device's data sheet.
        seconds = benchmark.extra_info["seconds"]["pivotkit"]
        benchmark.extra_info["gigabytes_per_second"] = weight.nbytes / seconds / 1e9
        benchmark.extra_info["teraflops"] = 2 * rows * weight.numel() / seconds / 1e12


@pytest.mark.parametrize("dtype", DTYPES, ids=NAMES)
def test_answer_position_trace(interleaved: Any, benchmark: Any, dtype: torch.dtype) -> None:
    """One position after each of the layers: a product for each layer against one call for the stack."""
    (dim, vocabulary), peaks = TRACE_SHAPE, {}
    weight, hidden = weight_of(dim, vocabulary, dtype, "cuda"), hidden_of(LAYERS, dim, dtype, "cuda")
    type_name = str(dtype).removeprefix("torch.")
    benchmark.group = f"trace cuda layers={LAYERS} V={vocabulary} D={dim} {type_name}"
    benchmark.extra_info["trace"] = {"D": dim, "V": vocabulary, "M": LAYERS, "weight": type_name}
    methods: dict[str, Callable[[], Any]] = {
        "torch_per_layer": lambda: per_layer(torch_dense, hidden, weight),
        "pivotkit_per_layer": lambda: per_layer(pivotkit_unembed, hidden, weight),
        "pivotkit": lambda: pivotkit_unembed(hidden, weight),
    }
    results = interleaved(all_finished(methods, peaks), SECONDS)
    assert_same(results["pivotkit"], results["torch_per_layer"], hidden, weight)

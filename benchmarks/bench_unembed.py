"""The fused unembedding against what one would write in PyTorch.

Sizes: small by default, so that a smoke run takes seconds. ``PIVOTKIT_BENCH=full`` runs heads of models in use,
with rows of one position, of its trace through 18 layers, of batches and of many positions' traces.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from unembed_methods import (
    LAYERS,
    ROWS,
    SECONDS,
    SHAPES,
    TRACE_SHAPE,
    Answer,
    assert_same,
    hidden_of,
    per_layer,
    pivotkit_unembed,
    torch_chunked,
    torch_dense,
    weight_of,
)

from pivotkit.kernels import PackedUnembedding


@functools.lru_cache(maxsize=1)
def certified(dim: int, vocabulary: int, dtype: torch.dtype) -> PackedUnembedding:
    return PackedUnembedding(weight_of(dim, vocabulary, dtype), precision="certified")


def best_time(method: Callable[[], Any], rounds: int = 10) -> float:
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        method()
        times.append(time.perf_counter() - begin)
    return min(times)


@functools.lru_cache(maxsize=1)
def product_rate() -> float:
    """Multiply-adds, as flops a second, of torch's best large float32 product, its operands in cache."""
    size = 1536
    square = torch.ones(size, size)
    return 2 * size**3 / best_time(lambda: square @ square)


def limit(benchmark: Any, rows: int, weight: Tensor) -> None:
    """How near each method comes to what the machine can do at all, where one thing bounds it."""
    seconds = benchmark.extra_info["seconds"]
    flops = 2.0 * rows * weight.numel()
    rates = {name: flops / median for name, median in seconds.items()}
    if rows == 1:
        words = weight.view(torch.float32)
        bound, name = best_time(lambda: words.sum()), "streaming read of the weight"
    elif rows >= 1000:
        # Best of any product seen: no claim about the hardware's peak. float32 only, as pivotkit computes.
        rate = max(product_rate(), *(rates.values() if weight.dtype == torch.float32 else [rates["pivotkit"]]))
        bound, name = flops / rate, "best float32 product seen"
    else:
        return
    shares = {method: round(bound / median, 3) for method, median in seconds.items() if method.startswith("pivotkit")}
    benchmark.extra_info["limit"] = {"name": name, "seconds": bound, "share": shares}


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_unembed(interleaved: Any, benchmark: Any, shape: tuple[int, int], dtype: torch.dtype, rows: int) -> None:
    (dim, vocabulary), weight = shape, weight_of(*shape, dtype)
    hidden = hidden_of(rows, dim, dtype)
    type_name = str(dtype).removeprefix("torch.")
    benchmark.group = f"unembed M={rows} V={vocabulary} D={dim} {type_name}"
    benchmark.extra_info["case"] = {"D": dim, "V": vocabulary, "M": rows, "weight": type_name}
    methods: dict[str, Callable[[], Answer]] = {
        "torch": lambda: torch_dense(hidden, weight),
        "torch_chunked": lambda: torch_chunked(hidden, weight),
        "torch_per_layer": lambda: per_layer(torch_dense, hidden, weight),
    }
    packed = certified(dim, vocabulary, dtype)
    methods["pivotkit_certified"] = lambda: pivotkit_unembed(hidden, packed, "certified")
    methods["pivotkit"] = lambda: pivotkit_unembed(hidden, weight)
    results = interleaved(methods, SECONDS)
    screened = results.pop("pivotkit_certified")
    # The ids are the exact ones; log-probabilities are off by what logsumexp is.
    assert torch.equal(screened[0], results["pivotkit"][0])
    torch.testing.assert_close(screened[1], results["pivotkit"][1], rtol=0, atol=0.1)
    for name, answer in results.items():
        if name != "torch":
            # Two torch methods round alike; ours is held against the dense one.
            assert_same(
                answer if name.startswith("pivotkit") else (answer[0], answer[1].float()),
                results["torch"],
                hidden,
                weight,
            )
    if not benchmark.disabled:
        limit(benchmark, rows, weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_answer_position_trace(interleaved: Any, benchmark: Any, dtype: torch.dtype) -> None:
    """One position after each of the layers: a product for each layer against one call for the stack."""
    dim, vocabulary = TRACE_SHAPE
    weight, hidden = weight_of(dim, vocabulary, dtype), hidden_of(LAYERS, dim, dtype)
    type_name = str(dtype).removeprefix("torch.")
    benchmark.group = f"trace layers={LAYERS} V={vocabulary} D={dim} {type_name}"
    benchmark.extra_info["trace"] = {"D": dim, "V": vocabulary, "M": LAYERS, "weight": type_name}
    methods: dict[str, Callable[[], Answer]] = {
        "torch_per_layer": lambda: per_layer(torch_dense, hidden, weight),
        "pivotkit_per_layer": lambda: per_layer(pivotkit_unembed, hidden, weight),
        "pivotkit": lambda: pivotkit_unembed(hidden, weight),
    }
    results = interleaved(methods, SECONDS)
    assert_same(results["pivotkit"], results["torch_per_layer"], hidden, weight)
    assert all(map(torch.equal, results["pivotkit"], results["pivotkit_per_layer"]))

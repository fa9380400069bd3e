"""The fused unembedding against plain PyTorch.

Sizes are small by default, so that a smoke run takes seconds. ``PIVOTKIT_BENCH=full`` runs the heads of real models,
with the rows of one position, of its trace through 18 layers, of a batch, and of traces of many positions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import limits
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

from pivotkit.kernels import WORKSPACE, PackedUnembedding, select_isa


@functools.lru_cache(maxsize=1)
def certified(dim: int, vocabulary: int, dtype: torch.dtype) -> PackedUnembedding:
    return PackedUnembedding(weight_of(dim, vocabulary, dtype), precision="certified")


def limit(benchmark: Any, rows: int, weight: Tensor) -> None:
    """Record the share of the machine's limit that pivotkit reaches, where a single resource is the limit."""
    if limits.library() is None:
        return
    # Only products of two bfloat16 factors run in pairs or tiles, and only on instruction sets that have them.
    kinds = {"avx512bf16": "pairs", "amx": "tiles"} if weight.dtype == torch.bfloat16 else {}
    kind = kinds.get(select_isa(), "float32")
    if rows == 1:
        seconds, name = limits.read_seconds(weight), "streaming read of the weight"
    elif rows >= 1000 or (kind == "tiles" and rows >= 200):
        rate = limits.flops_per_second(kind)
        if not rate:
            return
        seconds, name = 2.0 * rows * weight.numel() / rate, limits.LOOPS[kind][2]
    else:
        return
    share = round(seconds / benchmark.extra_info["seconds"]["pivotkit"], 3)
    benchmark.extra_info["limit"] = {"name": name, "seconds": seconds, "share": share}


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
    # The ids are the exact ones; log-probabilities have the error of logsumexp.
    assert torch.equal(screened[0], results["pivotkit"][0])
    torch.testing.assert_close(screened[1], results["pivotkit"][1], rtol=0, atol=0.1)
    for name, answer in results.items():
        if name != "torch":
            # The torch methods round alike; ours is compared with the dense one.
            assert_same(
                answer if name.startswith("pivotkit") else (answer[0], answer[1].float()),
                results["torch"],
                hidden,
                weight,
            )
    if not benchmark.disabled:
        limit(benchmark, rows, weight)
        peak = benchmark.extra_info["peak_mib"]["pivotkit"]
        assert peak is None or peak <= WORKSPACE / 2**20 + 8  # and thread stacks, results, allocator slack


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_answer_position_trace(interleaved: Any, benchmark: Any, dtype: torch.dtype) -> None:
    """One position after each layer: one product per layer against one call for the stack."""
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

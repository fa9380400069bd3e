"""The fused unembedding against what one would write in PyTorch.

Sizes: small by default, so that a smoke run takes seconds. ``PIVOTKIT_BENCH=full`` runs the shape of a 270-million
parameter model's head (V 262,144, D 640), where "layers" stacks 19 layers of M / 19 positions.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from pivotkit.kernels import unembed

K = 10
FULL = os.environ.get("PIVOTKIT_BENCH") == "full"
VOCABULARY, DIM = (262_144, 640) if FULL else (4_099, 64)
ROWS = (1, 19, 256, 1026) if FULL else (1, 19, 57)
LAYERS = 19


def torch_dense(hidden: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """What a user writes first: all logits, log_softmax, topk."""
    best = torch.log_softmax(hidden @ weight.T, dim=-1).topk(K)
    return best.indices, best.values


def torch_chunked(hidden: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The same in bounded memory: chunks of the vocabulary, merged."""
    values, ids, parts = [], [], []
    for start in range(0, weight.shape[0], 8192):
        z = hidden @ weight[start : start + 8192].T
        best = z.topk(min(K, z.shape[1]))
        values.append(best.values)
        ids.append(best.indices + start)
        parts.append(z.logsumexp(-1))
    best = torch.cat(values, 1).topk(K)
    return torch.cat(ids, 1).gather(1, best.indices), best.values - torch.stack(parts).logsumexp(0)[:, None]


def torch_per_layer(hidden: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """What lens tools do: one pass over the weight for each layer."""
    layers = [torch_dense(layer, weight) for layer in hidden.tensor_split(min(LAYERS, len(hidden)))]
    ids, logprobs = zip(*layers, strict=True)
    return torch.cat(ids), torch.cat(logprobs)


def pivotkit_unembed(hidden: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """One pass over the weight for all rows."""
    result = unembed(hidden, weight, K, threads=torch.get_num_threads())
    return result.ids, result.logprobs


METHODS: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "torch": torch_dense,
    "torch_chunked": torch_chunked,
    "torch_per_layer": torch_per_layer,
    "pivotkit": pivotkit_unembed,
}


def head(rows: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(VOCABULARY, DIM, generator=generator).mul_(3.0 / DIM**0.5).to(dtype)
    return torch.randn(rows, DIM, generator=generator), weight


def assert_same(ours: tuple[Tensor, Tensor], theirs: tuple[Tensor, Tensor]) -> None:
    torch.testing.assert_close(ours[1], theirs[1], rtol=1e-5, atol=3e-5)
    # Rounding may swap neighbours that are equal to the last bits; nearly all places must hold the same id.
    assert (ours[0] == theirs[0]).float().mean() > 0.99


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("method", METHODS)
def test_unembed(benchmark: Any, method: str, rows: int) -> None:
    hidden, weight = head(rows, torch.float32)
    benchmark.group = f"unembed M={rows} V={VOCABULARY} D={DIM} float32"
    assert_same(benchmark(METHODS[method], hidden, weight), torch_dense(hidden, weight))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("baseline", ["torch", "torch_chunked", "torch_per_layer"])
def test_unembed_paired(paired: Any, benchmark: Any, baseline: str, rows: int, dtype: torch.dtype) -> None:
    hidden, weight = head(rows, dtype)
    benchmark.group = f"unembed paired M={rows} V={VOCABULARY} D={DIM} {str(dtype).removeprefix('torch.')}"
    # Torch multiplies float32 by float32 only; its float32 copy of a 16-bit weight is made before the clock starts.
    wide = weight.float()
    rounds = 5 if rows < 500 else 3
    ours = paired(lambda: pivotkit_unembed(hidden, weight), lambda: METHODS[baseline](hidden, wide), rounds=rounds)
    assert_same(ours, METHODS[baseline](hidden, wide))

"""PyTorch methods that do what ``unembed`` does, the heads and rows to be timed, and the comparison of two answers."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pivotkit.kernels import unembed

K = 10
LAYERS = 18
FULL = os.environ.get("PIVOTKIT_BENCH") == "full"
SHAPES = [(576, 49_152), (640, 262_144), (896, 151_936), (2048, 50_304), (2048, 128_256)] if FULL else [(64, 4_099)]
ROWS = [1, 18, 64, 256, 1188] if FULL else [1, 18, 57]
TRACE_SHAPE = (640, 262_144) if FULL else (64, 4_099)  # a model of 270 million parameters
SECONDS = 6.0 if FULL else 0.2  # for the rounds of a case

Answer = tuple[Tensor, Tensor]


def torch_dense(hidden: Tensor, weight: Tensor) -> Answer:
    """The obvious method: all logits, log_softmax, topk."""
    best = torch.log_softmax(hidden @ weight.T, dim=-1).topk(K)
    return best.indices, best.values


def torch_chunked(hidden: Tensor, weight: Tensor) -> Answer:
    """The same in bounded memory: merges chunks of the vocabulary."""
    values, ids, parts = [], [], []
    for start in range(0, weight.shape[0], 8192):
        z = hidden @ weight[start : start + 8192].T
        best = z.topk(min(K, z.shape[1]))
        values.append(best.values)
        ids.append(best.indices + start)
        parts.append(z.logsumexp(-1))
    best = torch.cat(values, 1).topk(K)
    return torch.cat(ids, 1).gather(1, best.indices), best.values - torch.stack(parts).logsumexp(0)[:, None]


def per_layer(method: Callable[[Tensor, Any], Answer], hidden: Tensor, weight: Any) -> Answer:
    """The method of lens tools: one pass over the weight per layer."""
    ids, logprobs = zip(
        *[method(layer, weight) for layer in hidden.tensor_split(min(LAYERS, len(hidden)))], strict=True
    )
    return torch.cat(ids), torch.cat(logprobs)


def pivotkit_unembed(hidden: Tensor, weight: Any, precision: str = "exact") -> Answer:
    """One pass over the weight for all rows."""
    result = unembed(hidden, weight, K, threads=torch.get_num_threads(), precision=precision)
    return result.ids, result.logprobs


@functools.lru_cache(maxsize=1)
def weight_of(dim: int, vocabulary: int, dtype: torch.dtype, device: str = "cpu") -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(vocabulary, dim, generator=generator).mul_(3.0 / dim**0.5).to(dtype).to(device)


def hidden_of(rows: int, dim: int, dtype: torch.dtype, device: str = "cpu") -> Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(1)).to(dtype).to(device)


def assert_same(ours: Answer, theirs: Answer, hidden: Tensor, weight: Tensor) -> None:
    if weight.dtype == torch.float32:
        expected = theirs[1].clone()
        # Torch's float32 is sometimes off by 5e-5: float64 decides where the two disagree.
        disputed = ((ours[1] - expected).abs() > 3e-5 + 1e-5 * expected.abs()).any(1)
        if disputed.any():
            z = hidden[disputed].double() @ weight.double().T
            expected[disputed] = torch.log_softmax(z, dim=-1).topk(K).values.float()
        torch.testing.assert_close(ours[1], expected, rtol=1e-5, atol=3e-5)
        # Rounding may swap neighbours that differ in the last bits only; nearly all places must hold the same id.
        assert (ours[0] == theirs[0]).float().mean() > 0.99
    else:
        # torch rounds logits and log-probabilities to 8 bits, which makes many ids tie or swap.
        torch.testing.assert_close(ours[1], theirs[1].float(), rtol=0.03, atol=0.15)
        assert (ours[0][:, :, None] == theirs[0][:, None, :]).any(-1).float().mean() > 0.6

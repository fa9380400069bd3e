"""How far two ways of computing the same numbers lie apart, and what simple operation would explain it."""

from __future__ import annotations

import torch

#: How far equal computations may lie apart, as a share of the largest value: they differ by the order of a dot
#: product's additions, and in 16 bit by what the model rounds between its head and its logits.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 4e-3}


def difference(mine: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference as a share of the largest |theirs|; NaN where either holds NaN."""
    mine, theirs = mine.float(), theirs.float().to(mine.device)
    return float((mine - theirs).abs().max() / theirs.abs().max().clamp_min(1e-30))


def tolerance(*values: torch.Tensor) -> float:
    """The bound for computations that pass through the types of ``values``."""
    return max(TOLERANCE[value.dtype] for value in values)


def relation(before: torch.Tensor, after: torch.Tensor) -> str:
    """What turns ``before`` into ``after`` (..., N), in words: nothing, a factor, a soft-cap, an offset, or none of these."""
    if before.shape != after.shape:
        return f"shape {tuple(after.shape)} from {tuple(before.shape)}"
    bound = tolerance(before, after)
    before, after = before.double(), after.double().to(before.device)
    if difference(before, after) <= bound:
        return "no change"
    factor = float((after * before).sum() / before.square().sum().clamp_min(1e-30))
    if difference(before * factor, after) <= bound:
        return f"a factor of {factor:.4g}"
    cap = _cap(before, after)
    if cap is not None and difference(cap * torch.tanh(before / cap), after) <= bound:
        return f"a soft-cap at {cap:.4g}"
    offset = (after - before).flatten(0, -2).mean(0)
    if difference(before + offset, after) <= bound:
        return f"an offset of up to {float(offset.abs().max()):.4g}"
    return (
        f"a change by {difference(before, after):.3g} of the largest value that no factor, soft-cap or offset explains"
    )


def _cap(before: torch.Tensor, after: torch.Tensor) -> float | None:
    """The c that takes the largest |before| to its partner by ``c * tanh(z / c)``, by bisection."""
    largest = before.abs().argmax()
    z, capped = float(before.flatten()[largest].abs()), float(after.flatten()[largest].abs())
    if not 0 < capped < z:
        return None
    low, high = capped, 1e6 * z
    for _ in range(100):
        middle = (low + high) / 2
        reached = middle * float(torch.tanh(torch.tensor(z / middle, dtype=torch.float64)))
        low, high = (low, middle) if reached > capped else (middle, high)
    return high

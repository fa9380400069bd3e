"""How much two computations of the same numbers differ, and which simple operation explains the difference."""

from __future__ import annotations

import torch

#: How much equal computations may differ, as a share of the largest value. The order of a dot product's additions
#: changes the result, and so does, in 16 bits, the model's rounding between its head and its logits.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 4e-3}


def difference(mine: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference as a share of the largest |theirs|; NaN if either holds NaN."""
    mine, theirs = mine.float(), theirs.float().to(mine.device)
    return float((mine - theirs).abs().max() / theirs.abs().max().clamp_min(1e-30))


def tolerance(*values: torch.Tensor) -> float:
    """The largest of `TOLERANCE` for the types of ``values``."""
    return max(TOLERANCE[value.dtype] for value in values)


def describe_change(before: torch.Tensor, after: torch.Tensor) -> str:
    """Say what turns ``before`` into ``after`` (..., N): nothing, a factor, a soft-cap, an offset, or none of these."""
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
    """The c for which ``c * tanh(z / c)`` maps the largest |before| to its value in ``after``, by bisection."""
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

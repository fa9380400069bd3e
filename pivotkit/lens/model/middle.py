"""The residual stream between the attention and the feed-forward part of each block: found on a probe, and proved."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pivotkit.lens.model.capture import run_base
from pivotkit.lens.model.observe import hidden_argument, hidden_result
from pivotkit.lens.model.parts import ModelParts
from pivotkit.lens.model.proof import probe_ids


@dataclass
class Seen:
    """The calls of one block's parts on a probe, in order: what each read, and what each returned."""

    read: list[tuple[int, nn.Module, torch.Tensor]]
    returned: list[tuple[int, torch.Tensor]]

    def __repr__(self) -> str:
        return f"Seen(read={len(self.read)}, returned={len(self.returned)})"


@torch.inference_mode()
def middle_readers(function: str, head: ModelParts) -> tuple[nn.Module, ...]:
    """Find in each block the part whose input is the residual stream after attention.

    middle = before + c a    and    after = middle + c' f

    ``before`` and ``after`` are the block's input and output, ``a`` what a part returned before the middle was read,
    ``f`` what a part returned afterwards, and c, c' constants (1 in most models, the residual multiplier in Granite).
    The part that reads such a state is the norm of the feed-forward part, or that part itself.

    Parameters
    ----------
    function : str
        The function that errors name.
    head : LensHead

    Returns
    -------
    tuple of nn.Module
        One per block.

    Raises
    ------
    ValueError
        A block has no such state: it adds attention and feed-forward part at once (Phi, GPT-J, Cohere), or it norms the
        stream itself.

    Notes
    -----
    Both equations hold for every number of the probe's states, up to the rounding of the model's dtype. Cost: one
    forward pass over 8 tokens.
    """
    seen = [Seen([], []) for _ in head.blocks]
    ends: list[list[torch.Tensor]] = [[] for _ in head.blocks]
    clock = 0
    ids = probe_ids(head.weight)

    def tick() -> int:
        nonlocal clock
        clock += 1
        return clock

    def keep(values: torch.Tensor | None) -> torch.Tensor | None:
        """A copy as (T, D), since blocks may add in place and some merge batch and positions."""
        width = head.width
        if values is None or not values.is_floating_point() or values.shape[-1] != width:
            return None
        return values.reshape(-1, width).cpu().clone() if values.numel() == ids.numel() * width else None

    def watch(hooks: ExitStack, number: int, block: nn.Module) -> None:
        def reads(part: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
            if (values := keep(hidden_argument(args, kwargs))) is not None:
                seen[number].read.append((tick(), part, values))

        def returns(part: nn.Module, args: Any, output: Any) -> None:
            if (values := keep(hidden_result(output))) is not None:
                seen[number].returned.append((tick(), values))

        def begins(part: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
            if (values := keep(hidden_argument(args, kwargs))) is not None:
                ends[number].append(values)

        def stops(part: nn.Module, args: Any, output: Any) -> None:
            if (values := keep(hidden_result(output))) is not None:
                ends[number].append(values)

        hooks.enter_context(block.register_forward_pre_hook(begins, with_kwargs=True))
        hooks.enter_context(block.register_forward_hook(stops))
        for part in block.modules():
            if part is not block:
                hooks.enter_context(part.register_forward_pre_hook(reads, with_kwargs=True))
                hooks.enter_context(part.register_forward_hook(returns))

    with ExitStack() as hooks:
        for number, block in enumerate(head.blocks):
            watch(hooks, number, block)
        run_base(head.base, ids)
    return tuple(_reader(function, head, number, *found) for number, found in enumerate(zip(seen, ends, strict=True)))


def _reader(function: str, head: ModelParts, number: int, seen: Seen, ends: Sequence[torch.Tensor]) -> nn.Module:
    if len(ends) == 2:
        before, after = ends
        for when, part, middle in seen.read:
            if torch.equal(middle, before) or torch.equal(middle, after):
                continue
            earlier = (values for at, values in seen.returned if at < when)
            later = (values for at, values in seen.returned if at > when)
            if any(_adds(before, values, middle) for values in earlier) and any(
                _adds(middle, values, after) for values in later
            ):
                return part
    raise ValueError(
        f"{function}: points must be block alone for {type(head.base).__name__}; got attention, but block {number + 1} "
        "has no state that is its input plus its attention and its output less its feed-forward part: it adds both at "
        "once, norms a sum, or mixes tokens by more than attention"
    )


def _adds(start: torch.Tensor, part: torch.Tensor, end: torch.Tensor) -> bool:
    """Whether ``end`` is ``start`` plus ``part`` times a constant, in every number up to its rounding."""
    eps = torch.finfo(end.dtype).eps
    start, part, end = start.double(), part.double(), end.double()
    size = torch.maximum(start.abs(), end.abs()).clamp_min(1e-30)  # rounding is in proportion to it
    change, share = (end - start) / size, part / size
    fitted = float((change * share).sum() / share.square().sum().clamp_min(1e-300))
    for factor in (1.0, fitted):
        left = (change - factor * share).abs()
        rounded = left <= 2 * eps * torch.maximum(torch.ones_like(left), (factor * share).abs())
        # A part that explains nothing would pass where all of the change is rounding.
        if rounded.all() and left.square().sum() <= 0.25 * change.square().sum():
            return True
    return False

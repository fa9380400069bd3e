"""Proves the description of a model's parts against its logits, and what its cache and its mask leave unchanged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any

import torch
from torch import nn

from pivotkit.lens.model.cache import new_cache, select_rows
from pivotkit.lens.model.capture import capture, run_base, run_only_at
from pivotkit.lens.model.difference import TOLERANCE, describe_change, difference, tolerance
from pivotkit.lens.model.families import Operation
from pivotkit.lens.model.observe import Observation
from pivotkit.lens.model.parts import ModelParts

PROBE = (5, 3, 8, 2, 9, 4, 7, 6)  # token ids of the proof; any ids will do
WEIGHT_ROWS = 1 << 14  # rows of the head's matrix that are widened to float32 together

# Two computations of the same layers round differently in each layer, so states may differ by this multiple of the
# tolerance. A wrong position or mask changes far more.
LAYER_ROUNDING = 2.5


def probe_ids(weight: torch.Tensor) -> torch.Tensor:
    """The (1, T) token ids of the proof, within the vocabulary and on the device of the head's matrix."""
    return torch.tensor([PROBE], device=weight.device) % weight.shape[0]


def prove(head: ModelParts, observed: Observation, operations: tuple[Operation, ...], name: str) -> float:
    """Check the description against an observed pass over `probe_ids`.

    Parameters
    ----------
    head : ModelParts
        The description.
    observed : Observation
    operations : tuple of Operation
        What the description applies to the head's output.
    name : str
        What messages call the model.

    Returns
    -------
    float
        The largest difference to the model's logits, as a share of the largest |logit|.

    Raises
    ------
    ValueError
        The head's input, its output, the logits or the first choices differ from the description; the message names the
        difference.
    """
    positions = [(0, column) for column in range(len(PROBE))]
    last = capture(head, probe_ids(head.weight), positions, layers=[len(head.blocks)])[0]
    read = head.normed(last)
    bound = tolerance(head.weight, observed.head_input, observed.logits)
    if not difference(read, observed.head_input) <= bound:
        modules = ", ".join(type(module).__name__ for module in head.chain) or "no module"
        raise ValueError(
            f"LensHead: the head of {name} must read the last block's output through {modules}; got "
            f"{describe_change(read, observed.head_input.to(read.device))} between the two"
        )
    raw = _head_output(head, read)
    if not (raw.shape == observed.head_output.shape and difference(raw, observed.head_output) <= bound):
        raise ValueError(
            f"LensHead: the head of {name} must be hidden @ weight.T{'' if head.bias is None else ' + bias'}; got "
            f"{describe_change(raw, observed.head_output.to(raw.device))} on top of it"
        )
    mine = head.logit_scale * raw
    if head.softcap is not None:
        mine = head.softcap * torch.tanh(mine / head.softcap)
    logits = observed.logits.to(mine.device)
    error = difference(mine, logits)
    if not error <= bound:
        described = ", then ".join(map(str, operations)) or "no operation"
        raise ValueError(
            f"LensHead: the logits of {name} must be its head's output with {described} within {bound:g} of the "
            f"largest, as its configuration says; got {describe_change(raw, logits)} instead, a difference of "
            f"{error:.3g}"
        )
    _require_same_first_choices(head, last, mine, logits, name)
    return error


def _head_output(head: ModelParts, read: torch.Tensor) -> torch.Tensor:
    """``read @ weight.T + bias`` in float32, without a float32 copy of the whole weight."""
    raw = torch.cat([read.float() @ part.float().T for part in head.weight.split(WEIGHT_ROWS)], dim=-1)
    return raw if head.bias is None else raw + head.bias.float()


def _require_same_first_choices(
    head: ModelParts, last: torch.Tensor, mine: torch.Tensor, logits: torch.Tensor, name: str
) -> None:
    """Check that the kernel's first choices are the model's, except for ties within the precision of ``logits``."""
    result = head.unembed(last, k=1)
    first = result.ids[:, 0].to(logits.device)
    largest, choice = logits.float().max(-1)
    short = largest - logits.float().gather(1, first[:, None])[:, 0]
    ties = max(2 * torch.finfo(logits.dtype).eps, TOLERANCE[torch.float32] / 10) * float(logits.abs().max())
    if (short > ties).any():
        row = int(short.argmax())
        raise ValueError(
            f"LensHead: the last layer's first choice must be that of {name}; got token {int(first[row])} instead of "
            f"{int(choice[row])} at position {row} of the probe"
        )
    if not difference(result.logits[:, 0], mine.max(-1).values) <= TOLERANCE[torch.float32]:
        raise ValueError(f"LensHead: the kernel must give the logits of {name}; got others for its first choices")


def shares_prefix(head: ModelParts) -> bool:
    """Whether sequences that continue a cached prefix, one after another, have the states of whole sequences."""
    ids, layers = probe_ids(head.weight), range(len(head.blocks) + 1)
    cut = len(PROBE) // 2
    whole = capture(head, ids, [(0, column) for column in range(cut, len(PROBE))]).repeat(1, 2, 1)
    parts = [(row, column) for row in range(2) for column in range(len(PROBE) - cut)]
    try:
        prefix = new_cache(head.base)
        run_base(head.base, ids[:, :cut], past=prefix)
        continued = [
            capture(head, ids[:, cut:].expand(2, -1), parts, layers=layers, past=select_rows(prefix, [0, 0]))
            for _ in range(2)
        ]
    except Exception:
        # A model may fail in any way on a cache that it does not support. Running without the cache only costs time.
        return False
    return all(_same_at_most_positions(states, whole) for states in continued)


def pads_left(head: ModelParts) -> bool:
    """Whether masked padding on the left leaves the states unchanged."""
    ids = probe_ids(head.weight)
    columns = range(len(PROBE))
    padded = torch.cat([ids[:, :3], ids], dim=1)
    mask = torch.ones_like(padded)
    mask[:, :3] = 0
    whole = capture(head, ids, [(0, column) for column in columns])
    try:
        shifted = capture(head, padded, [(0, column + 3) for column in columns], attention_mask=mask)
    except Exception:  # as above
        return False
    return _same_at_most_positions(shifted, whole)


def positionwise(head: ModelParts) -> tuple[nn.Module, ...]:
    """The parts of the last block that compute each position from that position alone, largest first.

    A part passes if it runs once, takes nothing but states, and two things hold. Run at a few positions, it gives the
    results that it gives there among all positions. With its results replaced by NaN at all other positions, the output
    of the block is unchanged at the few positions and NaN at all others. Keys and values fail; queries fail where an
    attention kernel hides NaN. The parts that pass are tested once more all together.
    """
    ids = torch.cat([probe_ids(head.weight), probe_ids(head.weight).flip(1)])
    places = [(row, column) for row in range(2) for column in range(len(PROBE))]
    # Positions inside their rows and out of order, so that a part that depends on the place of a position fails.
    rows, columns = torch.tensor([1, 0, 0, 1]), torch.tensor([6, 4, 1, 3])
    some = rows * len(PROBE) + columns
    others = [place for place in range(len(places)) if place not in some.tolist()]
    whole = capture(head, ids, places, layers=[len(head.blocks)])[0]

    def proved(parts: Sequence[nn.Module]) -> bool:
        with ExitStack() as hooks:
            for part in parts:
                hooks.enter_context(run_only_at(part, rows, columns))
            tainted = capture(head, ids, places, layers=[len(head.blocks)], finite=False)[0]
        return _same_everywhere(tainted[some], whole[some]) and bool(tainted[others].isnan().any(-1).all())

    found: list[nn.Module] = []
    for part, before, after in _parts_called_on_states_alone(head, ids):
        if any(part in other.modules() or other in part.modules() for other in found):
            continue
        # A part that needs all positions may fail in any way. Running it at all positions only costs time.
        with suppress(Exception):
            if _same_everywhere(part(before[None, rows, columns])[0], after[rows, columns]) and proved([part]):
                found.append(part)
    return tuple(found) if found and proved(found) else ()


def _parts_called_on_states_alone(
    head: ModelParts, ids: torch.Tensor
) -> list[tuple[nn.Module, torch.Tensor, torch.Tensor]]:
    """The last block's parts with weights that run once and take only states, each with its states before and after."""
    calls: dict[nn.Module, list[Any]] = defaultdict(list)

    def note(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        # The values are copied because a block may change them in place.
        calls[module].append(
            [value.clone() if isinstance(value, torch.Tensor) else None for value in (*args, *kwargs.values(), output)]
        )

    sizes = {part: size for part in head.blocks[-1].modules() if part is not head.blocks[-1]
             and (size := sum(weight.numel() for weight in part.parameters() if weight.ndim > 1))}  # fmt: skip
    with ExitStack() as hooks:
        for part in sizes:
            hooks.enter_context(part.register_forward_hook(note, with_kwargs=True))
        run_base(head.base, ids)
    found = []
    for part in sorted(sizes, key=lambda part: -sizes[part]):  # the outer one of two equal parts comes first
        if len(calls[part]) == 1:
            [values] = calls[part]
            if len(values) == 2 and all(value is not None and value.shape[:-1] == ids.shape for value in values):
                found.append((part, *values))
    return found


def _same_at_most_positions(mine: torch.Tensor, theirs: torch.Tensor) -> bool:
    """Whether the states of every layer agree at most positions.

    A wrong cache or mask changes all positions. Rounding alone grows large at a few, where a deep model amplifies it.
    """
    return float(_relative_distance(mine, theirs).median(dim=1).values.max()) <= LAYER_ROUNDING * tolerance(theirs)


def _relative_distance(mine: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """The distance between states (..., D), as a share of the length of ``theirs``."""
    length = theirs.float().norm(dim=-1).clamp_min(1e-30)
    distance: torch.Tensor = (mine.float() - theirs.float()).norm(dim=-1) / length
    return distance


def _same_everywhere(mine: torch.Tensor, theirs: torch.Tensor) -> bool:
    """Whether states (N, D) agree at every position; NaN never agrees."""
    return bool((_relative_distance(mine, theirs) <= tolerance(theirs)).all())

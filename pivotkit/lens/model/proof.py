"""The self-check: a head's description against the model's own logits, and what the model's cache and mask can do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import torch

from pivotkit.lens.model.cache import new_cache, select_rows
from pivotkit.lens.model.capture import capture, narrow, run
from pivotkit.lens.model.difference import TOLERANCE, difference, relation, tolerance

if TYPE_CHECKING:
    from torch import nn

    from pivotkit.lens.model.families import Operation
    from pivotkit.lens.model.head import LensHead
    from pivotkit.lens.model.observe import Watched

PROBE = (5, 3, 8, 2, 9, 4, 7, 6)  # token ids of the self-check; any will do
CHUNK = 1 << 14  # rows of the head's weight that are widened to float32 together

# Two ways through the same layers round differently in each; what a wrong position or mask does is far larger.
LAYERS = 2.5


def probe(weight: torch.Tensor) -> torch.Tensor:
    """(1, T) token ids."""
    return torch.tensor([PROBE], device=weight.device) % weight.shape[0]


def prove(head: LensHead, watched: Watched, operations: tuple[Operation, ...], name: str) -> float:
    """Return the last layer's difference to the model's logits, as a share of the largest; raise what is not as described."""
    positions = [(0, column) for column in range(len(PROBE))]
    last = capture(head, probe(head.weight), positions, layers=[len(head.blocks)])[0]
    read = head.normed(last)
    bound = tolerance(head.weight, watched.read, watched.logits)
    if not difference(read, watched.read) <= bound:
        modules = ", ".join(type(module).__name__ for module in head.chain) or "no module"
        raise ValueError(
            f"LensHead: the head of {name} must read the last block's output through {modules}; got "
            f"{relation(read, watched.read.to(read.device))} between the two"
        )
    raw = _products(head, read)
    if not (raw.shape == watched.raw.shape and difference(raw, watched.raw) <= bound):
        raise ValueError(
            f"LensHead: the head of {name} must be hidden @ weight.T{'' if head.bias is None else ' + bias'}; got "
            f"{relation(raw, watched.raw.to(raw.device))} on top of it"
        )
    mine = head.logit_scale * raw
    if head.softcap is not None:
        mine = head.softcap * torch.tanh(mine / head.softcap)
    logits = watched.logits.to(mine.device)
    error = difference(mine, logits)
    if not error <= bound:
        described = ", then ".join(map(str, operations)) or "no operation"
        raise ValueError(
            f"LensHead: the logits of {name} must be its head's output with {described} within {bound:g} of the largest, "
            f"as its configuration says; got {relation(raw, logits)} instead, a difference of {error:.3g}"
        )
    _same_choices(head, last, mine, logits, name)
    return error


def _products(head: LensHead, read: torch.Tensor) -> torch.Tensor:
    """``read @ weight.T + bias`` in float32, without a float32 copy of the whole weight."""
    raw = torch.cat([read.float() @ part.float().T for part in head.weight.split(CHUNK)], dim=-1)
    return raw if head.bias is None else raw + head.bias.float()


def _same_choices(head: LensHead, last: torch.Tensor, mine: torch.Tensor, logits: torch.Tensor, name: str) -> None:
    """What `LensHead.unembed` chooses first is the model's first choice, ties in the type of ``logits`` aside."""
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


def shares_prefix(head: LensHead) -> bool:
    """Whether sequences that go on from a kept prefix, one after another, have the states of whole sequences."""
    ids, layers = probe(head.weight), range(len(head.blocks) + 1)
    cut = len(PROBE) // 2
    whole = capture(head, ids, [(0, column) for column in range(cut, len(PROBE))]).repeat(1, 2, 1)
    parts = [(row, column) for row in range(2) for column in range(len(PROBE) - cut)]
    try:
        prefix = new_cache(head.base)
        run(head.base, ids[:, :cut], past=prefix)
        continued = [
            capture(head, ids[:, cut:].expand(2, -1), parts, layers=layers, past=select_rows(prefix, [0, 0]))
            for _ in range(2)
        ]
    except Exception:
        # A model may fail in any way on a cache that it does not know; without the cache nothing is lost but time.
        return False
    return all(_alike(states, whole) for states in continued)


def pads_left(head: LensHead) -> bool:
    """Whether padding on the left, masked, leaves the states as they are."""
    ids = probe(head.weight)
    columns = range(len(PROBE))
    padded = torch.cat([ids[:, :3], ids], dim=1)
    mask = torch.ones_like(padded)
    mask[:, :3] = 0
    whole = capture(head, ids, [(0, column) for column in columns])
    try:
        shifted = capture(head, padded, [(0, column + 3) for column in columns], attention_mask=mask)
    except Exception:  # as above
        return False
    return _alike(shifted, whole)


def positionwise(head: LensHead) -> tuple[nn.Module, ...]:
    """The last block's parts that run once on the states alone, where each position is its own matter; largest first.

    The proof, part by part: run on a few positions it gives what it gave there among all; and with NaN in place of its
    result everywhere else, the block's output is what it was at those positions and NaN at all others. Keys and values
    fail it, and so do queries where an attention kernel hides NaN. What passes is proved once more all together.
    """
    ids = torch.cat([probe(head.weight), probe(head.weight).flip(1)])
    places = [(row, column) for row in range(2) for column in range(len(PROBE))]
    # Neither first nor last of their rows, and out of order: nothing may count on where a position stands.
    rows, columns = torch.tensor([1, 0, 0, 1]), torch.tensor([6, 4, 1, 3])
    some = rows * len(PROBE) + columns
    others = [place for place in range(len(places)) if place not in some.tolist()]
    whole = capture(head, ids, places, layers=[len(head.blocks)])[0]

    def proved(parts: Sequence[nn.Module]) -> bool:
        with ExitStack() as hooks:
            for part in parts:
                hooks.enter_context(narrow(part, rows, columns))
            tainted = capture(head, ids, places, layers=[len(head.blocks)], finite=False)[0]
        return _same(tainted[some], whole[some]) and bool(tainted[others].isnan().any(-1).all())

    found: list[nn.Module] = []
    for part, taken, given in _on_states_alone(head, ids):
        if any(part in other.modules() or other in part.modules() for other in found):
            continue
        # A part that needs all positions may fail in any way; running it whole loses nothing but time.
        with suppress(Exception):
            if _same(part(taken[None, rows, columns])[0], given[rows, columns]) and proved([part]):
                found.append(part)
    return tuple(found) if found and proved(found) else ()


def _on_states_alone(head: LensHead, ids: torch.Tensor) -> list[tuple[nn.Module, torch.Tensor, torch.Tensor]]:
    """The last block's parts with weights that were called once, with nothing but states, and what came in and out."""
    calls: dict[nn.Module, list[Any]] = defaultdict(list)

    def note(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        # Copies: a block may go on in place.
        calls[module].append(
            [value.clone() if isinstance(value, torch.Tensor) else None for value in (*args, *kwargs.values(), output)]
        )

    sizes = {part: size for part in head.blocks[-1].modules() if part is not head.blocks[-1]
             and (size := sum(weight.numel() for weight in part.parameters() if weight.ndim > 1))}  # fmt: skip
    with ExitStack() as hooks:
        for part in sizes:
            hooks.enter_context(part.register_forward_hook(note, with_kwargs=True))
        run(head.base, ids)
    found = []
    for part in sorted(sizes, key=lambda part: -sizes[part]):  # of equals the outer first
        if len(calls[part]) == 1:
            [values] = calls[part]
            if len(values) == 2 and all(value is not None and value.shape[:-1] == ids.shape for value in values):
                found.append((part, *values))
    return found


def _alike(mine: torch.Tensor, theirs: torch.Tensor) -> bool:
    """Whether every layer's states are the same at most positions.

    A wrong cache or mask changes all positions; rounding alone grows large at a few, where a deep model amplifies it.
    """
    return float(_apart(mine, theirs).median(dim=1).values.max()) <= LAYERS * tolerance(theirs)


def _apart(mine: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """How far states (..., D) lie apart, as a share of their length."""
    length = theirs.float().norm(dim=-1).clamp_min(1e-30)
    apart: torch.Tensor = (mine.float() - theirs.float()).norm(dim=-1) / length
    return apart


def _same(mine: torch.Tensor, theirs: torch.Tensor) -> bool:
    """Whether states (N, D) are the same at every position; those with NaN are not."""
    return bool((_apart(mine, theirs) <= tolerance(theirs)).all())

"""One forward pass, watched: which modules lead from the embedding to the logits."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pivotkit.lens.model.difference import relation
from pivotkit.lens.model.families import Operation


@dataclass(frozen=True)
class Watched:
    """What a pass over the probe showed.

    Attributes
    ----------
    blocks : tuple of nn.Module
        The decoder blocks in the order of their calls.
    chain : tuple of nn.Module
        The modules between the last block's output and the head, in the order of their calls.
    read, raw, logits : tensors (T, D), (T, V), (T, V)
        What the head read, what it gave, and what the model made of that.
    """

    blocks: tuple[nn.Module, ...]
    chain: tuple[nn.Module, ...]
    read: torch.Tensor
    raw: torch.Tensor
    logits: torch.Tensor


@dataclass(frozen=True)
class Call:
    """One module's call with its main argument and result."""

    module: nn.Module
    taken: torch.Tensor
    given: torch.Tensor


def watch(model: Any, head: nn.Module, ids: torch.Tensor, before_head: tuple[Operation, ...]) -> Watched:
    """Run the model on ``ids`` (1, T) and find its blocks and what lies between them and the head.

    ``before_head`` is what the model computes on the last module's output, outside any module.
    """
    name = type(model).__name__
    lists = _candidates(model.base_model, model.config.get_text_config())
    skipped = _holders(model, lists) | _parts(lists)
    calls: list[Call] = []

    def note(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        taken, given = entering(args, kwargs), leaving(output)
        if taken is not None and given is not None:
            calls.append(Call(module, taken, given))

    handles = [
        module.register_forward_hook(note, with_kwargs=True) for module in model.modules() if module not in skipped
    ]
    try:
        output = model(input_ids=ids, **({"use_cache": False} if takes(model, "use_cache") else {}))
    finally:
        for handle in handles:
            handle.remove()
    logits = output[0] if isinstance(output, tuple) else output.logits
    if not logits.isfinite().all():
        raise ValueError(
            f"LensHead: model must give finite logits; got NaN or infinity from {name} in {logits.dtype} (float16 overflows "
            "where bfloat16 and float32 do not)"
        )
    blocks = _called_in_order(lists, calls)
    if blocks is None:
        raise ValueError(
            f"LensHead: model must run a list of num_hidden_layers blocks once each, in order; found none in {name}"
        )
    last = max(number for number, call in enumerate(calls) if call.module is blocks[-1])
    heads = [number for number, call in enumerate(calls) if call.module is head and number > last]
    if not heads:
        raise ValueError(f"LensHead: model must call its output head after its last block; {name} did not")
    end = calls[heads[-1]]
    chain = _chain(calls[last].given, calls[last + 1 : heads[-1]], end.taken, before_head, name)
    return Watched(blocks, chain, end.taken[0], end.given[0], logits[0])


def takes(module: nn.Module, argument: str) -> bool:
    """Whether the module's forward method has the argument, by name or among any others."""
    parameters = inspect.signature(type(module).forward).parameters
    return argument in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())


def entering(args: Any, kwargs: dict[str, Any]) -> torch.Tensor | None:
    """The hidden states among a call's arguments: the first that are floating-point, by position or by name."""
    values = [*args, *([kwargs["hidden_states"]] if "hidden_states" in kwargs else kwargs.values())]
    return next((value for value in values if isinstance(value, torch.Tensor) and value.is_floating_point()), None)


def leaving(output: Any) -> torch.Tensor | None:
    """The hidden states of a call's result: a tensor, or a sequence that starts with one, by the version of transformers."""
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    return output if isinstance(output, torch.Tensor) else None


def _candidates(base: nn.Module, config: Any) -> list[tuple[nn.Module, ...]]:
    """Lists with as many members as the configuration has layers, the outer ones of nested lists."""
    count = getattr(config, "num_hidden_layers", None)
    found: list[tuple[nn.Module, ...]] = []
    within: set[nn.Module] = set()
    for module in base.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count and module not in within:
            found.append(tuple(module))
            within.update(part for block in module for part in block.modules())
    return found


def _parts(lists: list[tuple[nn.Module, ...]]) -> set[nn.Module]:
    return {part for blocks in lists for block in blocks for part in block.modules() if part is not block}


def _holders(model: nn.Module, lists: list[tuple[nn.Module, ...]]) -> set[nn.Module]:
    """The modules that blocks lie in: they begin before the blocks and end behind them."""
    blocks = {block for listed in lists for block in listed}
    paths = [path.split(".") for path, module in model.named_modules() if module in blocks]
    return {model.get_submodule(".".join(path[:depth])) for path in paths for depth in range(len(path))}


def _called_in_order(lists: list[tuple[nn.Module, ...]], calls: list[Call]) -> tuple[nn.Module, ...] | None:
    for blocks in lists:
        if len(set(blocks)) == len(blocks) and [call.module for call in calls if call.module in blocks] == list(blocks):
            return blocks
    return None


def _chain(
    last: torch.Tensor, calls: list[Call], read: torch.Tensor, before_head: tuple[Operation, ...], name: str
) -> tuple[nn.Module, ...]:
    """Walk back from what the head read to the last block's output, from each module's result to its argument."""
    chain: list[nn.Module] = []
    wanted = read
    # A module that holds others is noted after them, so walking back meets it first and passes its parts by.
    for call in reversed(calls):
        given = call.given
        if not chain:
            for operation in before_head:
                given = operation(given)
        if _same(given, wanted):
            chain.insert(0, call.module)
            wanted = call.taken
    start = last
    if not chain:
        for operation in before_head:
            start = operation(start)
    if not _same(start, wanted):
        nearest = next((call for call in reversed(calls) if call.given.shape == wanted.shape), None)
        found, behind = (last, "the last block") if nearest is None else (nearest.given, type(nearest.module).__name__)
        raise ValueError(
            f"LensHead: the head of {name} must read what its last modules put out"
            f"{''.join(f', {operation}' for operation in before_head)}; got {relation(found, wanted)} behind {behind}"
        )
    return tuple(chain)


def _same(mine: torch.Tensor, theirs: torch.Tensor) -> bool:
    return mine.shape == theirs.shape and torch.equal(mine.to(theirs), theirs)

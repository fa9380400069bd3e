"""One observed forward pass: which modules lead from the embedding to the logits."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pivotkit.lens.model.difference import describe_change
from pivotkit.lens.model.families import Operation

BlockList = tuple[nn.Module, ...]


@dataclass(frozen=True)
class Observation:
    """What a forward pass over (1, T) token ids showed.

    Attributes
    ----------
    blocks : tuple of nn.Module
        The decoder blocks, in the order of their calls.
    chain : tuple of nn.Module
        The modules between the last block and the head, in the order of their calls.
    head_input : (T, D) tensor
    head_output : (T, V) tensor
    logits : (T, V) tensor
        The model's own logits, made from the head's output.
    """

    blocks: tuple[nn.Module, ...]
    chain: tuple[nn.Module, ...]
    head_input: torch.Tensor
    head_output: torch.Tensor
    logits: torch.Tensor

    def __repr__(self) -> str:
        return f"Observation(blocks={len(self.blocks)}, chain={[type(module).__name__ for module in self.chain]})"


@dataclass(frozen=True)
class Call:
    """One call of a module, with its hidden states before and after."""

    module: nn.Module
    before: torch.Tensor
    after: torch.Tensor


def observe(
    model: Any, base: nn.Module, head: nn.Module, ids: torch.Tensor, before_head: tuple[Operation, ...]
) -> Observation:
    """Run the model once and find its blocks and the modules between them and the head.

    Parameters
    ----------
    model : a transformers causal LM
    base : nn.Module
        The model without its head.
    head : nn.Module
        The model's output head.
    ids : (1, T) int64 tensor
    before_head : tuple of Operation
        What the model computes outside any module between its last module and its head.

    Returns
    -------
    Observation

    Raises
    ------
    ValueError
        The logits are not finite, no list of modules ran as the model's blocks, these pass on several streams or other
        positions, the head did not run after them, or the head did not read what the modules before it return.
    """
    name = type(model).__name__
    candidates = block_lists(base, model.config.get_text_config())
    skipped = _enclosing_modules(model, candidates) | _inner_modules(candidates)
    calls: list[Call] = []

    def note(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        before, after = hidden_argument(args, kwargs), hidden_result(output)
        if before is not None and after is not None:
            calls.append(Call(module, before, after))

    hooks = [
        module.register_forward_hook(note, with_kwargs=True) for module in model.modules() if module not in skipped
    ]
    try:
        output = model(input_ids=ids, **({"use_cache": False} if takes_argument(model, "use_cache") else {}))
    finally:
        for hook in hooks:
            hook.remove()
    logits = output[0] if isinstance(output, tuple) else output.logits
    if not logits.isfinite().all():
        raise ValueError(
            f"LensHead: model must give finite logits; got NaN or infinity from {name} in {logits.dtype} (float16 "
            "overflows where bfloat16 and float32 do not)"
        )
    blocks = _blocks_called_in_order(candidates, calls)
    if blocks is None:
        raise ValueError(
            f"LensHead: model must run a list of num_hidden_layers blocks once each, in order; found none in {name}"
        )
    last = max(number for number, call in enumerate(calls) if call.module is blocks[-1])
    if calls[last].after.shape[:-1] != ids.shape:
        raise ValueError(
            f"LensHead: model must pass one hidden state per token from block to block; got the shape "
            f"{tuple(calls[last].after.shape)} for {ids.shape[1]} tokens in {name}"
        )
    head_calls = [number for number, call in enumerate(calls) if call.module is head and number > last]
    if not head_calls:
        raise ValueError(f"LensHead: model must call its output head after its last block; {name} did not")
    end = calls[head_calls[-1]]
    chain = _chain(calls[last].after, calls[last + 1 : head_calls[-1]], end.before, before_head, name)
    return Observation(blocks, chain, end.before[0], end.after[0], logits[0])


def takes_argument(module: nn.Module, argument: str) -> bool:
    """Whether the module's forward method accepts the argument, by name or through ``**kwargs``."""
    parameters = inspect.signature(type(module).forward).parameters
    return argument in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())


def hidden_argument(args: Any, kwargs: dict[str, Any]) -> torch.Tensor | None:
    """The hidden states among the arguments of a call: the first floating-point tensor, by position or by name."""
    values = [*args, *([kwargs["hidden_states"]] if "hidden_states" in kwargs else kwargs.values())]
    return next((value for value in values if isinstance(value, torch.Tensor) and value.is_floating_point()), None)


def hidden_result(output: Any) -> torch.Tensor | None:
    """The hidden states in the result of a call; versions of transformers return a tensor, or a sequence of several."""
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    return output if isinstance(output, torch.Tensor) else None


def block_lists(base: nn.Module, config: Any) -> list[BlockList]:
    """Module lists with one member per layer of the configuration; of nested lists only the outer ones.

    Where a block counts as two layers (LongCat), ``num_layers`` is the number of blocks.
    """
    counts = {getattr(config, name, None) for name in ("num_hidden_layers", "num_layers")} - {None}
    found: list[BlockList] = []
    inside: set[nn.Module] = set()
    for module in base.modules():
        if isinstance(module, nn.ModuleList) and len(module) in counts and module not in inside:
            found.append(tuple(module))
            inside.update(part for block in module for part in block.modules())
    return found


def _inner_modules(lists: list[BlockList]) -> set[nn.Module]:
    """The modules inside blocks."""
    return {part for blocks in lists for block in blocks for part in block.modules() if part is not block}


def _enclosing_modules(model: nn.Module, lists: list[BlockList]) -> set[nn.Module]:
    """The modules that contain blocks: they start before the blocks and return after them."""
    blocks = {block for listed in lists for block in listed}
    paths = [path.split(".") for path, module in model.named_modules() if module in blocks]
    return {model.get_submodule(".".join(path[:depth])) for path in paths for depth in range(len(path))}


def _blocks_called_in_order(lists: list[BlockList], calls: list[Call]) -> BlockList | None:
    """The first list whose members were called once each, in order."""
    for blocks in lists:
        if len(set(blocks)) == len(blocks) and [call.module for call in calls if call.module in blocks] == list(blocks):
            return blocks
    return None


def _chain(
    last: torch.Tensor, calls: list[Call], head_input: torch.Tensor, before_head: tuple[Operation, ...], name: str
) -> tuple[nn.Module, ...]:
    """Walk back from the head's input to the last block's output, from each module's result to its argument."""
    chain: list[nn.Module] = []
    wanted = head_input
    # A module is noted after those inside it, so walking back meets the outer one first and skips its parts.
    for call in reversed(calls):
        after = call.after
        if not chain:
            for operation in before_head:
                after = operation(after)
        if _equal(after, wanted):
            chain.insert(0, call.module)
            wanted = call.before
    start = last
    if not chain:
        for operation in before_head:
            start = operation(start)
    if not _equal(start, wanted):
        nearest = next((call for call in reversed(calls) if call.after.shape == wanted.shape), None)
        found, origin = (last, "the last block") if nearest is None else (nearest.after, type(nearest.module).__name__)
        raise ValueError(
            f"LensHead: the head of {name} must read what its last modules return"
            f"{''.join(f', {operation}' for operation in before_head)}; got {describe_change(found, wanted)} after "
            f"{origin}"
        )
    return tuple(chain)


def _equal(mine: torch.Tensor, theirs: torch.Tensor) -> bool:
    return mine.shape == theirs.shape and torch.equal(mine.to(theirs), theirs)

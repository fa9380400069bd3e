"""Captures the hidden states of chosen layers at chosen positions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from pivotkit.lens.model.observe import hidden_argument, hidden_result, takes_argument
from pivotkit.lens.model.parts import ModelParts


@torch.inference_mode()
def capture(
    head: ModelParts,
    input_ids: torch.Tensor,
    positions: Sequence[tuple[int, int]],
    *,
    layers: Sequence[int] | None = None,
    attention_mask: torch.Tensor | None = None,
    past: Any = None,
    finite: bool = True,
    readers: Sequence[nn.Module] = (),
) -> torch.Tensor:
    """Run the base model once and keep the residual stream at ``positions``.

    Equivalent to ``torch.stack([states[layer][rows, columns] for layer in layers])``, where ``states[0]`` is the input
    of the first block and ``states[l]`` the output of block l.

    Parameters
    ----------
    head : LensHead
    input_ids : (B, T) int64 tensor
        Token ids, padded where lengths differ.
    positions : sequence of N pairs (row, column)
    layers : sequence of int, optional
        0 is the input of the first block, l the output of block l, before the final norm. By default all layers.
    attention_mask : (B, T) tensor of 0 and 1, optional
        0 where ``input_ids`` is padding, on the left or on the right. Padding on the right needs no mask, because
        earlier positions of a causal model never see it.
    past : transformers Cache, optional
        Keys and values of a prefix that all rows continue, one copy per row; the call adds T tokens to it. Pad such a
        batch on the right: a sliding window would count padding between a prefix and its continuation.
    finite : bool, default True
        Whether to refuse states with NaN or infinity (`require_finite`).
    readers : sequence of nn.Module, default ()
        Parts of the blocks whose input is kept too, such as those of `middle_readers`.

    Returns
    -------
    (len(layers) + len(readers), N, D) tensor
        In the model's dtype, on the device of the head's matrix; the layers first.

    Raises
    ------
    ValueError
        A layer or position does not exist, or the mask has another shape than ``input_ids``. A row is padded on the
        left with ``past``, or in a model whose states change with such padding (``head.pads_left``). A state is NaN or
        infinite; the message gives its layer and position.

    Notes
    -----
    The model's own logits are never built, and ``head.positionwise`` runs only at ``positions``. Memory beyond the
    model's activations: ``len(layers) * N * D`` numbers.
    """
    mask = None if attention_mask is None else _checked_mask(head, attention_mask, input_ids, past)
    last = len(head.blocks)
    wanted = range(last + 1) if layers is None else layers
    if not len(wanted) or not all(0 <= layer <= last for layer in wanted):
        raise ValueError(f"capture: layers must be one or more of 0 to {last}; got {list(wanted)}")
    lines, width = input_ids.shape
    for row, column in positions:
        if not (0 <= row < lines and 0 <= column < width):
            raise ValueError(f"capture: positions must lie within input_ids, {(lines, width)}; got {(row, column)}")
    rows, columns = (torch.tensor([place[axis] for place in positions], dtype=torch.int64) for axis in (0, 1))
    kept: dict[int, torch.Tensor] = {}  # by layer; by -1, -2 ... for the readers

    def keep(layer: int, state: torch.Tensor | None) -> None:
        if state is None:
            raise TypeError(f"capture: block {layer} must return hidden states; got no tensor")
        if layer < 0:
            state = state.reshape(lines, width, -1)  # some parts read all positions of a batch in one row
        kept[layer] = state[rows.to(state.device), columns.to(state.device)].to(head.weight.device)

    with ExitStack() as hooks:
        # Before the next, since a part with hooks runs at all positions.
        for number, part in enumerate(readers):
            hooks.enter_context(part.register_forward_pre_hook(
                lambda module, args, kwargs, at=-1 - number: keep(at, hidden_argument(args, kwargs)), with_kwargs=True
            ))  # fmt: skip
        for part in head.positionwise:
            hooks.enter_context(run_only_at(part, rows, columns))
        for layer in wanted:
            if layer == 0:
                hooks.enter_context(head.blocks[0].register_forward_pre_hook(
                    lambda module, args, kwargs: keep(0, hidden_argument(args, kwargs)), with_kwargs=True
                ))  # fmt: skip
            else:
                hooks.enter_context(head.blocks[layer - 1].register_forward_hook(
                    lambda module, args, output, layer=layer: keep(layer, hidden_result(output))
                ))  # fmt: skip
        run_base(head.base, input_ids, attention_mask=mask, past=past)
    states = torch.stack([kept[layer] for layer in [*wanted, *(-1 - number for number in range(len(readers)))]])
    if finite:
        require_finite(
            states,
            [*wanted, *(f"reader {number}" for number in range(len(readers)))],
            lambda number: "row {}, position {}".format(*positions[number]),
        )
    return states


def require_finite(states: torch.Tensor, layers: Sequence[int | str], name: Callable[[int], str]) -> None:
    """Refuse states with NaN or infinity.

    Parameters
    ----------
    states : (L, N, D) tensor
    layers : sequence of L layers, or what the message calls them
    name : callable n -> str
        What the message calls position n.

    Raises
    ------
    ValueError
        A state is NaN or infinite; the message gives the layer and the position.
    """
    if not states.isfinite().all():
        at, number, _ = (int(index) for index in (~states.isfinite()).nonzero()[0])
        value = states[at, number][~states[at, number].isfinite()][0].item()
        raise ValueError(f"capture: hidden states must be finite; got {value} at layer {layers[at]}, {name(number)}")


@contextmanager
def run_only_at(module: nn.Module, rows: torch.Tensor, columns: torch.Tensor) -> Iterator[None]:
    """Make ``module`` run only at (rows, columns); its result is NaN elsewhere, so that nothing reads it unnoticed.

    A module with hooks runs at all positions, because its hooks may need them.
    """
    if any(part._forward_hooks or part._forward_pre_hooks for part in module.modules()):
        yield
        return
    if not len(rows):
        rows = columns = torch.zeros(1, dtype=torch.int64)  # some modules fail on zero tokens
    whole: list[int] = []  # the shape (B, T) that the rest of the block expects

    def gather(module: nn.Module, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        whole[:] = args[0].shape[:2]
        return (args[0][None, rows.to(args[0].device), columns.to(args[0].device)],)

    def scatter(module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
        spread = output.new_full((*whole, output.shape[-1]), float("nan"))
        spread[rows.to(output.device), columns.to(output.device)] = output[0]
        return spread

    with module.register_forward_pre_hook(gather), module.register_forward_hook(scatter):
        yield


def run_base(
    base: nn.Module, input_ids: torch.Tensor, *, attention_mask: torch.Tensor | None = None, past: Any = None
) -> Any:
    """Run a base model, whatever its forward method calls its arguments.

    Parameters
    ----------
    base : nn.Module
    input_ids : (B, T) int64 tensor
    attention_mask : (B, T) tensor of 0 and 1, optional
        The tokens in ``past`` count as not masked. Positions count the tokens that the mask keeps.
    past : transformers Cache, optional
        Keys and values of the tokens before ``input_ids``.

    Returns
    -------
    What the base model returns.
    """
    named = inspect.signature(type(base).forward).parameters
    arguments: dict[str, Any] = {"use_cache": past is not None} if takes_argument(base, "use_cache") else {}
    if past is not None:
        # transformers 5.24 renames the argument.
        arguments["cache" if "cache" in named else "past_key_values"] = past
    if attention_mask is not None:
        mask = attention_mask.to(torch.int64)
        seen = past.get_seq_length() if past is not None else 0
        mask = torch.cat([mask.new_ones(len(mask), seen), mask], dim=1)
        arguments["attention_mask"] = mask
        # Models without this argument (ALiBi) derive positions from the mask.
        if "position_ids" in named:
            arguments["position_ids"] = (mask.cumsum(1) - 1).clamp_min(0)[:, seen:]
    return base(input_ids=input_ids, **arguments)


def _checked_mask(
    head: ModelParts, attention_mask: torch.Tensor, input_ids: torch.Tensor, past: Any
) -> torch.Tensor | None:
    """The mask as booleans; None if it masks nothing."""
    if attention_mask.shape != input_ids.shape:
        raise ValueError(
            f"capture: attention_mask must have the shape of input_ids, {tuple(input_ids.shape)}; got "
            f"{tuple(attention_mask.shape)}"
        )
    mask = attention_mask.to(torch.bool)
    if mask.all():
        return None
    if past is not None and not mask[:, 0].all():
        raise ValueError(
            "capture: attention_mask must keep every row's first token where past is given; got a row padded on the "
            "left"
        )
    if not head.pads_left and not mask[:, 0].all():
        raise ValueError(
            f"capture: attention_mask must pad on the right for {type(head.base).__name__}, whose states change with "
            "padding on the left; got a row padded on the left"
        )
    return mask

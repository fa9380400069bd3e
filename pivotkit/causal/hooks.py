"""Edits inside a running model, and the hooks of others that would spoil them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from pivotkit.lens.model.capture import capture
from pivotkit.lens.model.observe import hidden_argument, hidden_result
from pivotkit.lens.model.parts import ModelParts


@contextmanager
def state_put(head: ModelParts, layer: int, states: torch.Tensor, *, skip: bool = False) -> Iterator[None]:
    """Make ``states`` (B, D) a layer's residual stream at the last position of each of B rows.

    With ``skip``, the blocks up to the layer return the states at once; every row must then be of one token. Nothing
    stays in the model, whatever is raised inside.
    """

    def edited(hidden: torch.Tensor) -> torch.Tensor:
        hidden = hidden.clone()
        hidden[:, -1] = states.to(hidden)
        return hidden

    def before(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        found = hidden_argument(args, kwargs)
        assert found is not None  # capture read it before

        def change(value: Any) -> Any:
            return edited(found) if value is found else value

        return tuple(map(change, args)), {name: change(value) for name, value in kwargs.items()}

    def after(module: nn.Module, args: Any, output: Any) -> Any:
        found = hidden_result(output)
        assert found is not None
        return edited(found) if output is found else type(output)([edited(found), *output[1:]])

    def at_once(*args: Any, **kwargs: Any) -> torch.Tensor:
        found = hidden_argument(args, kwargs)
        assert found is not None
        return states[:, None].to(found)

    with ExitStack() as changes:
        if layer == 0:
            changes.enter_context(head.blocks[0].register_forward_pre_hook(before, with_kwargs=True))
        elif skip:
            for block in head.blocks[:layer]:
                changes.enter_context(_forward_replaced(block, at_once))
        else:
            changes.enter_context(head.blocks[layer - 1].register_forward_hook(after))
        yield


@contextmanager
def _forward_replaced(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Give a module another forward method, and its own back."""
    own = vars(module).get("forward")  # accelerate sets one
    module.forward = forward
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own


def require_no_hooks(head: ModelParts, ids: Sequence[int]) -> None:
    """Refuse hooks of others that change what the blocks compute on a prompt.

    Hooks that only look are left alone.

    Parameters
    ----------
    head : LensHead
    ids : sequence of int
        A prompt.

    Raises
    ------
    ValueError
        A state of the prompt is another one without the hooks.

    Notes
    -----
    Cost: two passes over the prompt where a module has a hook, none elsewhere.
    """
    hooked = [name for name, module in head.base.named_modules() if module._forward_hooks or module._forward_pre_hooks]
    if not hooked:
        return
    tokens = torch.tensor([list(ids)], device=head.weight.device)
    places = [(0, column) for column in range(tokens.shape[1])]
    with_hooks = capture(head, tokens, places)
    with _unhooked(head.base):
        without = capture(head, tokens, places)
    if not torch.equal(with_hooks, without):
        raise ValueError(
            f"causal_test: model must have no hook that changes its states; got one of {len(hooked)}, on "
            f"{', '.join(hooked[:3])}: remove it"
        )


@contextmanager
def _unhooked(base: nn.Module) -> Iterator[None]:
    """Take the forward hooks off all modules, and put them back."""
    kept = [(module, module._forward_hooks, module._forward_pre_hooks) for module in base.modules()]
    try:
        for module, *_ in kept:
            module._forward_hooks, module._forward_pre_hooks = OrderedDict(), OrderedDict()
        yield
    finally:
        for module, after, before in kept:
            module._forward_hooks, module._forward_pre_hooks = after, before

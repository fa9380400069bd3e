"""The mean Jacobian of the last layer's states in each layer's, by vector-Jacobian products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch

from pivotkit.lens.model.capture import require_finite, run_base
from pivotkit.lens.model.observe import hidden_argument, hidden_result
from pivotkit.lens.model.parts import ModelParts

FIRST = 16  # positions at the beginning that published fits leave out; the last position, which predicts nothing, too
LEFT_OUT = FIRST + 1


def mean_jacobian(
    head: ModelParts, prompts: Sequence[tuple[int, ...]], batch: int, tell: Callable[[int], None]
) -> tuple[torch.Tensor, ...]:
    """The mean over prompts of J_l = mean over positions t of sum over positions t' >= t of d h_last,t' / d h_l,t.

    Parameters
    ----------
    head : LensHead
    prompts : sequence of tuples of int
        Of more than ``LEFT_OUT`` tokens each.
    batch : int
        Tokens that run together: a prompt runs ``batch // its length`` times at once, each time with another component
        of the last layer's state to differentiate.
    tell : callable
        Takes how many prompts are done.

    Returns
    -------
    tuple of L (D, D) float32 tensors
        Of layers 0 to L - 1. Summed in float64.

    Notes
    -----
    One backward pass gives the products with every layer's Jacobian. Cost: for each prompt, one forward pass and
    ``D`` backward passes over its tokens.
    """
    width, layers = head.width, len(head.blocks)
    sums = torch.zeros(layers, width, width, dtype=torch.float64, device=head.weight.device)
    for done, ids in enumerate(prompts, 1):
        places = slice(FIRST, len(ids) - 1)
        copies = max(1, min(width, batch // len(ids)))
        states = _states(head, torch.tensor([ids], device=head.weight.device).expand(copies, -1))
        checked = torch.stack([state[0].detach().to(head.weight.device) for state in states])
        names = [f"sequence {done - 1}, token {at}" for at in range(len(ids))]
        require_finite(checked, range(layers + 1), names.__getitem__)
        for begin in range(0, width, copies):
            wanted = torch.zeros_like(states[-1])
            rows = range(min(copies, width - begin))
            for row in rows:
                wanted[row, places, begin + row] = 1
            more = begin + copies < width
            products = torch.autograd.grad(states[-1], states[:-1], wanted, retain_graph=more)
            for layer, product in enumerate(products):
                sums[layer, begin : begin + len(rows)] += product[: len(rows), places].double().mean(1).to(sums.device)
        tell(done)
    return tuple((sums / len(prompts)).float())


def _states(head: ModelParts, ids: torch.Tensor) -> list[torch.Tensor]:
    """The states (B, T, D) of all layers, with the graph from the first block's input to the last block's output."""
    kept: list[torch.Tensor] = []

    def begin(module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        given = hidden_argument(args, kwargs)
        assert given is not None  # the head's proof saw it
        kept.append(given.detach().requires_grad_())
        return (
            tuple(kept[0] if value is given else value for value in args),
            {name: kept[0] if value is given else value for name, value in kwargs.items()},
        )

    def keep(module: Any, args: Any, output: Any) -> None:
        state = hidden_result(output)
        assert state is not None
        kept.append(state)

    with ExitStack() as hooks, torch.enable_grad():
        hooks.enter_context(head.blocks[0].register_forward_pre_hook(begin, with_kwargs=True))
        for block in head.blocks:
            hooks.enter_context(block.register_forward_hook(keep))
        run_base(head.base, ids)
    return kept

"""The loss of the next token from the states before the head, a part of the rows at a time.

A model of 262,144 tokens makes a gigabyte of logits a thousand positions, and its own loss reads and writes them
several times. Here each part of the rows gives its loss and its gradients while its logits are at hand. The method is
that of Wijmans et al., arXiv 2411.09009, and of Hsu et al., arXiv 2410.10989, in plain PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from pivotkit.lens.model.families import logit_operations

#: Logits at a time: half a gigabyte in float32. Fewer rows make slower products, more gain nothing.
AT_ONCE = 1 << 27


@contextmanager
def loss_from_states(model: Any, probe: torch.Tensor) -> Iterator[None]:
    """Let ``model(input_ids, labels=labels)`` take its loss from the states before its head; its logits are the states.

    Equal to the model's own loss up to rounding, which one forward pass each way over ``probe`` shows first. A model
    whose logits are more than the product of the states and the head (a bias, a cap, a factor) keeps its own loss.

    Parameters
    ----------
    model : transformers.PreTrainedModel or peft.PeftModel
    probe : torch.Tensor
        int64 (rows, length), any ids.
    """
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    head: Any = plain.get_output_embeddings()
    bare = type(head) is nn.Linear and head.bias is None and not logit_operations(plain.config.get_text_config())
    if not bare or "forward" in head.__dict__ or not hasattr(plain, "loss_function"):
        yield
        return
    own, found = plain.__dict__.get("_loss_function"), _probed(plain, probe)
    head.forward = _states
    plain.loss_function = _Loss(head.weight)
    try:
        if not torch.isclose(_probed(plain, probe), found, rtol=1e-2 if found.dtype != torch.float32 else 1e-4):
            _give_back(plain, head, own)
        yield
    finally:
        _give_back(plain, head, own)


def _give_back(plain: Any, head: Any, own: Any) -> None:
    head.__dict__.pop("forward", None)
    plain.__dict__.pop("_loss_function", None)
    if own is not None:
        plain.loss_function = own


def _states(states: torch.Tensor) -> torch.Tensor:
    return states


@torch.no_grad()
def _probed(model: Any, probe: torch.Tensor) -> torch.Tensor:
    training = model.training
    loss: torch.Tensor = model.eval()(input_ids=probe, labels=probe).loss
    model.train(training)
    return loss


class _Loss:
    """In the place of transformers' ForCausalLMLoss."""

    def __init__(self, weight: nn.Parameter) -> None:
        self._weight = weight

    def __call__(
        self, logits: torch.Tensor, labels: torch.Tensor, vocab_size: int, num_items_in_batch: Any = None, **more: Any
    ) -> torch.Tensor:
        states, targets = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
        device = states.device.type
        kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else self._weight.dtype
        with torch.autocast(device, enabled=False):
            total = summed_loss(states.to(kind), self._weight, targets)
        return total / (targets.numel() if num_items_in_batch is None else num_items_in_batch)


def summed_loss(states: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The sum over rows of the cross-entropy of ``targets``, of logits that are never there all at once.

    Equivalent to ``cross_entropy((states @ weight.to(states.dtype).T).float(), targets, reduction="sum")``.

    Parameters
    ----------
    states : torch.Tensor
        float (rows, hidden). Its type is that of the products.
    weight : torch.Tensor
        float (vocabulary, hidden).
    targets : torch.Tensor
        int64 (rows,).

    Returns
    -------
    torch.Tensor
        A number in float32, or in float64 if ``states`` are.

    Notes
    -----
    The forward pass makes the gradients, too. Those of ``weight`` are added up in float32 or better.
    """
    total: torch.Tensor = _SummedLoss.apply(states, weight, targets)
    return total


class _SummedLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        matrix = weight.to(states.dtype)
        wide = torch.promote_types(states.dtype, torch.float32)
        size = min(len(states), max(1, AT_ONCE // len(matrix)))
        room = states.new_empty(size, len(matrix))
        of_states = torch.empty_like(states) if ctx.needs_input_grad[0] else None
        of_weight = torch.zeros_like(weight, dtype=wide) if ctx.needs_input_grad[1] else None
        total = states.new_zeros((), dtype=wide)
        for begin in range(0, len(states), size):
            part = slice(begin, begin + size)
            own, at = states[part], targets[part]
            logits = torch.mm(own, matrix.T, out=room[: len(own)]).to(wide)
            chosen, highest = logits.gather(1, at[:, None]), logits.amax(1, keepdim=True)
            masses = logits.sub_(highest).exp_()
            sums = masses.sum(1, keepdim=True)
            total += (sums.log() + highest - chosen).sum()
            shares = masses.to(states.dtype)  # less the division by sums, which is cheaper on the products' small side
            if of_states is not None:
                of_states[part] = (torch.mm(shares, matrix).to(wide) / sums - matrix[at].to(wide)).to(states.dtype)
            if of_weight is not None:
                divided = (own.to(wide) / sums).to(states.dtype)
                if wide == states.dtype:
                    of_weight.addmm_(shares.T, divided)
                else:
                    of_weight += torch.mm(shares.T, divided)
                of_weight.index_add_(0, at, own.to(wide), alpha=-1)
        ctx.gradients = of_states, of_weight, weight.dtype
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *factors: torch.Tensor) -> Any:
        of_states, of_weight, kind = ctx.gradients
        (factor,) = factors
        return (
            None if of_states is None else of_states * factor.to(of_states.dtype),
            None if of_weight is None else (of_weight * factor).to(kind),
            None,
        )

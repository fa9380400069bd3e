"""Trains the maps of a tuned lens to predict what the last layer predicts, from the ridge lens on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from pivotkit.lens.fitted.ridge import Moments
from pivotkit.lens.fitted.states import states_of
from pivotkit.lens.model.parts import ModelParts

TEXTS = 8  # sequences of a step
POSITIONS = 64  # positions of these that a step reads
RATE = 3e-4  # of AdamW, in units of standard deviations; falls to 0 along a line


def train(
    head: ModelParts, found: Sequence[tuple[int, ...]], moments: Moments, weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor], *, steps: int, batch: int, seed: int, tell: Callable[[int], None],
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:  # fmt: skip
    """The maps A and b of every layer that minimize KL(last layer || lens), by ``steps`` steps of AdamW.

    Starts from ``weights`` and ``biases``. What is trained is U and c of ``A h + b + s (U (h - m) / r + c)``, with the
    means m and standard deviations r, s of the states by ``moments``, so one rate serves all layers and models.

    Cost of a step: a forward pass over ``TEXTS`` sequences, and for each layer three products of ``POSITIONS`` states
    with the head's matrix. Memory beyond the model's: some four times ``POSITIONS * V`` floats, and ``24 * L * D * D``
    bytes.
    """
    random = torch.Generator().manual_seed(seed)
    device, layers, width = head.weight.device, len(head.blocks), head.width
    mean = (moments.hidden / moments.count).float()
    scale = _deviation(moments.products.diagonal(dim1=1, dim2=2), moments.hidden, moments.count)
    goal = _deviation(moments.target_squares, moments.target, moments.count)
    first = [(weight.float(), bias.float()) for weight, bias in zip(weights, biases, strict=True)]
    turns = [torch.zeros(width, width, device=device, requires_grad=True) for _ in range(layers)]
    shifts = [torch.zeros(width, device=device, requires_grad=True) for _ in range(layers)]
    optimizer = torch.optim.AdamW([*turns, *shifts], lr=RATE)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, total_iters=steps)
    order: list[int] = []
    for step in range(steps):
        if len(order) < TEXTS:
            order += torch.randperm(len(found), generator=random).tolist()
        part, order = [found[number] for number in order[:TEXTS]], order[TEXTS:]
        states = torch.cat(list(states_of(head, part, range(layers + 1), batch)), dim=1)
        at = torch.randperm(states.shape[1], generator=random)[:POSITIONS].to(device)
        states = states[:, at].clone()  # out of inference mode, for gradients
        with torch.no_grad():
            target = _logits(head, states[-1]).log_softmax(-1)
        for layer in range(layers):
            with torch.enable_grad():
                wide = states[layer].float()
                moved = goal * (((wide - mean[layer]) / scale[layer]) @ turns[layer].T + shifts[layer])
                mapped = (wide @ first[layer][0].T + first[layer][1] + moved).to(states.dtype)
                said = _logits(head, mapped).log_softmax(-1)
                loss = (target.exp() * (target - said)).sum(-1).mean()
                turns[layer].grad, shifts[layer].grad = torch.autograd.grad(loss, (turns[layer], shifts[layer]))
        optimizer.step()
        decay.step()
        tell(step + 1)
    with torch.no_grad():
        found_weights = [
            weight.double() + (goal[:, None] * turn / scale[layer]).double()
            for layer, (weight, turn) in enumerate(zip(weights, turns, strict=True))
        ]
        found_biases = [
            bias.double() + (goal * (shifts[layer] - turns[layer] @ (mean[layer] / scale[layer]))).double()
            for layer, bias in enumerate(biases)
        ]
    return found_weights, found_biases


def _deviation(squares: torch.Tensor, sums: torch.Tensor, count: int) -> torch.Tensor:
    """Standard deviations by component, in float32; at least a thousandth of the largest."""
    deviation = (squares / count - (sums / count).square()).clamp_min(0).sqrt()
    return torch.maximum(deviation, 1e-3 * deviation.amax(-1, keepdim=True)).clamp_min(1e-30).float()


def _logits(head: ModelParts, states: torch.Tensor) -> torch.Tensor:
    """All logits (N, V) of a few states, in float32."""
    raw = (head.normed(states) @ head.weight.T).float()
    logits = head.logit_scale * (raw if head.bias is None else raw + head.bias.float())
    return logits if head.softcap is None else head.softcap * torch.tanh(logits / head.softcap)

"""The hidden states of sequences, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from pivotkit.lens.fitted.texts import SKIPPED, batches
from pivotkit.lens.model.capture import capture, require_finite
from pivotkit.lens.model.encoding import pad_right
from pivotkit.lens.model.parts import ModelParts


def states_of(
    head: ModelParts, found: Sequence[tuple[int, ...]], layers: Sequence[int], batch: int
) -> Iterator[torch.Tensor]:
    """Yield the states (len(layers), N, D) of every position but the first of each sequence.

    ValueError names the layer, sequence and token of a state that is NaN or infinite. Cost: one forward pass per
    ``batch`` tokens; memory beyond the model's, ``len(layers) * batch * D`` numbers.
    """
    for numbers in batches(found, batch):
        ids = pad_right([found[number] for number in numbers], head.weight.device)
        places = [(row, at) for row, number in enumerate(numbers) for at in range(SKIPPED, len(found[number]))]
        states = capture(head, ids, places, layers=layers, finite=False)
        names = [f"sequence {numbers[row]}, token {at}" for row, at in places]
        require_finite(states, layers, names.__getitem__)
        yield states

"""States through a lens, in the layers that it has a map for."""

from __future__ import annotations

from typing import Any

import torch

from pivotkit.lens.fitted.affine import AffineLens


def lacking_layers(lens: Any) -> tuple[int, ...]:
    """The layers that a fitted lens has no map for; what is read there is not of the lens and must be left out."""
    return lens.lacking if isinstance(lens, AffineLens) else ()


def through_lens(lens: Any, states: torch.Tensor) -> torch.Tensor:
    """Map the states of all layers by a lens.

    Parameters
    ----------
    lens : callable (hidden (L, N, D), layers) -> (L, N, D), or None for the raw lens
    states : (L, N, D) tensor

    Returns
    -------
    (L, N, D) tensor
        In layers that the lens has no map for the states of the last layer stand in: they are finite, and bring no
        token that the last layer does not bring.
    """
    if lens is None:
        return states
    lacking, layers = lacking_layers(lens), range(len(states))
    if not lacking:
        mapped: torch.Tensor = lens(states, layers)
        return mapped
    known = [layer for layer in layers if layer not in lacking]
    mapped = states[-1:].repeat(len(states), 1, 1)
    mapped[known] = lens(states[known], known)
    return mapped

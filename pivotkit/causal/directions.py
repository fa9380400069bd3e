"""Directions in the residual stream: of tokens through what lies before the head, and of means over items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pivotkit.lens.fitted.affine import AffineLens
from pivotkit.lens.model.difference import tolerance
from pivotkit.lens.model.parts import ModelParts, with_float64

Vector = torch.Tensor  # (D,) float64, on the head's device

PROBES = 8
LENGTH = 256.0  # of a probe along one dimension: the epsilon of a norm is nothing beside it, and float16 holds it
LEAST = 1e-6  # a direction whose length is a smaller share of what it is part of is rounding
NAMES = ("unembedding", "lens", "means")


@torch.inference_mode()
def chain_map(head: ModelParts) -> torch.Tensor:
    """The linear part M of what lies between the residual stream and the head.

    normed(h) = s(h) M h + c,   s(h) > 0 a number

    So a token's logit grows with ``M.T @ w`` of its row w of the head's matrix: for a root-mean-square norm of gain g
    this is ``g * w``, for a layer norm the centred ``g * w``, and a projection after the norm is part of M.

    Parameters
    ----------
    head : LensHead

    Returns
    -------
    (D', D) float64 tensor
        On the head's device. D is the width of the residual stream, D' that of the head's matrix. Its scale is
        arbitrary.

    Raises
    ------
    ValueError
        Between the last block and the head lies something else than a linear map and a norm with one scale per state.

    Notes
    -----
    M is read off by probes along each dimension, and proved on random states to the tolerance of the head's type.
    Cost: D states through the norm.
    """
    size, home = head.width, with_float64(head.weight.device)

    def normed(states: torch.Tensor) -> torch.Tensor:
        return head.normed(states).to(home).double()

    offset = normed(torch.zeros(1, size).to(head.weight))
    linear = (normed((LENGTH * torch.eye(size)).to(head.weight)) - offset).T
    random = torch.randn(PROBES, size, generator=torch.Generator().manual_seed(0)).to(head.weight)
    found, described = normed(random) - offset, random.to(home).double() @ linear.T
    scale = (found * described).sum(1, keepdim=True) / described.square().sum(1, keepdim=True)
    error = float(((found - scale * described).norm(dim=1) / found.norm(dim=1)).max())
    if not (error <= tolerance(head.weight) and (scale > 0).all()):
        chain = ", ".join(type(module).__name__ for module in head.chain) or "no module"
        raise ValueError(
            f"causal_test: model must have a norm with one scale per state, and linear maps, before its head; got "
            f"{chain}, which differs from that by {error:.3g}"
        )
    return linear


@dataclass(frozen=True, repr=False)
class TokenDirections:
    """The direction along which a layer's residual stream raises a token's logit.

    Attributes
    ----------
    head : LensHead
    linear : (D', D) float64 tensor
        The result of `chain_map`.
    lens : AffineLens or None
        Whose map stands between the layer and the norm; None reads the layer itself.
    """

    head: ModelParts
    linear: torch.Tensor
    lens: AffineLens | None = None

    def __repr__(self) -> str:
        return f"TokenDirections({self.head!r}, lens={self.lens!r})"

    def of(self, tokens: Sequence[int], layer: int) -> torch.Tensor:
        """The directions ``A_l.T @ M.T @ w`` of N tokens in a layer, (N, D) float64; their lengths are not 1."""
        home = self.linear.device
        ids = torch.tensor(list(tokens), device=self.head.weight.device)
        found = self.head.weight[ids].to(home).double() @ self.linear
        if self.lens is not None and layer < len(self.lens.weights):
            weight = self.lens.weights[layer]
            if weight is None:
                raise ValueError(f"causal_test: lens must have a map for layer {layer}; got none")
            turned = found @ weight.to(home).double()
            found = found + turned if self.lens.residual else turned
        return found


def unit(vector: Vector) -> Vector | None:
    """The vector of length 1; None where it has no length."""
    length = float(vector.norm())
    return vector / length if length > 0 else None


def split(vector: Vector, span: torch.Tensor) -> tuple[Vector, Vector]:
    """The parts of a vector outside and inside the span of the rows of ``span``; rounding counts as zero."""
    _, sizes, basis = torch.linalg.svd(span, full_matrices=False)
    basis = basis[sizes > 1e-8 * sizes[:1]]  # the largest comes first; an empty span has none
    inside = basis.T @ (basis @ vector)
    least = LEAST * vector.norm()
    outside, inside = (torch.where(part.norm() > least, part, 0.0) for part in (vector - inside, inside))
    return outside, inside


def mean_difference(states: torch.Tensor, pairs: Sequence[str], shows: NDArray[np.bool_], item: int) -> Vector | None:
    """The difference of means between the items that show something and the others of their pairs.

    Parameters
    ----------
    states : (N, D)
        One layer's states of all items.
    pairs : sequence of N str
    shows : (N,) bool
        The items that show it.
    item : int
        Is left out on both sides.

    Returns
    -------
    (D,) float64 tensor, or None
        The mean over the items that show it of their state less the mean of their pair's items that do not. None where
        no item shows it in a pair with others that do not.
    """
    names = np.asarray(pairs)
    others = np.arange(len(names)) != item
    total, count = torch.zeros(states.shape[1], dtype=torch.float64, device=states.device), 0
    for pair in np.unique(names[shows & others]):
        here = (names == pair) & others
        with_it, without = (states[np.flatnonzero(some).tolist()] for some in (here & shows, here & ~shows))
        if len(without):
            total += with_it.sum(0, dtype=torch.float64) - len(with_it) * without.mean(0, dtype=torch.float64)
            count += len(with_it)
    return total / count if count else None

"""The ridge lens: the affine map of each layer to the last that is best in squares, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass
class Moments:
    """Sums over positions, from which the best affine maps follow; of L layers, in float64.

    Attributes
    ----------
    count : int
        Positions.
    hidden : (L, D) tensor
        sum h
    target : (D,) tensor
        sum t, of the last layer's states
    target_squares : (D,) tensor
        sum t^2, by component
    products : (L, D, D) tensor
        sum h h^T
    cross : (L, D, D) tensor
        sum h t^T
    """

    count: int
    hidden: torch.Tensor
    target: torch.Tensor
    target_squares: torch.Tensor
    products: torch.Tensor
    cross: torch.Tensor

    @classmethod
    def zeros(cls, layers: int, width: int, device: torch.device | str) -> Moments:
        def of(*shape: int) -> torch.Tensor:
            return torch.zeros(*shape, dtype=torch.float64, device=device)

        return cls(0, of(layers, width), of(width), of(width), of(layers, width, width), of(layers, width, width))

    def add(self, states: torch.Tensor) -> None:
        """Add states (L + 1, N, D), the last layer's at the end. Cost: ``4 * L * N * D * D`` operations in float64."""
        wide = states.double()
        self.count += wide.shape[1]
        self.hidden += wide[:-1].sum(1)
        self.target += wide[-1].sum(0)
        self.target_squares += wide[-1].square().sum(0)
        for layer, hidden in enumerate(wide[:-1]):  # one at a time, without a copy of the sums
            self.products[layer].addmm_(hidden.T, hidden)
            self.cross[layer].addmm_(hidden.T, wide[-1])

    def solve(self, ridge: float) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """The maps A (D, D) and b (D,) of every layer, in float64.

        minimum over A and b of  mean |t - A h - b|^2 + ridge * v |A - I|^2,   v the mean variance of h's components

        ValueError names a layer whose states span fewer than D dimensions, where ``ridge`` does not make up for it.
        """
        weights, biases = [], []
        means, target = self.hidden / self.count, self.target / self.count
        for layer, mean in enumerate(means):
            covariance = self.products[layer] / self.count - mean.outer(mean)
            cross = self.cross[layer] / self.count - mean.outer(target)
            penalty = ridge * covariance.diagonal().mean()
            cross.diagonal().add_(penalty)
            covariance.diagonal().add_(penalty)
            factor, failed = torch.linalg.cholesky_ex(covariance)
            if failed:
                raise ValueError(
                    f"fit_lens: ridge must be larger where states span fewer than {len(mean)} dimensions, as those of "
                    f"layer {layer} do; got {ridge:g}"
                )
            weight = torch.cholesky_solve(cross, factor).T
            weights.append(weight)
            biases.append(target - weight @ mean)
        return weights, biases

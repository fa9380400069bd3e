"""Divergences of rows from their references in PyTorch, one chunk of the vocabulary after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pivotkit.kernels.arrays import tensor

Logits = Callable[[Tensor, int], Tensor]  # (float32 rows, first id of a chunk) -> logits of the rows for the chunk


class Divergence:
    """KL(reference || row) of a block of rows, summed chunk by chunk.

    The chain rule gives it as the divergence within each chunk of the vocabulary plus the one between chunks.

    Parameters
    ----------
    logits : callable (rows, first id of a chunk) -> logits
    hidden : (M, D) tensor
        The rows of the whole call.
    references : (N,) int64
        The row of ``hidden`` that is the reference of each row of the block.
    first : int
        The row of ``hidden`` at which the block begins.
    """

    def __init__(self, logits: Logits, hidden: Tensor, references: NDArray[np.int64], first: int) -> None:
        rows, places = np.unique(references, return_inverse=True)
        itself = references == np.arange(first, first + references.size)
        self.logits, device = logits, hidden.device
        self.hidden = hidden.index_select(0, tensor(rows).to(device)).float()
        self.places, self.itself = tensor(places.ravel()).to(device), tensor(itself).to(device)
        empty = torch.full((references.size,), -torch.inf, device=device, dtype=torch.float32)
        self.kl, self.reference_mass, self.mass = torch.zeros_like(empty), empty, empty

    def add(self, z: Tensor, start: int) -> None:
        """Add the block's logits for the chunk that begins at id ``start``."""
        theirs = self.logits(self.hidden, start)
        reference_mass, mass = theirs.logsumexp(1), z.logsumexp(1)
        relative = (theirs - reference_mass[:, None])[self.places]
        kl = (relative.exp() * (relative - (z - mass[:, None]))).sum(1)
        reference_mass = reference_mass[self.places]
        parts = (self.kl, self.reference_mass, self.mass), (kl, reference_mass, mass)
        self.reference_mass = torch.logaddexp(self.reference_mass, reference_mass)
        self.mass = torch.logaddexp(self.mass, mass)
        self.kl = torch.stack([self._share(*part) for part in parts]).sum(0)

    def _share(self, kl: Tensor, reference_mass: Tensor, mass: Tensor) -> Tensor:
        # The part that a chunk adds to the divergence over all chunks so far; a part without mass adds nothing.
        shift = reference_mass - self.reference_mass
        return torch.where(shift > -torch.inf, shift.exp() * (kl + shift - (mass - self.mass)), 0.0)

    def result(self) -> Tensor:
        """(N,) float32 divergences, after every chunk was added."""
        if not torch.isfinite(self.kl).all():
            refuse_overflow()
        return torch.where(self.itself, 0.0, self.kl.clamp_min(0.0))


def refuse_overflow() -> NoReturn:
    """Raise for two logits that differ by more than float32 holds."""
    raise ValueError("unembed: references must name rows whose logits differ by what fits float32; got an overflow")

"""Tokens that are followed through all layers: those that any layer favors, and their logits in every layer."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pivotkit.lens.model.head import LensHead
from pivotkit.lens.model.parts import ModelParts


def tracked_tokens(ids: NDArray[np.int64], logprobs: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Choose the tokens that are among the top tokens of any layer, by their best probability in any layer.

    The last layer's top tokens alone would miss a token that appears and vanishes again.

    Parameters
    ----------
    ids : (L, N, k) int64
        The top tokens of L layers at N positions.
    logprobs : (L, N, k) float32
    count : int
        Tokens to keep per position.

    Returns
    -------
    (N, count) int64
        Best first, equal ones by id; filled up with -1.
    """
    positions = ids.shape[1]
    kept = np.full((positions, count), -1, np.int64)
    for position in range(positions):
        seen, chance = ids[:, position].ravel(), logprobs[:, position].ravel()
        order = np.lexsort((seen, -chance))
        _, first = np.unique(seen[order], return_index=True)
        best = seen[order][np.sort(first)[:count]]
        kept[position, : len(best)] = best
    return kept


@torch.inference_mode()
def logits_of(head: LensHead, normed: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Compute the logits of a few tokens per position in every layer.

    Parameters
    ----------
    head : LensHead
    normed : (L, N, D) tensor
        Hidden states after ``head.normed``.
    ids : (N, R) int64 tensor
        R tokens per position.

    Returns
    -------
    (L, N, R) float32 tensor
    """
    return as_logits(head, torch.einsum("lnd,nrd->lnr", normed.float(), head.weight[ids].float()), ids)


def as_logits(head: ModelParts, z: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """The logits of tokens, from the products ``z`` (..., R) of normed states with their rows of the head's matrix."""
    z = head.logit_scale * (z if head.bias is None else z + head.bias[ids].float())
    return z if head.softcap is None else head.softcap * torch.tanh(z / head.softcap)

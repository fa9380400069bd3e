"""What only a comparison of layers can say: the tokens that any layer favors."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pivotkit.lens.model.head import LensHead


def tracked_tokens(ids: NDArray[np.int64], logprobs: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The tokens that are among the first anywhere: the union over layers, by their best probability in any layer.

    A default that follows the last layer's favorites alone would never show a token that comes and goes.

    Parameters
    ----------
    ids, logprobs : (L, N, k)
        Each layer's top tokens at N positions.
    count : int
        Tokens kept a position.

    Returns
    -------
    (N, count) int64
        Best first, equal ones by id; -1 behind the last where fewer tokens were ever among the first.
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
    """Logits of a few tokens a position in every layer.

    Parameters
    ----------
    normed : (L, N, D) tensor
    ids : (N, R) int64 tensor

    Returns
    -------
    (L, N, R) float32 tensor
    """
    z = torch.einsum("lnd,nrd->lnr", normed.float(), head.weight[ids].float())
    z = head.logit_scale * (z if head.bias is None else z + head.bias[ids].float())
    return z if head.softcap is None else head.softcap * torch.tanh(z / head.softcap)

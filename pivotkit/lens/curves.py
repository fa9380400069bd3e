"""What only a comparison of layers can say: divergence from the final layer, and tokens that any layer favors."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pivotkit.lens.head import LensHead

# Logits of a chunk of the vocabulary that exist at once, in numbers: 4 MiB of float32.
CHUNK = 1 << 20


@torch.inference_mode()
def kl_to_final(head: LensHead, normed: torch.Tensor, logsumexp: torch.Tensor) -> torch.Tensor:
    """How far each layer's distribution is from the last one's: KL(final || layer), in nats.

    Equal to ``(p[-1] * (logp[-1] - logp)).sum(-1)`` with ``logp = log_softmax(logits)`` of each layer.

    Parameters
    ----------
    head : LensHead
    normed : (L, N, D) tensor
        Normed hidden states of L layers at N positions; the last layer is the final one.
    logsumexp : (L, N) float32 tensor
        Of each layer's logits.

    Returns
    -------
    (L, N) float32 tensor
        Not negative but for rounding, and exactly 0 in the last layer.

    Notes
    -----
    The expectation of a linear logit is the logit of the expectation: ``E_p[h @ w_v] = h @ E_p[w_v]``. So without a
    soft-cap the vocabulary is read twice for the last layer alone, whatever L is; with one, every layer's logits are
    formed, a chunk of the vocabulary at a time.
    """
    layers, count, _ = normed.shape
    final = torch.zeros(count, dtype=torch.float32, device=normed.device)
    if head.softcap is None:
        mean = torch.zeros_like(normed[-1], dtype=torch.float32)
        for begin, end in _chunks(len(head.weight), count):
            weight = head.weight[begin:end].float()
            p = torch.exp(_logits(head, normed[-1], weight, begin, end) - logsumexp[-1, :, None])
            mean += p @ weight
            if head.bias is not None:
                final += p @ head.bias[begin:end].float()
        expected = head.logit_scale * (torch.einsum("lnd,nd->ln", normed.float(), mean) + final)
    else:
        expected = torch.zeros(layers, count, dtype=torch.float32, device=normed.device)
        for begin, end in _chunks(len(head.weight), layers * count):
            weight = head.weight[begin:end].float()
            logits = _logits(head, normed, weight, begin, end)
            expected += torch.einsum("nv,lnv->ln", torch.exp(logits[-1] - logsumexp[-1, :, None]), logits)
    logprob = expected - logsumexp
    return logprob[-1] - logprob


def _chunks(vocabulary: int, rows: int) -> list[tuple[int, int]]:
    step = max(256, CHUNK // max(rows, 1))
    return [(begin, min(begin + step, vocabulary)) for begin in range(0, vocabulary, step)]


def _logits(head: LensHead, normed: torch.Tensor, weight: torch.Tensor, begin: int, end: int) -> torch.Tensor:
    """Logits of the part of the vocabulary that ``weight`` is."""
    z = normed.float() @ weight.T
    return _finished(head, z if head.bias is None else z + head.bias[begin:end].float())


def _finished(head: LensHead, z: torch.Tensor) -> torch.Tensor:
    """Scale and soft-cap, as the head has them."""
    z = head.logit_scale * z
    return z if head.softcap is None else head.softcap * torch.tanh(z / head.softcap)


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
    return _finished(head, z if head.bias is None else z + head.bias[ids].float())

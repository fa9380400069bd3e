"""Plain PyTorch oracles in float64: what each kernel means, without any optimization."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from pivotkit.kernels.results import Unembedded
from pivotkit.kernels.token_sets import TokenSetTable


def unembed(
    hidden: Tensor,
    weight: Tensor,
    k: int = 10,
    *,
    bias: Tensor | None = None,
    logit_scale: float = 1.0,
    softcap: float | None = None,
    targets: Any | None = None,
    token_sets: TokenSetTable | Sequence[Iterable[int]] | None = None,
    entropy: bool = False,
    references: Any | None = None,
) -> Unembedded:
    """Compute what ``pivotkit.kernels.unembed`` computes, from all logits and in float64.

    Parameters
    ----------
    hidden : (..., D) tensor
    weight : (V, D) tensor
    k, bias, logit_scale, softcap, targets, token_sets, entropy, references
        As for ``pivotkit.kernels.unembed``.

    Returns
    -------
    Unembedded
        Float64 tensors, and ``backend="reference"``.

    Notes
    -----
    Holds all logits, several times. Checks nothing.

    Examples
    --------
    >>> unembed(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), k=3).ids
    tensor([[1, 0, 2]])
    """
    z = torch.nn.functional.linear(hidden.double(), weight.double(), None if bias is None else bias.double())
    z = z * logit_scale
    if softcap is not None:
        z = softcap * torch.tanh(z / softcap)
    # A stable sort of the negated logits keeps ids ascending among equal logits: the total order.
    order = torch.sort(-z, dim=-1, stable=True).indices
    logsumexp = z.logsumexp(-1)
    logprobs = z - logsumexp[..., None]
    target_logits = ranks = None
    if targets is not None:
        ids = torch.as_tensor(targets)
        ids = ids.expand(*z.shape[:-1], ids.shape[-1])
        target_logits = z.gather(-1, ids)
        ranks = order.argsort(-1).gather(-1, ids)
    return Unembedded(
        ids=order[..., :k],
        logits=z.gather(-1, order[..., :k]),
        logsumexp=logsumexp,
        target_logits=target_logits,
        target_ranks=ranks,
        set_logprobs=None if token_sets is None else _set_logprobs(logprobs, token_sets),
        entropy=-torch.xlogy(logprobs.exp(), logprobs.exp()).sum(-1) if entropy else None,
        kl=None if references is None else _kl(logprobs, references),
        backend="reference",
        isa=None,
    )


def _kl(logprobs: Tensor, references: Any) -> Tensor:
    rows = logprobs.reshape(-1, logprobs.shape[-1])
    theirs = rows[torch.as_tensor(references).reshape(-1)]
    return (theirs.exp() * (theirs - rows)).sum(-1).reshape(logprobs.shape[:-1])


def _set_logprobs(logprobs: Tensor, token_sets: TokenSetTable | Sequence[Iterable[int]]) -> Tensor:
    table = token_sets if isinstance(token_sets, TokenSetTable) else TokenSetTable.of_all(token_sets)
    rows = logprobs.reshape(-1, logprobs.shape[-1])
    mass = torch.full((rows.shape[0], table.sets), -torch.inf, dtype=torch.float64)
    for m in range(rows.shape[0]):
        for s in range(table.sets):
            i = s if table.shared else m * table.sets + s
            members = torch.from_numpy(table.ids[table.offsets[i] : table.offsets[i + 1]])
            if len(members):
                mass[m, s] = rows[m, members].logsumexp(0)
    return mass.reshape(*logprobs.shape[:-1], table.sets)

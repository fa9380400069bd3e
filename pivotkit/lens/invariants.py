"""Conditions that every lens reading of any model must meet; they are checked on each reading."""

from __future__ import annotations

import functools
import math

import torch

from pivotkit.kernels import Unembedded


def check_invariants(function: str, result: Unembedded, vocabulary: int) -> None:
    """Refuse readings that no distribution over the vocabulary can give.

    Log-probabilities are at most 0 and fall from the first to the k-th; no target exceeds the first token; no mass of a
    set exceeds 1; ``0 <= entropy <= log(vocabulary)``; divergences are not negative; ranks lie within the vocabulary.

    Parameters
    ----------
    function : str
        The function that errors name.
    result : Unembedded
        Of torch tensors.
    vocabulary : int
        Number of tokens.

    Raises
    ------
    ArithmeticError
        A condition does not hold; the message gives the value that breaks it and its place. A wrong soft-cap, a missing
        scale or a damaged weight shows here even if the order of the tokens stays the same.

    Notes
    -----
    Tolerance: 1e-5 of the largest |logsumexp|, for the rounding of float32, and at least 1e-4.
    """
    require = functools.partial(_require, function)
    slack = max(1e-4, 1e-5 * float(result.logsumexp.abs().max())) if result.logsumexp.numel() else 0.0
    logprobs = result.logprobs
    require(logprobs, logprobs <= slack, "log-probabilities must not exceed 0")
    falls = result.logits[..., :-1] - result.logits[..., 1:]
    require(falls, falls >= 0, "logits of the top tokens must fall")
    if result.target_logits is not None and result.target_ranks is not None:
        lead = result.logits[..., :1] - result.target_logits
        require(lead, lead >= -slack, "the first token must not be less likely than a target")
        ranks = result.target_ranks
        require(ranks, (ranks >= 0) & (ranks < vocabulary), f"ranks must lie from 0 to {vocabulary - 1}")
    if result.set_logprobs is not None:
        require(result.set_logprobs, result.set_logprobs <= slack, "the mass of a token set must not exceed 1")
    if result.entropy is not None:
        held = (result.entropy >= -slack) & (result.entropy <= math.log(vocabulary) + slack)
        require(result.entropy, held, f"entropy must lie from 0 to {math.log(vocabulary):.6g}")
    if result.kl is not None:
        require(result.kl, result.kl >= 0, "the divergence from the final layer must not be negative")


def _require(function: str, values: torch.Tensor, held: torch.Tensor, rule: str) -> None:
    if not bool(held.all()):
        place = tuple(int(index) for index in (~held).nonzero()[0])
        raise ArithmeticError(f"{function}: {rule}; got {values[place].item():.6g} at {place} of {tuple(values.shape)}")

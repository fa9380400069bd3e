"""What one pass of the unembedding gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Unembedded:
    """Reductions of the logits of each hidden row; torch tensors for torch hidden, NumPy arrays for NumPy hidden.

    Attributes
    ----------
    ids : (..., k) int64
        The k first vocabulary entries in the order logit descending, then id ascending.
    logits : (..., k) float32
        Their logits.
    logsumexp : (...) float32
        Log of the sum of exp(logit) over the vocabulary.
    target_logits, target_ranks : (..., T) float32 and int64, or None
        Logit of each target, and the number of entries that precede it in the same order: 0 is the top.
    set_logprobs : (..., S) float32, or None
        Log of each token set's probability, in nats; minus infinity for an empty set.
    entropy : (...) float32, or None
        Entropy of the distribution, in nats.
    kl : (...) float32, or None
        Kullback-Leibler divergence of each row's distribution from that of its reference, KL(reference || row), in nats;
        exactly 0 where a row is its own reference, and never negative.
    backend : str
        ``"cpu"`` or ``"cuda"`` (native code) or ``"torch"``: what ran.
    isa : str or None
        Instruction set of the CPU's native code, or None.
    logsumexp_error : (...) float32, or None
        For precision ``"certified"``: bounds the distance of ``logsumexp`` from the one of precision ``"exact"``.
    certified : (...) bool, or None
        For precision ``"certified"``: False where a row was answered exactly instead.
    """

    ids: Any
    logits: Any
    logsumexp: Any
    target_logits: Any | None
    target_ranks: Any | None
    set_logprobs: Any | None
    entropy: Any | None
    kl: Any | None
    backend: str
    isa: str | None
    logsumexp_error: Any | None = None
    certified: Any | None = None

    @property
    def logprobs(self) -> Any:
        """(..., k) log-probabilities of ``ids``, in nats."""
        return self.logits - self.logsumexp[..., None]

    @property
    def target_logprobs(self) -> Any | None:
        """(..., T) log-probabilities of the targets, in nats, or None."""
        return None if self.target_logits is None else self.target_logits - self.logsumexp[..., None]

"""The result of one unembedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Unembedded:
    """Reductions of the logits of each hidden row, as torch tensors or NumPy arrays, whichever ``hidden`` was.

    Attributes
    ----------
    ids : (..., k) int64
        The first k ids of the vocabulary in the order logit descending, then id ascending.
    logits : (..., k) float32
        The logits of ``ids``.
    logsumexp : (...) float32
        Log of the sum of exp(logit) over the vocabulary.
    target_logits : (..., T) float32, or None
        The logit of each target.
    target_ranks : (..., T) int64, or None
        The number of ids that precede each target in the same order; 0 is the top.
    set_logprobs : (..., S) float32, or None
        Log of the probability of each token set, in nats; minus infinity for an empty set.
    entropy : (...) float32, or None
        Entropy of the distribution, in nats.
    kl : (...) float32, or None
        KL(reference || row), in nats: the Kullback-Leibler divergence of each row's distribution from its reference's.
        Never negative, and exactly 0 where a row is its own reference.
    backend : {"cpu", "cuda", "torch", "reference"}
        What ran: native code of the CPU or of CUDA, chunked PyTorch, or the float64 oracle.
    isa : str or None
        Instruction set of the native CPU code; None elsewhere.
    logsumexp_error : (...) float32, or None
        For precision ``"certified"``: bounds the distance of ``logsumexp`` from that of precision ``"exact"``.
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

    def __repr__(self) -> str:
        sizes = {"targets": self.target_logits, "token_sets": self.set_logprobs}
        said = "".join(f", {name}={value.shape[-1]}" for name, value in sizes.items() if value is not None)
        said += "".join(f", {name}" for name in ("entropy", "kl", "certified") if getattr(self, name) is not None)
        ran = f"backend={self.backend!r}" + (f", isa={self.isa!r}" if self.isa else "")
        return f"Unembedded(rows={tuple(self.logsumexp.shape)}, k={self.ids.shape[-1]}{said}, {ran})"

    @property
    def logprobs(self) -> Any:
        """(..., k) log-probabilities of ``ids``, in nats."""
        return self.logits - self.logsumexp[..., None]

    @property
    def target_logprobs(self) -> Any | None:
        """(..., T) log-probabilities of the targets, in nats; None without targets."""
        return None if self.target_logits is None else self.target_logits - self.logsumexp[..., None]

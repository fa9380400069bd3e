"""Fits a lens to a model on texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from pivotkit.arguments import check_int, check_number, check_path, check_text, refuse
from pivotkit.lens.fitted.affine import AffineLens
from pivotkit.lens.fitted.ridge import Moments
from pivotkit.lens.fitted.states import states_of
from pivotkit.lens.fitted.texts import positions, sequences
from pivotkit.lens.fitted.tuned import TunedLens, require_empty
from pivotkit.lens.model.encoding import require_tokenizer
from pivotkit.lens.model.head import LensHead, require_model
from pivotkit.progress import progress

KINDS = ("ridge",)


def fit_lens(
    model: Any,
    texts: Iterable[str],
    tokenizer: Any,
    *,
    kind: str = "ridge",
    tokens: int = 50_000,
    context: int = 128,
    ridge: float = 1e-3,
    batch: int = 1024,
    held_out: float = 0.1,
    seed: int = 0,
    head: LensHead | None = None,
    out: str | Path | None = None,
) -> AffineLens:
    """Fit an affine map of each layer's residual stream to that of the last layer.

    With h the state of layer l and t that of the last layer at the same position, before the final norm::

        "ridge"   A, b = argmin  mean |t - A h - b|^2 + ridge * v |A - I|^2     # v: the mean variance of h's components

    Parameters
    ----------
    model : a transformers causal LM in evaluation mode
    texts : iterable of str
        Documents, in an order that mixes what the lens shall serve, such as languages. Each gives one sequence, its
        first ``context`` tokens, and they are read until ``tokens`` are there.
    tokenizer : a fast Hugging Face tokenizer
    kind : {"ridge"}, default "ridge"
    tokens : int, default 50,000
        Positions to fit on, at most. The first of each sequence is left out: its states are of another size.
    context : int, default 128
        Tokens of a sequence at most, with the tokenizer's special ones.
    ridge : float, default 1e-3
        Draws the maps towards the raw lens, A = I. Needed where there are few tokens for each dimension.
    batch : int, default 1,024
        Tokens that run through the model together.
    held_out : float, default 0.1
        The share of texts, below 1, that is not fitted on. A hash of text and ``seed`` chooses them, so `lens_fidelity`
        finds the same ones.
    seed : int, default 0
    head : LensHead, optional
        The model's head; by default ``LensHead.from_model(model)``.
    out : str or Path, optional
        A new folder to save the lens in, as `TunedLens.save` does.

    Returns
    -------
    TunedLens
        Of this model alone: it has the digest and type of the model's head, and `trace` refuses it for another.

    Raises
    ------
    TypeError
        An argument is of another kind, or ``texts`` is one str or holds something else.
    ValueError
        An argument is out of range. The texts give fewer positions than the model is wide; the message says how many.
        A hidden state is NaN or infinite. ``out`` holds something. ``ridge`` is too small for what the states span.

    Notes
    -----
    A fitted lens is made to say what the last layer will say; it tells when an answer is settled, and hides a pivot
    that the raw lens shows. Show it beside the raw lens, never in its place.

    Equal arguments give equal maps on one machine and number of threads. Sums and solutions are in float64, the maps
    in float32.

    Cost, for L layers of width D: one pass over the texts, ``4 * L * D * D`` operations in float64 beside the forward
    pass for each token, and L systems of D equations. Memory beyond the model's: ``16 * L * D * D`` bytes of sums, and
    the states of one batch.
    """
    require_model("fit_lens", model, head)
    require_tokenizer("fit_lens", tokenizer)
    check_text("fit_lens", "kind", kind, KINDS)
    check_int("fit_lens", "tokens", tokens, 1)
    check_int("fit_lens", "context", context, 2)
    check_number("fit_lens", "ridge", ridge, 0)
    check_int("fit_lens", "batch", batch, 1)
    check_int("fit_lens", "seed", seed, 0)
    check_number("fit_lens", "held_out", held_out, 0, 1)
    if held_out == 1:
        refuse("fit_lens", "held_out", "be below 1, to leave texts to fit on", held_out)
    check_path("fit_lens", "out", out, none=True)
    if out is not None:
        require_empty("fit_lens", "out", Path(out))
    found = sequences(
        "fit_lens", texts, tokenizer, tokens=tokens, context=context, held_out=held_out, seed=seed
    )  # fmt: skip
    width, count = model.config.get_text_config().hidden_size, positions(found)
    if count < width:
        raise ValueError(f"fit_lens: texts must give at least {width} tokens, the width of the model; got {count}")
    head = head or LensHead.from_model(model)
    require_fit("fit_lens", head, found, context)
    moments = _moments(head, found, batch)
    weights, biases = moments.solve(ridge)
    identity = torch.eye(width, dtype=torch.float64, device=head.weight.device)
    lens = TunedLens(
        weights=tuple((weight - identity).float() for weight in weights),
        biases=tuple(bias.float() for bias in biases),
        model=str(getattr(head.base.config, "name_or_path", "") or ""),
        revision=None,
        digest=head.digest,
        dtype=head.dtype,
        fit={
            "kind": kind, "tokens": count, "texts": len(found), "context": context, "ridge": float(ridge),
            "held_out": float(held_out), "seed": int(seed),
        },
    )  # fmt: skip
    if out is not None:
        lens.save(out)
    return lens


def require_fit(function: str, head: LensHead, found: Sequence[tuple[int, ...]], context: int) -> None:
    """Refuse sequences that the model cannot read: longer than its context, or of another model's tokenizer."""
    if head.longest is not None and context > head.longest:
        refuse(function, "context", f"be at most {head.longest}, the model's context", context)
    most = max((max(ids) for ids in found), default=0)
    if most >= len(head.weight):
        refuse(function, "tokenizer", f"be the model's own, with ids below {len(head.weight)}", most)


def _moments(head: LensHead, found: Sequence[tuple[int, ...]], batch: int) -> Moments:
    layers = range(len(head.blocks) + 1)
    moments = Moments.zeros(len(head.blocks), head.width, head.weight.device)
    with progress("reading states", positions(found)) as tell:
        for states in states_of(head, found, layers, batch):
            moments.add(states)
            tell(moments.count)
    return moments

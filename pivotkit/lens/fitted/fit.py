"""Fits a lens to a model on texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from pivotkit.arguments import check_int, check_number, check_path, check_text, refuse
from pivotkit.lens.fitted.jacobian import JacobianLens, check_suffix
from pivotkit.lens.fitted.mean_jacobian import LEFT_OUT, mean_jacobian
from pivotkit.lens.fitted.ridge import Moments
from pivotkit.lens.fitted.states import states_of
from pivotkit.lens.fitted.texts import SKIPPED, positions, sequences
from pivotkit.lens.fitted.train import train
from pivotkit.lens.fitted.tuned import TunedLens, require_empty
from pivotkit.lens.model.encoding import require_tokenizer
from pivotkit.lens.model.head import LensHead, require_model
from pivotkit.progress import progress

TOKENS = {"ridge": 50_000, "tuned": 50_000, "jacobian": 2_000}  # by default, for each kind of lens


def fit_lens(
    model: Any,
    texts: Iterable[str],
    tokenizer: Any,
    *,
    kind: str = "ridge",
    tokens: int | None = None,
    context: int = 128,
    ridge: float = 1e-3,
    steps: int = 250,
    batch: int = 1024,
    held_out: float = 0.1,
    seed: int = 0,
    head: LensHead | None = None,
    out: str | Path | None = None,
) -> TunedLens | JacobianLens:
    """Fit an affine map of each layer's residual stream to that of the last layer, read as ``W_U norm(A h + b)``.

    With h_t the state of layer l and z_t that of the last layer, before the final norm, at position t::

        "ridge"     A, b = argmin  mean |z_t - A h_t - b|^2 + ridge * v |A - I|^2,   v = mean variance of h's components
        "tuned"     A, b = argmin  mean KL(softmax(W_U norm(z_t)) || softmax(W_U norm(A h_t + b))),   from "ridge" on
        "jacobian"  A = mean over prompts and t of  sum over t' >= t of  d z_t' / d h_t,   b = 0

    Parameters
    ----------
    model : a transformers causal LM in evaluation mode
    texts : iterable of str
        Documents, in an order that mixes what the lens shall serve, such as languages. Each gives one sequence, its
        first ``context`` tokens, and they are read until ``tokens`` are there.
    tokenizer : a fast Hugging Face tokenizer
    kind : {"ridge", "tuned", "jacobian"}, default "ridge"
    tokens : int, optional
        Positions to fit on, at most; by default 50,000, and 2,000 for ``"jacobian"``. The first of each sequence is
        left out, since its states are of another size; for ``"jacobian"`` the first 16 and the last, as in published
        fits.
    context : int, default 128
        Tokens of a sequence at most, with the tokenizer's special ones.
    ridge : float, default 1e-3
        Draws the maps towards the raw lens, A = I. Needed where there are few tokens for each dimension.
    steps : int, default 250
        Steps of AdamW, for ``"tuned"``.
    batch : int, default 1,024
        Tokens that run through the model together.
    held_out : float, default 0.1
        The share of texts, below 1, that is not fitted on. A hash of text and ``seed`` chooses them, so `lens_fidelity`
        finds the same ones.
    seed : int, default 0
    head : LensHead, optional
        The model's head; by default ``LensHead.from_model(model)``.
    out : str or Path, optional
        Where to save the lens: a new folder, or for ``"jacobian"`` a file that ends in ``.safetensors`` or ``.pt``.

    Returns
    -------
    TunedLens or JacobianLens
        Of this model alone: it has the digest and type of the model's head, and `trace` refuses it for another.

    Raises
    ------
    TypeError
        An argument is of another kind, or ``texts`` is one str or holds something else.
    ValueError
        An argument is out of range. The texts give fewer positions than the model is wide, or no prompt that is long
        enough; the message says how many.
        A hidden state is NaN or infinite. ``out`` holds something. ``ridge`` is too small for what the states span.

    Notes
    -----
    A fitted lens is made to say what the last layer will say; it tells when an answer is settled, and hides a pivot
    that the raw lens shows. Show it beside the raw lens, never in its place.

    Equal arguments give equal maps on one machine and number of threads. Sums and solutions are in float64, the maps
    in float32.

    Cost, for L layers of width D and a vocabulary of V. Ridge: one pass over the texts, ``4 * L * D * D`` operations in
    float64 beside the forward pass for each token, and L systems of D equations; in memory ``16 * L * D * D`` bytes of
    sums and the states of one batch. Tuned: that, and for each step ``3 * L`` products of 64 states with the head's
    matrix (`train`), which is most of it where V is large. Jacobian: D backward passes over every token
    (`mean_jacobian`). On a model of 18 blocks, width 640 and 262,144 tokens a step of tuned takes 20 seconds of one
    core, a token of a Jacobian's prompt 5; so with the defaults 40 and 90 minutes on two cores.

    Source: "tuned" is the lens of Belrose et al. 2023 (arXiv 2303.08112), "jacobian" that of Gurnee et al. 2026
    (`JacobianLens`). "ridge" is the least-squares solution of the former's map.
    """
    require_model("fit_lens", model, head)
    require_tokenizer("fit_lens", tokenizer)
    check_text("fit_lens", "kind", kind, tuple(TOKENS))
    check_int("fit_lens", "tokens", tokens, 1, none=True)
    check_int("fit_lens", "context", context, 2)
    check_number("fit_lens", "ridge", ridge, 0)
    check_int("fit_lens", "steps", steps, 1)
    check_int("fit_lens", "batch", batch, 1)
    check_int("fit_lens", "seed", seed, 0)
    check_number("fit_lens", "held_out", held_out, 0, 1)
    if held_out == 1:
        refuse("fit_lens", "held_out", "be below 1, to leave texts to fit on", held_out)
    check_path("fit_lens", "out", out, none=True)
    if out is not None and kind == "jacobian":
        check_suffix("fit_lens", "out", Path(out))
    elif out is not None:
        require_empty("fit_lens", "out", Path(out))
    skip = LEFT_OUT if kind == "jacobian" else SKIPPED
    found = sequences(
        "fit_lens", texts, tokenizer, tokens=TOKENS[kind] if tokens is None else tokens, context=context, skip=skip,
        held_out=held_out, seed=seed,
    )  # fmt: skip
    width, count = model.config.get_text_config().hidden_size, positions(found, skip)
    if kind == "jacobian" and not found:
        raise ValueError(f"fit_lens: texts must give prompts of more than {skip} tokens; got none")
    if kind != "jacobian" and count < width:
        raise ValueError(f"fit_lens: texts must give at least {width} tokens, the width of the model; got {count}")
    head = head or LensHead.from_model(model)
    require_fit("fit_lens", head, found, context)
    settings: dict[str, Any] = {"kind": "Jacobian" if kind == "jacobian" else kind, "tokens": count}
    settings |= {"texts": len(found), "context": int(context), "held_out": float(held_out), "seed": int(seed)}
    settings |= {} if kind == "jacobian" else {"ridge": float(ridge)}
    settings |= {"steps": int(steps)} if kind == "tuned" else {}
    about: dict[str, Any] = {
        "model": _model_name(head), "revision": None, "digest": head.digest, "dtype": head.dtype, "fit": settings,
    }  # fmt: skip
    lens: TunedLens | JacobianLens
    if kind == "jacobian":
        with progress("differentiating prompts", len(found)) as tell:
            lens = JacobianLens(mean_jacobian(head, found, batch, tell), None, prompts=len(found), **about)
    else:
        moments = _moments(head, found, batch)
        weights, biases = moments.solve(ridge)
        if kind == "tuned":
            with progress("training the lens", steps) as tell:
                weights, biases = train(
                    head, found, moments, weights, biases, steps=steps, batch=batch, seed=seed, tell=tell
                )
        identity = torch.eye(width, dtype=torch.float64, device=head.weight.device)
        lens = TunedLens(
            tuple((weight - identity).float() for weight in weights), tuple(bias.float() for bias in biases), **about
        )
    if out is not None:
        lens.save(out)
    return lens


def _model_name(head: LensHead) -> str:
    """The model's name on a hub, or of its folder; the place of a folder is nobody else's business."""
    name = str(getattr(head.base.config, "name_or_path", "") or "")
    return Path(name).name if Path(name).is_absolute() or Path(name).exists() else name


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

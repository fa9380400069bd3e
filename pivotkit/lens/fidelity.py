"""How far what a lens reads in each layer is from what the model says at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from pivotkit.arguments import check_int, check_number, elements, refuse, refuse_kind
from pivotkit.artifacts import with_metadata
from pivotkit.lens.fitted.affine import AffineLens
from pivotkit.lens.fitted.fit import require_fit
from pivotkit.lens.fitted.states import states_of
from pivotkit.lens.fitted.texts import positions, sequences
from pivotkit.lens.invariants import check_invariants
from pivotkit.lens.model.encoding import require_tokenizer
from pivotkit.lens.model.head import LensHead, require_model
from pivotkit.lens.through_lens import lacking_layers
from pivotkit.progress import progress

FIDELITY = pa.schema(
    [("lens", pa.string()), ("layer", pa.int32()), ("kl", pa.float64()), ("agreement", pa.float64()),
     ("tokens", pa.int64())]
)  # fmt: skip


@torch.inference_mode()
def lens_fidelity(
    model: Any,
    lenses: Any,
    texts: Iterable[str],
    tokenizer: Any,
    *,
    tokens: int = 2_000,
    context: int = 128,
    layers: Sequence[int] | None = None,
    batch: int = 1024,
    held_out: float = 0.1,
    seed: int = 0,
    head: LensHead | None = None,
) -> pa.Table:
    """Compare what lenses read in each layer with the model's own prediction, on texts that `fit_lens` held out.

    With p the last layer's distribution and q_l that of the lens at layer l, over all positions but the first of each
    sequence::

        kl = mean of  sum p (log p - log q_l),   agreement = mean of  [argmax q_l == argmax p]

    Parameters
    ----------
    model : a transformers causal LM in evaluation mode
    lenses : lens, sequence of lenses, or None
        Callables as `trace` takes them; the raw lens always stands before them.
    texts : iterable of str
        The texts that `fit_lens` had; of these, the ones held out are read, until ``tokens`` are there.
    tokenizer : a fast Hugging Face tokenizer
    tokens : int, default 2,000
        Positions to compare, at most.
    context : int, default 128
        Tokens of a sequence at most.
    layers : sequence of int, optional
        The layers to compare; by default all. A lens has no rows for layers that it has no map for. The last layer,
        against itself, has 0 and 1.
    batch : int, default 1,024
        Tokens that run through the model together.
    held_out : float, default 0.1
        The share of texts that was held out, as `fit_lens` had it; 1 reads all texts.
    seed : int, default 0
        As `fit_lens` had it.
    head : LensHead, optional
        The model's head; by default ``LensHead.from_model(model)``.

    Returns
    -------
    pyarrow.Table
        One row per lens and layer: ``lens`` (its name), ``layer``, ``kl`` in nats, ``agreement`` (a share), ``tokens``
        (the positions compared). The metadata has ``texts``, the number of sequences.

    Raises
    ------
    TypeError
        An argument is of another kind.
    ValueError
        An argument is out of range, a layer does not exist, no text is held out, a lens is for another model, two
        lenses have one name, or a hidden state is NaN or infinite.
    ArithmeticError
        No distribution can give a reading (`check_invariants`).

    Notes
    -----
    Equal logits go to the smaller id, on both sides. Cost: the head's matrix is multiplied by ``len(layers) + 1``
    states for each token and lens, which is most of the time; no logits are kept.
    """
    require_model("lens_fidelity", model, head)
    require_tokenizer("lens_fidelity", tokenizer)
    named = _named(lenses)
    check_int("lens_fidelity", "tokens", tokens, 1)
    check_int("lens_fidelity", "context", context, 2)
    check_int("lens_fidelity", "batch", batch, 1)
    check_number("lens_fidelity", "held_out", held_out, 0, 1)
    check_int("lens_fidelity", "seed", seed, 0)
    found = sequences(
        "lens_fidelity", texts, tokenizer, tokens=tokens, context=context, held_out=held_out, seed=seed, held=True
    )  # fmt: skip
    if not found:
        refuse("lens_fidelity", "texts", f"hold some that are held out, a share of {held_out:g}", 0)
    head = head or LensHead.from_model(model)
    require_fit("lens_fidelity", head, found, context)
    last = len(head.blocks)
    chosen = list(range(last + 1)) if layers is None else elements("lens_fidelity", "layers", layers, "integers")
    for layer in chosen:
        check_int("lens_fidelity", "layers", layer, 0, last)
    for lens in named.values():
        if isinstance(lens, AffineLens):
            lens.require_head("lens_fidelity", "lenses", head)
    total = positions(found)
    sums = {name: np.zeros((2, len(chosen))) for name in named}
    with progress("reading layers", total) as tell:
        done = 0
        for states in states_of(head, found, [*chosen, last], batch):
            for name, lens in named.items():
                mapped = states if lens is None else _mapped(lens, states, [*chosen, last])
                sums[name] += _compared(head, torch.cat([mapped[:-1], states[-1:]]))
            tell(done := done + states.shape[1])
    rows = [
        {"lens": name, "layer": layer, "kl": kl / total, "agreement": agreed / total, "tokens": total}
        for name, (divergences, agreements) in sums.items()
        for layer, kl, agreed in zip(chosen, divergences, agreements, strict=True)
        if layer not in lacking_layers(named[name])
    ]
    return with_metadata(pa.Table.from_pylist(rows, schema=FIDELITY), {"texts": len(found)})


def _mapped(lens: Any, states: torch.Tensor, layers: Sequence[int]) -> torch.Tensor:
    """The states of these layers through a lens; where it has no map they stay, and are left out of the result."""
    known = [at for at, layer in enumerate(layers) if layer not in lacking_layers(lens)]
    mapped = states.clone()
    mapped[known] = lens(states[known], [layers[at] for at in known])
    return mapped


def _named(lenses: Any) -> dict[str, Any]:
    """Lenses by name, the raw one first."""
    several = [] if lenses is None else [lenses] if callable(lenses) else elements(
        "lens_fidelity", "lenses", lenses, "a lens, a sequence of lenses or None"
    )  # fmt: skip
    found: dict[str, Any] = {"logit lens": None}
    for lens in several:
        if not callable(lens) or isinstance(lens, type):
            refuse_kind("lens_fidelity", "lenses", "be functions of (hidden, layers)", lens)
        name = getattr(lens, "name", type(lens).__name__)
        if name in found:
            refuse("lens_fidelity", "lenses", "have different names", name)
        found[name] = lens
    return found


def _compared(head: LensHead, states: torch.Tensor) -> np.ndarray:
    """The divergence of every layer from the last of ``states``, and its equal first choices, summed over positions."""
    layers, count, _ = states.shape
    position = np.tile(np.arange(count), layers)
    result = head.unembed(states, 1, references=(layers - 1) * count + position)
    check_invariants("lens_fidelity", result, len(head.weight))
    assert result.kl is not None  # references were given
    agreed = result.ids[:-1, :, 0] == result.ids[-1, :, 0]
    return np.stack([part[:layers].double().sum(1).cpu().numpy() for part in (result.kl[:-1], agreed)])

"""The causal test: what a pivot's direction does to the answer, beside controls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import torch
from numpy.typing import NDArray

from pivotkit.arguments import check_int, check_kind, elements, refuse
from pivotkit.artifacts import require_columns, with_metadata
from pivotkit.causal.checks import check_pivots, checked_frequencies, checked_strengths, known_names, tested_layers
from pivotkit.causal.chosen import Ledger, read_items, subjects
from pivotkit.causal.controls import ALIKE, NEAREST, SHOWN, control_tokens
from pivotkit.causal.directions import NAMES, TokenDirections, chain_map
from pivotkit.causal.hooks import require_no_hooks
from pivotkit.causal.measure import run_edits
from pivotkit.causal.variants import INTERVENTIONS, Variants
from pivotkit.lens.fitted.affine import AffineLens
from pivotkit.lens.groups import grouped
from pivotkit.lens.model.encoding import encode_items, require_room, require_same_vocabulary, require_tokenizer
from pivotkit.lens.model.head import LensHead, require_model
from pivotkit.words.task import require_tokens, task_prompt
from pivotkit.words.word_tokens import WordTokens

STRENGTHS = (0.5, 1.0, 2.0)


@torch.inference_mode()
def causal_test(
    model: Any,
    items: pa.Table,
    tokenizer: Any,
    pivots: pa.Table,
    *,
    layers: Sequence[int] | None = None,
    interventions: Sequence[str] = INTERVENTIONS,
    directions: Sequence[str] = ("unembedding",),
    strengths: Sequence[float] = STRENGTHS,
    lens: AffineLens | None = None,
    frequencies: NDArray[Any] | None = None,
    seed: int = 0,
    head: LensHead | None = None,
) -> pa.Table:
    """Change a pivot's direction in a layer, at the token that predicts the answer, and say what the answer does.

    Equivalent to a forward hook on the layer's block that replaces the state h at that token by ``h - amount * u``, and
    the difference of ``log_softmax(logits)[answer]`` with and without it, for every intervention and control.

    Parameters
    ----------
    model : a transformers causal LM
    items : pyarrow.Table
        The result of `build_task`.
    tokenizer : a fast Hugging Face tokenizer
    pivots : pyarrow.Table
        Columns ``item, layer, token_id``, and optionally ``class``: the token whose direction is tested for an item in
        a layer; at most one per item, layer and class.
    layers : sequence of int, optional
        0 is the embedding output, l the output of block l. By default those of ``pivots``.
    interventions : sequence of {"ablate", "swap", "add", "patch"}, default all
        ``"ablate"`` removes the state's coordinate along the direction: to zero, and to the mean of the other items of
        the pair. ``"swap"`` exchanges the coordinates of the pivot and of another item's. ``"add"`` adds ``strength``
        times the size of the pivot's coordinate. ``"patch"`` puts another item's whole state.
    directions : sequence of {"unembedding", "lens", "means"}, default ("unembedding",)
        ``"unembedding"`` is the token's row of the head's matrix through the norm (`chain_map`), ``"lens"`` the same
        through the map of ``lens``. ``"means"`` is the difference of mean states between the items that have the same
        concept in another pair or the same pivot in that layer, and the others of their pairs, without the item itself.
    strengths : sequence of numbers other than 0, default (0.5, 1, 2)
        Of ``"add"``; negative ones take away.
    lens : AffineLens, optional
        For the directions ``"lens"``: a result of `fit_lens`.
    frequencies : (V,) numbers, optional
        How often each token occurs, for the control ``frequency``. By default the order of ids stands for it, which
        holds only for vocabularies of merges; the metadata says which.
    seed : int, default 0
        Of the random directions and of every draw among tokens and items. No draw depends on other items' draws.
    head : LensHead, optional
        The model's head; by default ``LensHead.from_model(model)``.

    Returns
    -------
    pyarrow.Table
        One row per edit; columns ``item, pair, concept, layer, intervention, direction, control, mean, removed,
        token_id, class, strength, delta_logprob, delta_rank, delta_other_logprob``. ``delta_logprob`` (nats) and
        ``delta_rank`` are the change for the answer: the model's first choice, which begins an accepted target.
        ``delta_other_logprob`` is that of the answer of the other item, which swaps and patches take from.
        ``removed`` is how far the state moved against the unit vector of the edit (of the pivot for a patch).
        ``mean`` says that an ablation leads to the others' mean. ``strength`` is null but for ``"add"``, ``direction``
        for ``"patch"``. ``token_id`` is the token whose direction it is, null for a random one. The metadata holds what
        is left out and why, the controls' rules, layers, seed and the head.

        Controls: ``own``, the pivot. ``other``, the pivot of another item of the pair, layer and class. ``random``, a
        random direction, moved as far as ``own``. ``frequency``, a token of about the pivot's frequency and written
        alike (space, letters, script, capital). ``matched``, the token whose direction lies most nearly as near to
        source and answer as the pivot's among those that the item raises by less than `SHOWN` above the mean
        log-probability of the pair's other solved items. ``orthogonal``, the pivot's direction without the span of all
        tokens of source and targets; ``orthogonal-equal``, that moved as far as ``own``; ``shared``, that span's part
        alone. ``own-reduced``, the pivot moved as far as ``orthogonal``. ``target`` and ``source``, the answer's and
        the source's own directions. A swap exchanges the control's directions of the two items, ``other`` those of two
        more items, of which ``token_id`` is the first's. Patches have ``other``, the state of another item; ``random``,
        a state as far away; and ``own``, the state of an item of the same concept in another pair.

    Raises
    ------
    TypeError
        An argument is of another kind; layers or tokens of ``pivots`` are no whole numbers.
    ValueError
        A layer does not exist, ``pivots`` names an unknown item or holds two for one item, layer and class, no solved
        item has a pivot in the layers, the lens was fitted to another model or type, a hook of others changes the
        states, a state is NaN or infinite, what lies before the head is no norm (`chain_map`), or an unedited state
        does not give the answer's log-probability of the whole pass.
    IndexError
        A token of ``pivots`` lies outside the vocabulary.

    Notes
    -----
    The answer is read at the first piece that tells the target apart, as `trace` does, and only items read behind the
    same pieces are each other's others. Means are over all items given of such a group, solved or not. Directions of
    ``means`` have no ``frequency``, ``matched``, ``target`` and ``source``, since no item shows those tokens. Edits are
    computed in float64 and put in the model's type. Ties of tokens, items and nearness go to the lower id or the seed.

    Cost: every prompt runs twice, and each edit is a pass of one token through the blocks above its layer and one row
    of the head (`EditedPasses`). A model that takes no cached prefix runs the whole prompt for each edit.

    Source: Dumas et al., arXiv 2411.08745 (patching). The orthogonal controls are pivotkit's own (docs/method.md).
    """
    require_model("causal_test", model, head)
    require_columns("causal_test", "items", items, ("item", "pair", "concept", "source", "target", "prompt"))
    require_tokenizer("causal_test", tokenizer)
    require_columns("causal_test", "pivots", pivots, ("item", "layer", "token_id"))
    interventions = known_names("interventions", interventions, INTERVENTIONS)
    directions = known_names("directions", directions, NAMES)
    strengths = checked_strengths(strengths)
    if "add" in interventions and not strengths:
        raise ValueError("causal_test: strengths must be at least one for 'add'; got none")
    check_kind("causal_test", "lens", lens, AffineLens, "an AffineLens, such as fit_lens gives,", none=True)
    if (lens is None) == ("lens" in directions):
        refuse("causal_test", "lens", "be given where directions hold 'lens', and only there", lens)
    check_int("causal_test", "seed", seed, 0)
    wanted = None if layers is None else elements("causal_test", "layers", layers, "a sequence of ints or None")
    if wanted is not None and not wanted:
        raise ValueError("causal_test: layers must be at least one; got none")
    for layer in wanted or ():
        check_int("causal_test", "layers", layer, 0)
    weights = checked_frequencies(frequencies)
    if not items.num_rows:
        raise ValueError("causal_test: items must be at least one; got none")
    task_prompt(items)  # refuses a table without
    require_tokens(items, tokenizer)
    head = head or LensHead.from_model(model)
    chosen = tested_layers(wanted, pivots, len(head.blocks))
    check_pivots(pivots, items, len(head.weight))
    if weights is not None and len(weights) != len(head.weight):
        refuse("causal_test", "frequencies", f"be one per token, {len(head.weight)}", len(weights))
    if lens is not None:
        lens.require_head("causal_test", "lens", head)
    rows = items.to_pylist()
    texts = encode_items(tokenizer, items)
    rows = grouped(rows, texts, tokenizer)
    require_room("causal_test", head.longest, texts)
    require_same_vocabulary("causal_test", len(head.weight), texts)
    linear = chain_map(head)
    require_no_hooks(head, texts[0].ids[: texts[0].telling])
    word_tokens, ledger = WordTokens(tokenizer), Ledger()
    read, states = read_items(head, rows, texts, word_tokens, chosen)
    found = subjects(read, pivots, chosen, ledger)
    if not found:
        solved = sum(item.reason is None for item in read)
        raise ValueError(
            f"causal_test: pivots must hold one of an item that the model solves, in layers "
            f"{', '.join(map(str, chosen)) or 'of the model'}; got none among {solved} solved of {len(read)} items"
        )
    along = {name: TokenDirections(head, linear, lens if name == "lens" else None) for name in directions}
    tokens = control_tokens(found, read, states, chosen, TokenDirections(head, linear), word_tokens, weights, seed)
    for subject in found:
        if (subject, "matched") not in tokens:
            ledger.add(
                read[subject.at],
                f"each of the {NEAREST} nearest tokens is shown, or no other item is solved",
                subject.layer,
                "matched",
            )
    variants = Variants(read, states, chosen, found, tokens, along, interventions, strengths, seed, ledger)
    table = run_edits(head, read, found, states, chosen, variants)
    metadata = {
        "left_out": ledger.entries,
        "layers": chosen,
        "seed": seed,
        "traced": "the token that predicts the target's first telling piece; the answer is the model's first choice",
        "interventions": interventions,
        "directions": directions,
        "strengths": strengths if "add" in interventions else [],
        "lens": None if lens is None else lens.name,
        "frequency": f"one of the {ALIKE} nearest by " + ("the order of ids" if weights is None else "frequencies"),
        "matched": f"the first of the {NEAREST} nearest that the item raises less than {math.exp(SHOWN):.0f} times",
        "items": {"given": len(read), "tested": len({subject.at for subject in found})},
        "head": head.describe(),
    }
    return with_metadata(table, metadata)

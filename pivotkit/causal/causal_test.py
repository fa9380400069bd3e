"""The causal test: what a pivot's direction does to the answer, beside controls."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pivotkit.arguments import check_int, check_kind, check_strings, elements, refuse, refuse_kind, shown
from pivotkit.artifacts import require_columns, with_metadata
from pivotkit.causal.chosen import Item, Ledger, Subject, read_items, subjects
from pivotkit.causal.controls import (
    ALIKE, NEAREST, SHOWN, FrequencyMatched, Nearness, generator, nearest_tokens, shown_probabilities,
)  # fmt: skip
from pivotkit.causal.directions import NAMES, TokenDirections, chain_map
from pivotkit.causal.hooks import require_no_hooks
from pivotkit.causal.passes import EditedPasses, groups, skippable
from pivotkit.causal.variants import INTERVENTIONS, Edit, Variants
from pivotkit.lens.fitted.affine import AffineLens
from pivotkit.lens.invariants import check_invariants
from pivotkit.lens.model.difference import tolerance
from pivotkit.lens.model.encoding import encode, require_room, require_same_vocabulary, require_tokenizer
from pivotkit.lens.model.head import LensHead, require_model
from pivotkit.lens.model.proof import LAYER_ROUNDING
from pivotkit.words.task import require_tokens, task_prompt
from pivotkit.words.word_tokens import WordTokens

STRENGTHS = (0.5, 1.0, 2.0)
EDITS = 512  # edited states that wait for one pass over the head's matrix

CAUSAL = pa.schema(
    [("item", pa.int32()), ("pair", pa.string()), ("concept", pa.string()), ("layer", pa.int32()),
     ("intervention", pa.string()), ("direction", pa.string()), ("control", pa.string()), ("mean", pa.bool_()),
     ("removed", pa.float32()), ("token_id", pa.int32()), ("class", pa.string()), ("strength", pa.float32()),
     ("delta_logprob", pa.float32()), ("delta_rank", pa.int32()), ("delta_other_logprob", pa.float32())]
)  # fmt: skip


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
        random direction, moved as far as ``own``. ``frequency``, a token of about the pivot's frequency and of its
        class. ``matched``, the token whose direction lies most nearly as near to source and answer as the pivot's among
        those to which the layer gives less than `SHOWN`. ``orthogonal``, the pivot's direction without the span of all
        tokens of source and targets; ``orthogonal-equal``, that moved as far as ``own``; ``shared``, that span's part
        alone. ``own-reduced``, the pivot moved as far as ``orthogonal``. ``target`` and ``source``, the answer's and
        the source's own directions. A swap exchanges the control's directions of the two items, ``other`` those of two
        more items. Patches have ``other``, the state of another item; ``random``, a state as far away; and ``own``, the
        state of an item of the same concept in another pair.

    Raises
    ------
    TypeError
        An argument is of another kind.
    ValueError
        A layer does not exist, ``pivots`` names an unknown item or holds two for one item, layer and class, no solved
        item has a pivot, the lens was fitted to another model or type, a hook of others changes the states, a state is
        NaN or infinite, what lies before the head is no norm (`chain_map`), or an unedited state does not give the
        answer's log-probability of the whole pass.
    IndexError
        A token of ``pivots`` lies outside the vocabulary.

    Notes
    -----
    Means are over all items given of a pair, solved or not. Directions of ``means`` have no ``frequency``, ``matched``,
    ``target`` and ``source``, since no item shows those tokens. Edits are computed in float64 and put in the model's
    type. Ties of tokens, items and nearness go to the lower id or the seed.

    Cost: every prompt runs twice, and each edit is a pass of one token through the blocks above its layer and one row
    of the head (`EditedPasses`). A model that takes no cached prefix runs the whole prompt for each edit.

    Source: Dumas et al., arXiv 2411.08745 (patching); `pivots.md` of the project's research (orthogonal controls).
    """
    require_model("causal_test", model, head)
    require_columns("causal_test", "items", items, ("item", "pair", "concept", "source", "target", "prompt"))
    require_tokenizer("causal_test", tokenizer)
    require_columns("causal_test", "pivots", pivots, ("item", "layer", "token_id"))
    interventions = _names("interventions", interventions, INTERVENTIONS)
    directions = _names("directions", directions, NAMES)
    strengths = _strengths(strengths)
    check_kind("causal_test", "lens", lens, AffineLens, "an AffineLens, such as fit_lens gives,", none=True)
    if (lens is None) == ("lens" in directions):
        refuse("causal_test", "lens", "be given where directions hold 'lens', and only there", lens)
    check_int("causal_test", "seed", seed, 0)
    wanted = None if layers is None else elements("causal_test", "layers", layers, "a sequence of ints or None")
    for layer in wanted or ():
        check_int("causal_test", "layers", layer, 0)
    weights = _frequencies(frequencies)
    if not items.num_rows:
        raise ValueError("causal_test: items must be at least one; got none")
    prompt = task_prompt(items)
    require_tokens(items, tokenizer)
    head = head or LensHead.from_model(model)
    chosen = _layers(wanted, pivots, len(head.blocks))
    _check_pivots(pivots, items, len(head.weight))
    if weights is not None and len(weights) != len(head.weight):
        refuse("causal_test", "frequencies", f"be one per token, {len(head.weight)}", len(weights))
    if lens is not None:
        lens.require_head("causal_test", "lens", head)
    rows = items.to_pylist()
    texts = encode(tokenizer, [row["prompt"] for row in rows], [prompt.reply(row["target"]) for row in rows])
    require_room("causal_test", head.longest, texts)
    require_same_vocabulary("causal_test", len(head.weight), texts)
    linear = chain_map(head)
    require_no_hooks(head, texts[0].ids[: texts[0].word_start])
    word_tokens, ledger = WordTokens(tokenizer), Ledger()
    read, states = read_items(head, rows, texts, word_tokens, chosen)
    found = subjects(read, pivots, chosen, ledger)
    if not found:
        solved = sum(item.reason is None for item in read)
        raise ValueError(
            f"causal_test: pivots must hold one of an item that the model solves; got none among {solved} solved of "
            f"{len(read)} items"
        )
    along = {name: TokenDirections(head, linear, lens if name == "lens" else None) for name in directions}
    tokens = _control_tokens(found, read, states, chosen, TokenDirections(head, linear), word_tokens, weights, seed)
    for subject in found:
        if (subject, "matched") not in tokens:
            ledger.add(read[subject.at], f"all of the {NEAREST} nearest tokens are shown", subject.layer, "matched")
    variants = Variants(read, states, chosen, found, tokens, along, interventions, strengths, seed, ledger)
    table = _run(head, read, found, states, chosen, variants)
    metadata = {
        "left_out": ledger.entries,
        "layers": chosen,
        "seed": seed,
        "traced": "the last token of the prompt; the answer is the model's first choice",
        "interventions": interventions,
        "directions": directions,
        "strengths": strengths if "add" in interventions else [],
        "lens": None if lens is None else lens.name,
        "frequency": f"one of the {ALIKE} nearest by " + ("the order of ids" if weights is None else "frequencies"),
        "matched": f"the first of the {NEAREST} nearest below a probability of {SHOWN:g}",
        "items": {"given": len(read), "tested": len({subject.at for subject in found})},
        "head": head.describe(),
    }
    return with_metadata(table, metadata)


def _control_tokens(
    found: Sequence[Subject], items: Sequence[Item], states: NDArray[np.float32], layers: Sequence[int],
    directions: TokenDirections, word_tokens: WordTokens, frequencies: NDArray[np.float64] | None, seed: int,
) -> dict[tuple[Subject, str], int]:  # fmt: skip
    """The tokens of the controls ``frequency`` and ``matched`` of each subject; one that has none is absent."""
    head = directions.head
    at = {layer: number for number, layer in enumerate(layers)}
    held = torch.from_numpy(np.stack([states[at[one.layer], one.at] for one in found])).to(head.weight)
    logsumexp = head.unembed(held, 1).logsumexp.double().cpu().numpy()
    wanted = [Nearness(one.token, items[one.at].source, items[one.at].answer) for one in found]
    nearest = nearest_tokens(directions, wanted)
    frequent = FrequencyMatched(word_tokens, len(head.weight), frequencies)
    tokens: dict[tuple[Subject, str], int] = {}
    for number, subject in enumerate(found):
        item = items[subject.at]
        taken = {subject.token, *item.family}
        ids, _ = nearest[wanted[number]]
        ids = ids[[one not in taken for one in ids.tolist()]]
        hidden = ids[shown_probabilities(directions, held[number], logsumexp[number], ids) < SHOWN]
        if len(hidden):
            tokens[subject, "matched"] = int(hidden[0])
        drawn = frequent.draw(subject.token, taken, generator(seed, item, subject.layer, f"frequency {subject.kind}"))
        if drawn is not None:
            tokens[subject, "frequency"] = drawn
    return tokens


def _run(
    head: LensHead, items: Sequence[Item], found: Sequence[Subject], states: NDArray[np.float32],
    layers: Sequence[int], variants: Variants,
) -> pa.Table:  # fmt: skip
    """The rows of all edits, in the order of items, layers and classes."""
    by_item: dict[int, list[Subject]] = defaultdict(list)
    for subject in found:
        by_item[subject.at].append(subject)
    tested = list(by_item)
    first = items[tested[0]]
    skips = skippable(head, first.ids, layers, states[:, tested[0]]) if head.shares_prefix else frozenset()
    columns: dict[str, list[Any]] = {name: [] for name in CAUSAL.names}
    for group in groups([items[at].ids for at in tested]):
        passes = EditedPasses(head, [items[tested[number]].ids for number in group], skips)
        line = {tested[number]: row for row, number in enumerate(group)}
        for number, layer in enumerate(layers):
            waiting: list[tuple[Subject, Edit | None]] = []
            here = [one for at in line for one in by_item[at] if one.layer == layer]
            for place, subject in enumerate(here):
                waiting.append((subject, None))  # the state as it is
                waiting += [(subject, edit) for edit in variants.edits(subject)]
                if len(waiting) >= EDITS or place == len(here) - 1:
                    _read(head, passes, items, layer, line, states[number], waiting, columns)
                    waiting = []
    table = pa.table(columns, schema=CAUSAL)
    order = np.lexsort([np.arange(table.num_rows), table["layer"].to_numpy(), table["item"].to_numpy()])
    return table.take(order)


def _read(
    head: LensHead, passes: EditedPasses, items: Sequence[Item], layer: int, line: dict[int, int],
    states: NDArray[np.float32], waiting: Sequence[tuple[Subject, Edit | None]], columns: dict[str, list[Any]],
) -> None:  # fmt: skip
    """Run edits of one layer and add their rows; each subject's own state comes before its edits."""
    new = np.stack([states[one.at] if edit is None else edit.state for one, edit in waiting]).astype(np.float32)
    put = torch.from_numpy(new).to(head.weight)
    if not put.isfinite().all():
        subject, edit = waiting[int((~put.isfinite()).any(1).nonzero()[0])]
        raise ValueError(
            f"causal_test: edited states must be finite; got {edit} at layer {layer}, item {items[subject.at].item}"
        )
    last = passes.run(layer, [line[one.at] for one, _ in waiting], put)
    answers = [items[one.at].answer for one, _ in waiting]
    others = [None if edit is None else edit.other_answer for _, edit in waiting]
    # The other answer of an unedited state is that of any of its edits, so all that its edits name are asked for.
    named = sorted({other for other in others if other is not None} | set(answers))
    result = head.unembed(last, 1, targets=torch.tensor(answers)[:, None])
    check_invariants("causal_test", result, len(head.weight))
    assert result.target_logprobs is not None and result.target_ranks is not None  # targets were given
    logprobs, ranks = result.target_logprobs[:, 0].double().cpu().numpy(), result.target_ranks[:, 0].cpu().numpy()
    beside = _logprobs(head, last, result.logsumexp, named)
    bound = LAYER_ROUNDING * tolerance(head.weight) * result.logits[:, 0].abs().clamp_min(1).cpu().numpy()
    base = 0
    for row, (subject, edit) in enumerate(waiting):
        item = items[subject.at]
        if edit is None:
            base = row
            if not abs(logprobs[row] - item.logprob) <= bound[row]:
                raise ValueError(
                    f"causal_test: model must give an unedited state the log-probability of the whole pass, "
                    f"{item.logprob:.4f}; got {logprobs[row]:.4f} at layer {layer}, item {item.item}: a hook or a part "
                    f"of the model changes states by their place"
                )
            continue
        other = edit.other_answer
        values = (
            item.item, item.pair, str(item.concept), layer, edit.intervention, edit.direction, edit.control, edit.mean,
            edit.removed, edit.token, subject.kind, edit.strength, logprobs[row] - logprobs[base],
            int(ranks[row] - ranks[base]),
            None if other is None else beside[row, named.index(other)] - beside[base, named.index(other)],
        )  # fmt: skip
        for name, value in zip(CAUSAL.names, values, strict=True):
            columns[name].append(value)


def _logprobs(
    head: LensHead, states: torch.Tensor, logsumexp: torch.Tensor, tokens: Sequence[int]
) -> NDArray[np.float64]:
    """The log-probabilities (N, R) of a few tokens for each state."""
    from pivotkit.lens.tracked_tokens import as_logits

    ids = torch.tensor(tokens, device=head.weight.device)
    logits = as_logits(head, head.normed(states).float() @ head.weight[ids].float().T, ids)
    found: NDArray[np.float64] = (logits.double() - logsumexp.double().to(logits.device)[:, None]).cpu().numpy()
    return found


def _names(argument: str, given: Sequence[str], known: Sequence[str]) -> list[str]:
    found = list(dict.fromkeys(check_strings("causal_test", argument, given)))
    for name in found:
        if name not in known:
            raise ValueError(f"causal_test: {argument} must be of {', '.join(known)}; got {shown(name)}")
    if not found:
        raise ValueError(f"causal_test: {argument} must be at least one of {', '.join(known)}; got none")
    return found


def _strengths(given: Iterable[float]) -> list[float]:
    found = elements("causal_test", "strengths", given, "a sequence of numbers")
    for one in found:
        if isinstance(one, bool) or not isinstance(one, Real):
            refuse_kind("causal_test", "strengths", "hold numbers", one)
        if not (math.isfinite(float(one)) and float(one)):
            refuse("causal_test", "strengths", "be finite and not 0", one)
    return [float(one) for one in found]


def _frequencies(given: Any) -> NDArray[np.float64] | None:
    if given is None:
        return None
    check_kind("causal_test", "frequencies", given, np.ndarray, "a NumPy array of numbers", none=True)
    if given.ndim != 1 or given.dtype.kind not in "iuf":
        refuse("causal_test", "frequencies", "be a NumPy array (V,) of numbers", given)
    if not np.isfinite(given).all():
        refuse("causal_test", "frequencies", "be finite", given)
    return given.astype(np.float64)


def _layers(wanted: Sequence[int] | None, pivots: pa.Table, last: int) -> list[int]:
    """The layers to test, ascending; refuses those that the model lacks, in either argument."""
    held = pivots["layer"].to_pylist()
    for argument, given in (("layers", wanted or ()), ("pivots", held)):
        for layer in given:
            if layer is None or not 0 <= layer <= last:
                raise ValueError(f"causal_test: {argument} must have layers from 0 to {last}; got {layer}")
    return sorted({int(layer) for layer in (held if wanted is None else wanted)})


def _check_pivots(pivots: pa.Table, items: pa.Table, vocabulary: int) -> None:
    known = set(items["item"].to_pylist())
    if len(known) != items.num_rows:
        raise ValueError("causal_test: items must each be there once; got two of one number")
    kinds = pivots["class"].to_pylist() if "class" in pivots.column_names else [None] * pivots.num_rows
    seen = set()
    for item, layer, token, kind in zip(
        pivots["item"].to_pylist(), pivots["layer"].to_pylist(), pivots["token_id"].to_pylist(), kinds, strict=True
    ):
        if item not in known:
            raise ValueError(f"causal_test: pivots must be of items that are given; got item {item}")
        if token is None or not 0 <= token < vocabulary:
            raise IndexError(f"causal_test: pivots must have tokens from 0 to {vocabulary - 1}; got {token}")
        if (item, layer, kind) in seen:
            raise ValueError(
                f"causal_test: pivots must hold one token per item, layer and class; got two of item {item}, layer "
                f"{layer}{'' if kind is None else f', {kind}'}"
            )
        seen.add((item, layer, kind))

"""What every layer predicts at chosen positions: the logit lens, reduced to a few numbers per layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from pivotkit.arguments import (
    LARGEST,
    check_flag,
    check_int,
    check_kind,
    check_strings,
    refuse,
)
from pivotkit.artifacts import require_columns, table_metadata, with_metadata
from pivotkit.kernels import TokenSetTable
from pivotkit.lens.chains import follow_chains, other_tokens, with_chains
from pivotkit.lens.contrast import AnswerStates, ContrastReader, states_that_fit, with_contrasts
from pivotkit.lens.contrast_means import ContrastMeans, Lens, check_lens, contrast_means, lens_name
from pivotkit.lens.fitted.affine import AffineLens
from pivotkit.lens.groups import LEAST_ITEMS, grouped
from pivotkit.lens.invariants import check_invariants
from pivotkit.lens.model.encoding import encode, require_room, require_same_vocabulary, require_tokenizer
from pivotkit.lens.model.head import LensHead, require_model
from pivotkit.lens.model.middle import middle_readers
from pivotkit.lens.model.prefix_tree import PrefixTree
from pivotkit.lens.pivot_sets import PIVOT_SETS, pivot_sets, require_tokens_below, token_sets
from pivotkit.lens.positions import (
    ANSWER,
    ATTENTION,
    BLOCK,
    POINTS,
    Place,
    Spans,
    check_places,
    check_points,
    find_places,
)
from pivotkit.lens.through_lens import lacking_layers, through_lens
from pivotkit.lens.trace_table import Reading, trace_rows
from pivotkit.lens.tracked_tokens import logits_of, tracked_tokens
from pivotkit.words.task import require_tokens, task_prompt
from pivotkit.words.word_tokens import TokenPolicy, WordTokens

SETS = ("source", "target", *PIVOT_SETS)  # token sets besides those of the latent languages
NO_SETS = ("top", "contrast")  # columns of ids that are not a set's


@torch.inference_mode()
def trace(
    model: Any,
    items: pa.Table,
    tokenizer: Any,
    *,
    positions: Sequence[str] = ("answer",),
    points: Sequence[str] = ("block",),
    spans: Spans | None = None,
    latent: Sequence[str] = (),
    pivots: pa.Table | Mapping[int, Sequence[int]] | None = None,
    k: int = 10,
    tracked: int = 10,
    chains: bool = False,
    contrast: bool | ContrastMeans = True,
    lens: Lens | None = None,
    policy: TokenPolicy | None = None,
    head: LensHead | None = None,
) -> pa.Table:
    """Trace every item's prompt through all layers, by default at the position that predicts the target word.

    Equivalent to ``log_softmax(lm_head(norm(h)))`` for the hidden state ``h`` of every layer, reduced to the top k, the
    log of the total probability of each token set, the log-probability and rank of the target, the entropy, and the
    divergence from the last layer.

    Parameters
    ----------
    model : a transformers causal LM
    items : pyarrow.Table
        The result of `build_task`.
    tokenizer : a fast Hugging Face tokenizer
    positions : sequence of {"answer", "source", "all"}, default ("answer",)
        ``"answer"`` is the position that predicts the target word, ``"source"`` every token of the source word in the
        query line, ``"all"`` every token of the prompt. Where many words share the target's first pieces (a bare space,
        a part of a character, a single letter), they are appended to the prompt, and the position is the one that
        predicts the first piece that tells the target apart (`telling_piece`).
    points : sequence of {"block", "attention"}, default ("block",)
        Where in each block the residual stream is read: ``"block"`` after its feed-forward part, which is before the
        attention of the next block; ``"attention"`` between its attention and its feed-forward part
        (`middle_readers`). ``"block"`` is always among them.
    spans : mapping of label to one (begin, end) per item, optional
        Further positions: every token that holds one of these characters of the item's prompt.
    latent : sequence of str, default ()
        Languages whose word for the concept is followed too, such as ``("en",)``. Each gives a column
        ``<code>_logmass``, which is null if the concept has no word in the language.
    pivots : pyarrow.Table or mapping of item to token ids, optional
        The result of `find_pivots` gives ``pivot_logmass`` and, for the controls that it has, ``control_logmass,
        matched_logmass, other_logmass``; a mapping gives ``pivot_logmass``. Null for items without such tokens.
    k : int, default 10
        Top tokens to keep per layer and position.
    tracked : int, default 10
        Tokens to follow through all layers per position: the union over layers of the top k, by best probability in any
        layer.
    chains : bool, default False
        Whether to trace all tokens of the target. ``target_chain_logprob`` is then the log-probability of all its
        tokens in each layer, each after the ones before it. Costs the extra tokens.
    contrast : bool or ContrastMeans, default True
        Whether to say what sets each item apart at the answer: the contrast of a token is its log-probability less the
        mean of its log-probabilities for the other items of the pair with the same pieces appended. Fewer than 10
        items have none. Where ``items`` are a part of more, the sums of `contrast_means` over all of them.
    lens : callable (hidden (L, N, D), layers) -> (L, N, D), optional
        Maps hidden states before the norm, as the lenses of `fit_lens` do. By default the raw logit lens. Layers that
        a fitted lens has no map for, as the embedding in published Jacobian lenses, have no rows; the metadata's
        ``lacking`` names them.
    policy : TokenPolicy, optional
        Which tokens stand for a word; by default those that can begin one of its spellings.
    head : LensHead, optional
        The model's head; by default ``LensHead.from_model(model)``.

    Returns
    -------
    pyarrow.Table
        One row per item, layer, point and position. Columns ``item, pair, layer, point, position, token, label,
        top_ids, top_tokens, top_logprobs, top_contrasts, contrast_ids, contrast_tokens, contrasts, contrast_logprobs,
        logsumexp, entropy, kl_to_final, target_piece, appended, appended_pieces, target_logprob, target_rank,
        target_chain_logprob, tracked, tracked_logprobs``; for each token set ``<set>_logmass`` and ``<set>_ids``; all
        pieces of the two words, ``source_pieces, target_pieces``; and, where the label is ``answer``, ``source_word,
        target_words`` (all accepted ones) and the concept's ``words``. Layer 0 is the embedding output and layer l the
        output of block l, so the last layer equals the model; rows with the ``point`` ``attention`` are of block
        ``layer`` before its feed-forward part. ``target_piece`` says which token of the target is read, from 0;
        ``appended_pieces`` are those before it and ``appended`` their text. The sets are ``source``, ``target`` (all
        accepted targets), the latent languages, ``pivot`` and its controls. A set holds what tells a word apart at the
        answer (`WordTokens`); where nothing does, it is empty and its mass null. ``top_contrasts`` are those of the top
        tokens, ``contrast_ids`` and the columns after it the k tokens of the highest contrast, equal ones by id. They
        are null where the label is not ``answer`` and for groups without contrasts; the metadata says why. Logs are
        natural; contrasts, entropy and divergence are in nats; ranks begin at 0. The metadata names the layers, the
        lens, the policy, the groups with contrasts, and the head with its self-check error.

    Raises
    ------
    TypeError
        An argument is of another kind; a single string is no ``positions`` or ``latent``.
    ValueError
        There are no items, a column is missing, a latent language or a position is unknown, ``k`` or ``tracked`` is
        out of range, ``points`` holds ``"attention"`` with a lens, with sums, with more items than fit in memory for
        contrasts, or for a model without such states, the tokenizer gives no offsets, the lens was fitted to another
        model, a prompt is longer than the model's context, a word has no tokens, a hidden state is NaN or infinite, an
        item is there twice, or ``contrast`` is of another model, lens or set of items.
    ArithmeticError
        No distribution can give a reading (`check_invariants`).

    Notes
    -----
    If the tokenizer gives the space before a word a token of its own, the position after that token is traced.

    Cost: a prefix that prompts share runs once (`PrefixTree` states the memory). The head's matrix is read once for all
    layers and prompts of a batch. The model's own logits are never built. Contrasts wait for all items of a pair: up to
    ``STATES_BYTES`` of states stay in memory, and beyond that the model runs twice. They take one more pass over the
    matrix, on a CPU in int8, with a copy in int8 that ``head`` keeps. A soft-cap takes two products with the matrix.
    """
    require_model("trace", model, head)
    require_columns("trace", "items", items, ("item", "pair", "source", "target", "words", "prompt"))
    require_tokenizer("trace", tokenizer)
    check_places(positions, spans, items.num_rows)
    check_points(points)
    latent = check_strings("trace", "latent", latent)
    sets = pivot_sets(pivots, items)
    require_tokens_below(sets, LARGEST)
    check_int("trace", "k", k, 1)
    check_int("trace", "tracked", tracked, 1)
    check_flag("trace", "chains", chains)
    check_kind("trace", "contrast", contrast, bool | np.bool_ | ContrastMeans, "True, False or a ContrastMeans")
    check_lens("trace", lens)
    if lens is not None and ATTENTION in points:
        raise ValueError(f"trace: points must be {BLOCK} alone with a lens; got {ATTENTION}")
    check_kind("trace", "policy", policy, TokenPolicy, "a TokenPolicy", none=True)
    if not items.num_rows:
        raise ValueError("trace: items must be at least one; got none")
    prompt = task_prompt(items)
    for code in latent:
        if code not in table_metadata(items)["languages"]:
            refuse("trace", "latent", "be languages of the lexicon", code)
        if code in (*SETS, *NO_SETS):
            raise ValueError(f"trace: latent must have codes other than {', '.join(SETS + NO_SETS)}; got {code!r}")
    require_tokens(items, tokenizer)
    head = head or LensHead.from_model(model)
    if isinstance(lens, AffineLens):
        lens.require_head("trace", "lens", head)
    rows = items.to_pylist()
    texts = encode(tokenizer, [row["prompt"] for row in rows], [prompt.reply(row["target"]) for row in rows])
    rows = grouped(rows, texts, tokenizer)
    require_room("trace", head.longest, texts)
    require_same_vocabulary("trace", len(head.weight), texts)
    check_int("trace", "k", k, 1, len(head.weight))
    tracked = min(tracked, len(head.weight))
    require_tokens_below(sets, len(head.weight))
    word_tokens = WordTokens(tokenizer, policy)
    names = [*SETS[:2], *latent, *sets]
    of_items = [
        token_sets(row, text.appended, word_tokens, latent, sets) for row, text in zip(rows, texts, strict=True)
    ]
    places = find_places(items, texts, positions, spans)
    wanted = [sorted({place.index for place in own}) for own in places]
    others = [other_tokens(text) if chains else [] for text in texts]
    wanted = [sorted({*own, *(index - 1 for index in more)}) for own, more in zip(wanted, others, strict=True)]
    tree = PrefixTree([text.ids for text in texts], wanted, [f"item {row['item']}" for row in rows])
    owners: list[list[tuple[int, Place]]] = [[] for _ in range(tree.count)]
    links: list[list[tuple[int, int]]] = [[] for _ in range(tree.count)]  # (item, the next token)
    for item, (text, own, more) in enumerate(zip(texts, places, others, strict=True)):
        row_at = dict(zip(wanted[item], tree.rows[item], strict=True))
        for place in own:
            owners[row_at[place.index]].append((item, place))
        for index in more:
            links[row_at[index - 1]].append((item, text.ids[index]))
    layers = range(len(head.blocks) + 1)
    readers = middle_readers("trace", head) if ATTENTION in points else ()
    # The log-probability of the targets' tokens but the one that is read.
    rest = np.zeros((len(rows), len(layers) + len(readers)))
    reader = None
    if ANSWER in positions:
        reader = _contrast_reader(model, items, rows, tokenizer, contrast, lens, head, len(readers))
    found: list[pa.Table] = []
    for lines, states in tree.run(head, readers=readers):
        states = through_lens(lens, states)
        follow_chains(head, states, [links[line] for line in lines], rest)
        here = [(at, item, place) for at, line in enumerate(lines) for item, place in owners[line]]
        if not here:
            continue
        whose, own_sets = [item for _, item, _ in here], [of_items[item] for _, item, _ in here]
        targets = [texts[item].ids[texts[item].telling] for item in whose]
        own_rows = [rows[item] for item in whose]
        reading, normed = _read(head, states[:, [at for at, *_ in here]], k, tracked, targets, own_sets)
        found.append(
            trace_rows(
                reading, own_rows, [place for *_, place in here], [texts[item] for item in whose], own_sets, names,
                word_tokens, len(head.blocks),
            )
        )  # fmt: skip
        answers = [at for at, (*_, place) in enumerate(here) if place.label == ANSWER]
        if reader is not None and answers:
            reader.add(AnswerStates.of(answers, own_rows, normed, reading))
    # Batches are ordered by length, the table by item.
    table = pa.concat_tables(found).sort_by(
        [(name, "ascending") for name in ("item", "label", "position", "layer", "point")]
    )
    about = {"absent": "the answer is not traced" if ANSWER not in positions else "not asked for"}
    metadata = {
        "contrast": about if reader is None else reader.finish(),
        "layers": ["embedding", *(f"block {layer}" for layer in layers[1:])],
        "points": [point for point in POINTS if point in points],
        "lens": lens_name(lens),
        "policy": word_tokens.policy.as_dict(),
        "head": head.describe(),
    }
    table = with_contrasts(table, [] if reader is None else reader.found, word_tokens)
    table = with_chains(table, items, rest if chains else None)
    if lacking := lacking_layers(lens):
        metadata["lacking"] = {str(layer): "the lens has no map for it" for layer in lacking}
        table = table.filter(pa.array(~np.isin(table["layer"].to_numpy(), lacking)))
    return with_metadata(table, metadata)


def _contrast_reader(
    model: Any, items: pa.Table, rows: Sequence[dict[str, Any]], tokenizer: Any, contrast: bool | ContrastMeans,
    lens: Lens | None, head: LensHead, readers: int,
) -> ContrastReader | None:  # fmt: skip
    """What reads the contrasts; it knows the means before where they are given or the states of all would not fit."""
    groups = Counter(row["group"] for row in rows)
    if isinstance(contrast, ContrastMeans):
        if readers:
            raise ValueError(f"trace: points must be {BLOCK} alone where contrast is sums; got {ATTENTION}")
        contrast.require("trace", head, lens, rows)
        return ContrastReader(head, groups, contrast)
    if not contrast:
        return None
    kept = sum(count for count in groups.values() if count >= LEAST_ITEMS)
    fit = states_that_fit(head, readers)
    if readers and kept > fit:
        raise ValueError(
            f"trace: items must be at most {fit}, whose states fit, for contrasts at {ATTENTION}; got {kept}: trace "
            "pair by pair, or with contrast=False"
        )
    means = None if kept <= fit else contrast_means(model, items, tokenizer, lens=lens, head=head)
    return ContrastReader(head, groups, means)


def _read(
    head: LensHead, states: torch.Tensor, k: int, tracked: int, targets: Sequence[int],
    own_sets: Sequence[list[list[int]]],
) -> tuple[Reading, torch.Tensor]:  # fmt: skip
    """Read states (L, N, D), with one target and one list of token sets per position; returns the normed states too."""
    layers, count, blocks = len(states), len(targets), len(head.blocks)
    position = np.tile(np.arange(count), layers)
    result = head.unembed(
        states, k, targets=torch.tensor(targets).unsqueeze(1).expand(layers, -1, 1),
        token_sets=TokenSetTable.per_row(own_sets).take(position), entropy=True,
        references=blocks * count + position,  # the last layer's row of the same position
    )  # fmt: skip
    check_invariants("trace", result, len(head.weight))
    normed = head.normed(states)
    ids, logprobs = (values[: blocks + 1].cpu().numpy() for values in (result.ids, result.logprobs))
    favorites = tracked_tokens(ids, logprobs, tracked)
    logits = logits_of(head, normed, torch.from_numpy(favorites.clip(0)).to(normed.device))
    return Reading.of(result, favorites, logits - result.logsumexp.unsqueeze(-1)), normed

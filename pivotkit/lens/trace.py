"""What every layer predicts at chosen positions: the logit lens, reduced to a few numbers per layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pivotkit.arguments import (
    LARGEST,
    check_flag,
    check_int,
    check_kind,
    check_strings,
    elements,
    refuse,
    refuse_kind,
)
from pivotkit.artifacts import require_columns, table_metadata, with_metadata
from pivotkit.kernels import TokenSetTable
from pivotkit.lens.fitted.affine import AffineLens
from pivotkit.lens.invariants import check_invariants
from pivotkit.lens.model.encoding import encode, require_room, require_same_vocabulary, require_tokenizer
from pivotkit.lens.model.head import LensHead, require_model
from pivotkit.lens.model.prefix_tree import PrefixTree
from pivotkit.lens.positions import Place, Spans, check_places, find_places
from pivotkit.lens.trace_table import Reading, trace_rows
from pivotkit.lens.tracked_tokens import logits_of, tracked_tokens
from pivotkit.words.task import accepted_targets, require_tokens, task_prompt
from pivotkit.words.word_tokens import TokenPolicy, WordTokens

Lens = Callable[[torch.Tensor, Sequence[int]], torch.Tensor]

SETS = ("source", "target", "pivot")  # token sets besides those of the latent languages


@torch.inference_mode()
def trace(
    model: Any,
    items: pa.Table,
    tokenizer: Any,
    *,
    positions: Sequence[str] = ("answer",),
    spans: Spans | None = None,
    latent: Sequence[str] = (),
    pivots: Mapping[int, Sequence[int]] | None = None,
    k: int = 10,
    tracked: int = 10,
    chains: bool = False,
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
        query line, ``"all"`` every token of the prompt.
    spans : mapping of label to one (begin, end) per item, optional
        Further positions: every token that holds one of these characters of the item's prompt.
    latent : sequence of str, default ()
        Languages whose word for the concept is followed too, such as ``("en",)``. Each gives a column
        ``<code>_logmass``, which is null if the concept has no word in the language.
    pivots : mapping of item to token ids, optional
        Gives the column ``pivot_logmass``, which is null for items without pivots.
    k : int, default 10
        Top tokens to keep per layer and position.
    tracked : int, default 10
        Tokens to follow through all layers per position: the union over layers of the top k, by best probability in any
        layer.
    chains : bool, default False
        Whether to trace all tokens of the target. ``target_chain_logprob`` is then the log-probability of all its
        tokens in each layer, each after the ones before it. Costs the extra tokens.
    lens : callable (hidden (L, N, D), layers) -> (L, N, D), optional
        Maps hidden states before the norm, as the lenses of `fit_lens` do. By default the raw logit lens.
    policy : TokenPolicy, optional
        Which tokens stand for a word; by default those that can begin one of its spellings.
    head : LensHead, optional
        The model's head; by default ``LensHead.from_model(model)``.

    Returns
    -------
    pyarrow.Table
        One row per item, layer and position. Columns ``item, pair, layer, position, token, label, top_ids, top_tokens,
        top_logprobs, logsumexp, entropy, kl_to_final, target_logprob, target_rank, target_chain_logprob, tracked,
        tracked_logprobs``; for each token set ``<set>_logmass`` and ``<set>_ids``; and all pieces of the two words,
        ``source_pieces, target_pieces``. The sets are ``source``, ``target`` (all accepted targets), the latent
        languages and ``pivot``. Layer 0 is the embedding output and layer l the output of block l, so the last layer
        equals the model. Logs are natural, entropy and divergence are in nats, ranks begin at 0. The metadata names the
        layers, the lens, the policy, and the head with its self-check error.

    Raises
    ------
    TypeError
        An argument is of another kind; a single string is no ``positions`` or ``latent``.
    ValueError
        There are no items, a column is missing, a latent language or a position is unknown, ``k`` or ``tracked`` is
        out of range, the tokenizer gives no offsets, the lens was fitted to another model or lacks a layer, a prompt is
        longer than the model's context, a word has no tokens, or a hidden state is NaN or infinite.
    ArithmeticError
        No distribution can give a reading (`check_invariants`).

    Notes
    -----
    If the tokenizer gives the space before a word a token of its own, the position after that token is traced.

    Cost: a prefix that prompts share runs once (`PrefixTree` states the memory). The head's matrix is read once for all
    layers and prompts of a batch. The model's own logits are never built.
    """
    require_model("trace", model, head)
    require_columns("trace", "items", items, ("item", "pair", "source", "target", "words", "prompt"))
    require_tokenizer("trace", tokenizer)
    check_places(positions, spans, items.num_rows)
    latent = check_strings("trace", "latent", latent)
    _check_pivots(pivots, items)
    check_int("trace", "k", k, 1)
    check_int("trace", "tracked", tracked, 1)
    check_flag("trace", "chains", chains)
    if lens is not None and (isinstance(lens, type) or not callable(lens)):
        refuse_kind("trace", "lens", "be a function of (hidden, layers) or None", lens)
    check_kind("trace", "policy", policy, TokenPolicy, "a TokenPolicy", none=True)
    if not items.num_rows:
        raise ValueError("trace: items must be at least one; got none")
    prompt = task_prompt(items)
    for code in latent:
        if code not in table_metadata(items)["languages"]:
            refuse("trace", "latent", "be languages of the lexicon", code)
        if code in SETS:
            raise ValueError(f"trace: latent must have codes other than {', '.join(SETS)}; got {code!r}")
    require_tokens(items, tokenizer)
    head = head or LensHead.from_model(model)
    if isinstance(lens, AffineLens):
        lens.require_head("trace", "lens", head)
    rows = items.to_pylist()
    texts = encode(tokenizer, [row["prompt"] for row in rows], [prompt.reply(row["target"]) for row in rows])
    require_room("trace", head.longest, texts)
    require_same_vocabulary("trace", len(head.weight), texts)
    check_int("trace", "k", k, 1, len(head.weight))
    tracked = min(tracked, len(head.weight))
    _check_pivots(pivots, items, len(head.weight))
    word_tokens = WordTokens(tokenizer, policy)
    names = [*SETS[:2], *latent, *(SETS[2:] if pivots is not None else [])]
    token_sets = [_token_sets(row, word_tokens, latent, pivots) for row in rows]
    places = find_places(items, texts, positions, spans)
    wanted = [sorted({place.index for place in own}) for own in places]
    if chains:
        wanted = [[*own, *range(text.word_start, len(text.ids) - 1)] for own, text in zip(wanted, texts, strict=True)]
    tree = PrefixTree([text.ids for text in texts], wanted, [f"item {row['item']}" for row in rows])
    owners: list[list[tuple[int, Place]]] = [[] for _ in range(tree.count)]
    links: list[list[tuple[int, int]]] = [[] for _ in range(tree.count)]  # (item, the next token)
    for item, (text, own) in enumerate(zip(texts, places, strict=True)):
        row_at = dict(zip(wanted[item], tree.rows[item], strict=True))
        for place in own:
            owners[row_at[place.index]].append((item, place))
        for index in range(text.word_start, len(text.ids) - 1) if chains else ():
            links[row_at[index]].append((item, text.ids[index + 1]))
    layers = range(len(head.blocks) + 1)
    rest = np.zeros((len(rows), len(layers)))  # log-probability of the targets' tokens after the first
    found: list[pa.Table] = []
    for lines, states in tree.run(head):
        if lens is not None:
            states = lens(states, layers)
        _follow_chains(head, states, [links[line] for line in lines], rest)
        here = [(at, item, place) for at, line in enumerate(lines) for item, place in owners[line]]
        if not here:
            continue
        whose, own_sets = [item for _, item, _ in here], [token_sets[item] for _, item, _ in here]
        targets = [texts[item].ids[texts[item].word_start] for item in whose]
        reading = _read(head, states[:, [at for at, *_ in here]], k, tracked, targets, own_sets)
        found.append(
            trace_rows(
                reading, [rows[item] for item in whose], [place for *_, place in here],
                [texts[item] for item in whose], own_sets, names, word_tokens,
            )
        )  # fmt: skip
    # Batches are ordered by length, the table by item.
    table = pa.concat_tables(found).sort_by([(name, "ascending") for name in ("item", "label", "position", "layer")])
    metadata = {
        "layers": ["embedding", *(f"block {layer}" for layer in layers[1:])],
        "lens": "logit lens" if lens is None else getattr(lens, "name", type(lens).__name__),
        "policy": word_tokens.policy.as_dict(),
        "head": head.describe(),
    }
    return with_metadata(_with_chains(table, items, rest if chains else None), metadata)


def _check_pivots(pivots: Mapping[int, Sequence[int]] | None, items: pa.Table, vocabulary: int = LARGEST) -> None:
    """Refuse what is no mapping, or gives an item something else than token ids below ``vocabulary``."""
    check_kind("trace", "pivots", pivots, Mapping, "a mapping of item to token ids", none=True)
    given = pivots or {}
    for item in given:
        check_int("trace", "pivots", item, 0)
    for item in items["item"].to_pylist() if given else ():
        for token in elements("trace", "pivots", given.get(item, ()), "a mapping of item to token ids"):
            check_int("trace", "pivots", token, 0, vocabulary - 1)


def _token_sets(
    row: dict[str, Any], word_tokens: WordTokens, latent: Sequence[str], pivots: Mapping[int, Sequence[int]] | None
) -> list[list[int]]:
    """The token sets of one item, in the order of the columns; empty if the item has no such word or no pivots."""
    words = dict(row["words"])
    targets = set().union(*map(word_tokens.first, accepted_targets(row)))
    token_sets = [list(word_tokens.first(row["source"])), sorted(targets)]
    token_sets += [list(word_tokens.first(words[code])) if code in words else [] for code in latent]
    if pivots is not None:
        token_sets.append(sorted(set(pivots.get(row["item"], ()))))
    return token_sets


def _read(
    head: LensHead, states: torch.Tensor, k: int, tracked: int, targets: Sequence[int],
    token_sets: Sequence[list[list[int]]],
) -> Reading:  # fmt: skip
    """Read states (L, N, D) through the lens, with one target and one list of token sets per position."""
    layers, count = len(states), len(targets)
    position = np.tile(np.arange(count), layers)
    result = head.unembed(
        states, k, targets=torch.tensor(targets).unsqueeze(1).expand(layers, -1, 1),
        token_sets=TokenSetTable.per_row(token_sets).take(position), entropy=True,
        references=(layers - 1) * count + position,  # the last layer's row of the same position
    )  # fmt: skip
    check_invariants("trace", result, len(head.weight))
    normed = head.normed(states)
    favorites = tracked_tokens(result.ids.cpu().numpy(), result.logprobs.cpu().numpy(), tracked)
    logits = logits_of(head, normed, torch.from_numpy(favorites.clip(0)).to(normed.device))
    return Reading.of(result, favorites, logits - result.logsumexp.unsqueeze(-1))


def _follow_chains(
    head: LensHead, states: torch.Tensor, links: Sequence[Sequence[tuple[int, int]]], rest: NDArray[np.float64]
) -> None:
    """Add to ``rest`` the log-probability that each layer gives to the next tokens."""
    here = [(at, item, token) for at, own in enumerate(links) for item, token in own]
    if here:
        at, whose, tokens = (list(column) for column in zip(*here, strict=True))
        result = head.unembed(states[:, at], 1, targets=torch.tensor(tokens).unsqueeze(1).expand(len(states), -1, 1))
        check_invariants("trace", result, len(head.weight))
        assert result.target_logprobs is not None  # targets were given
        np.add.at(rest, whose, result.target_logprobs[..., 0].T.double().cpu().numpy())


def _with_chains(table: pa.Table, items: pa.Table, rest: NDArray[np.float64] | None) -> pa.Table:
    """Add the column ``target_chain_logprob`` after the target's rank; null unless asked for and at the answer."""
    chained = pa.nulls(table.num_rows, pa.float32())
    if rest is not None:
        line = {item: at for at, item in enumerate(items["item"].to_pylist())}
        at = [line[item] for item in table["item"].to_pylist()]
        whole = table["target_logprob"].to_numpy() + rest[at, table["layer"].to_numpy()]
        elsewhere = np.array([label != "answer" for label in table["label"].to_pylist()])
        chained = pa.array(whole.astype(np.float32), mask=elsewhere)
    return table.add_column(table.schema.get_field_index("target_rank") + 1, "target_chain_logprob", chained)

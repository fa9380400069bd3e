"""What every layer says at chosen positions: the logit lens, reduced to what the questions need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pivotkit.artifacts import require_columns, table_metadata, with_metadata
from pivotkit.kernels import TokenSetTable
from pivotkit.lens.curves import logits_of, tracked_tokens
from pivotkit.lens.invariants import check_invariants
from pivotkit.lens.model.encoding import encode, require_room
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.model.prefix_tree import PrefixTree
from pivotkit.lens.positions import Place, Spans, find_places
from pivotkit.lens.trace_table import Reading, tables
from pivotkit.words.task import accepted_targets, require_tokens, task_prompt
from pivotkit.words.word_tokens import TokenPolicy, WordTokens

Lens = Callable[[torch.Tensor, Sequence[int]], torch.Tensor]

SETS = ("source", "target", "pivot")  # token sets that are no latent language's


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

    Equivalent to ``log_softmax(lm_head(norm(h)))`` of every layer's hidden state ``h``, of which are kept: the top k,
    the log of the summed probability of each token set, the target's log-probability and rank, entropy, and the
    divergence from the last layer.

    Parameters
    ----------
    model : a transformers causal LM
    items : pyarrow.Table
        What `build_task` returns.
    tokenizer : a fast Hugging Face tokenizer
    positions : sequence of {"answer", "source", "all"}, default ("answer",)
        ``"answer"`` predicts the target's word, ``"source"`` is every token of the source word in the query line,
        ``"all"`` every token of the prompt.
    spans : mapping of label to one (begin, end) an item, optional
        Further positions by characters of the item's prompt: every token that holds one of them.
    latent : sequence of str
        Languages whose word for the concept is tracked too, ``("en",)`` say; a language gives the column
        ``<code>_logmass``, null where the concept has no word in it.
    pivots : mapping of item to token ids, optional
        Gives the columns ``pivot_logmass``; null for items without pivots.
    k : int, default 10
    tracked : int, default 10
        Tokens followed through all layers: the union over layers of the top k, by best probability in any layer.
    chains : bool, default False
        Whether the whole target is traced: ``target_chain_logprob`` is then the log-probability of all its word's tokens
        in each layer, each behind the ones before it. Costs the extra tokens.
    lens : callable (hidden (L, N, D), layers) -> (L, N, D), optional
        What is done to hidden states before the norm: a `TunedLens`. The raw logit lens by default.
    policy : TokenPolicy, optional
        Which tokens stand for a word; by default those that its spellings can begin with.
    head : LensHead, optional
        Made from the model by default.

    Returns
    -------
    pyarrow.Table
        An item, layer and position a row: ``item, pair, layer, position, token, label, top_ids, top_tokens, top_logprobs,
        logsumexp, entropy, kl_to_final, target_logprob, target_rank, target_chain_logprob, tracked,
        tracked_logprobs``, for every set ``<set>_logmass`` and the ``<set>_ids`` that it holds (sets are ``source``,
        ``target`` with all accepted targets, the latent languages and ``pivot``), and all pieces of the two words. The
        metadata names the layers, the lens, the policy and the head with its self-check error. Layer 0 is the embedding output,
        layer l the output of block l, so the last equals the model. Logs are natural, entropy and divergence in nats,
        ranks from 0.

    Raises
    ------
    TypeError
        Items that are no table, positions or latent languages that are one string.
    ValueError
        No items, a missing column, an unknown latent language or position, a tokenizer without offsets, a prompt longer
        than the model's context, a word without tokens, hidden states that are not finite.
    ArithmeticError
        A reading that no distribution can give (`check_invariants`).

    Notes
    -----
    Where the tokenizer puts a bare space piece before a word, the position behind that piece is traced. What prompts begin with alike runs once
    (`PrefixTree`, which states the memory). The head's weight is read once for all layers and prompts of a batch; the
    model's own logits are never built.
    """
    require_columns("trace", "items", items, ("item", "pair", "source", "target", "words", "prompt"))
    if not items.num_rows:
        raise ValueError("trace: items must be at least one; got none")
    prompt = task_prompt(items)
    for name, given in (("positions", positions), ("latent", latent)):
        if isinstance(given, str):
            raise TypeError(f"trace: {name} must be a sequence of strings; got {given!r}")
    for code in latent:
        if code not in table_metadata(items)["languages"]:
            raise ValueError(f"trace: latent must be languages of the lexicon; got {code!r}")
        if code in SETS:
            raise ValueError(f"trace: latent must have codes other than {', '.join(SETS)}; got {code!r}")
    if tracked < 1:
        raise ValueError(f"trace: tracked must be at least 1; got {tracked}")
    require_tokens(items, tokenizer)
    head = head or LensHead.from_model(model)
    rows = items.to_pylist()
    texts = encode(tokenizer, [row["prompt"] for row in rows], [prompt.reply(row["target"]) for row in rows])
    require_room("trace", head.longest, texts)
    sets = WordTokens(tokenizer, policy)
    names = [*SETS[:2], *latent, *(SETS[2:] if pivots is not None else [])]
    followed = [_followed(row, sets, latent, pivots) for row in rows]
    places = find_places(items, texts, positions, spans)
    wanted = [sorted({place.index for place in own}) for own in places]
    if chains:
        wanted = [[*own, *range(text.word_start, len(text.ids) - 1)] for own, text in zip(wanted, texts, strict=True)]
    tree = PrefixTree([text.ids for text in texts], wanted, [f"item {row['item']}" for row in rows])
    owners: list[list[tuple[int, Place]]] = [[] for _ in range(tree.count)]
    links: list[list[tuple[int, int]]] = [[] for _ in range(tree.count)]  # (item, the token that comes next)
    for item, (text, own) in enumerate(zip(texts, places, strict=True)):
        row_at = dict(zip(wanted[item], tree.rows[item], strict=True))
        for place in own:
            owners[row_at[place.index]].append((item, place))
        for index in range(text.word_start, len(text.ids) - 1) if chains else ():
            links[row_at[index]].append((item, text.ids[index + 1]))
    layers = range(len(head.blocks) + 1)
    rest = np.zeros((len(rows), len(layers)))  # log-probability of the targets' tokens behind the first
    found: list[pa.Table] = []
    for lines, states in tree.run(head):
        if lens is not None:
            states = lens(states, layers)
        _follow_chains(head, states, [links[line] for line in lines], rest)
        here = [(at, item, place) for at, line in enumerate(lines) for item, place in owners[line]]
        if not here:
            continue
        reading = _read(
            head, states[:, [at for at, *_ in here]], k, tracked,
            [texts[item].ids[texts[item].word_start] for _, item, _ in here], [followed[item] for _, item, _ in here],
        )  # fmt: skip
        whose = [item for _, item, _ in here]
        found.append(tables(reading, [rows[item] for item in whose], [place for *_, place in here],
                            [texts[item] for item in whose], [followed[item] for item in whose], names, sets))  # fmt: skip
    # Batches go by length; the table goes by item.
    table = pa.concat_tables(found).sort_by([(name, "ascending") for name in ("item", "label", "position", "layer")])
    metadata = {
        "layers": ["embedding", *(f"block {layer}" for layer in layers[1:])],
        "lens": "logit lens" if lens is None else getattr(lens, "name", type(lens).__name__),
        "policy": sets.policy.as_dict(),
        "head": head.describe(),
    }
    return with_metadata(_with_chains(table, items, rest if chains else None), metadata)


def _followed(
    row: dict[str, Any], sets: WordTokens, latent: Sequence[str], pivots: Mapping[int, Sequence[int]] | None
) -> list[list[int]]:
    """The token sets of one item, in the order of the columns; empty where there is nothing to track."""
    words = dict(row["words"])
    targets = set().union(*map(sets.first, accepted_targets(row)))
    followed = [list(sets.first(row["source"])), sorted(targets)]
    followed += [list(sets.first(words[code])) if code in words else [] for code in latent]
    if pivots is not None:
        followed.append(sorted(set(pivots.get(row["item"], ()))))
    return followed


def _read(
    head: LensHead, states: torch.Tensor, k: int, tracked: int, targets: Sequence[int], followed: Sequence[list[list[int]]]
) -> Reading:  # fmt: skip
    """Everything the lens says of states (L, N, D) with one target and one list of token sets a position."""
    layers, count = len(states), len(targets)
    position = np.tile(np.arange(count), layers)
    result = head.unembed(
        states, k, targets=torch.tensor(targets).unsqueeze(1).expand(layers, -1, 1),
        token_sets=TokenSetTable.per_row(followed).take(position), entropy=True,
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
    """Add to ``rest`` what each layer says of the tokens that come next."""
    here = [(at, item, token) for at, own in enumerate(links) for item, token in own]
    if here:
        at, whose, tokens = (list(column) for column in zip(*here, strict=True))
        result = head.unembed(states[:, at], 1, targets=torch.tensor(tokens).unsqueeze(1).expand(len(states), -1, 1))
        check_invariants("trace", result, len(head.weight))
        assert result.target_logprobs is not None  # targets were given
        np.add.at(rest, whose, result.target_logprobs[..., 0].T.double().cpu().numpy())


def _with_chains(table: pa.Table, items: pa.Table, rest: NDArray[np.float64] | None) -> pa.Table:
    """``table`` with the column of chains behind the target's rank: null but at the answer, and where not asked for."""
    chained = pa.nulls(table.num_rows, pa.float32())
    if rest is not None:
        line = {item: at for at, item in enumerate(items["item"].to_pylist())}
        at = [line[item] for item in table["item"].to_pylist()]
        whole = table["target_logprob"].to_numpy() + rest[at, table["layer"].to_numpy()]
        elsewhere = np.array([label != "answer" for label in table["label"].to_pylist()])
        chained = pa.array(whole.astype(np.float32), mask=elsewhere)
    return table.add_column(table.schema.get_field_index("target_rank") + 1, "target_chain_logprob", chained)

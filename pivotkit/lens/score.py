"""The contrastive translation score: how much the target's probability depends on the source word."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from pivotkit.kernels import unembed
from pivotkit.lens.capture import capture
from pivotkit.lens.encoding import Encoded, encode, pad_right
from pivotkit.lens.head import LensHead
from pivotkit.words.task import require_tokens, task_languages, task_prompt

SCORES = pa.schema(
    [("item", pa.int32()), ("pair", pa.string()), ("source", pa.string()), ("target", pa.string()),
     ("p_gold", pa.float64()), ("p_distractors", pa.list_(pa.float64())), ("score", pa.float64())]
)  # fmt: skip

ROWS = 1024  # hidden rows that are unembedded together: the head's weight is read once for all of them
BATCH = 32  # continuations of one context that run together


@dataclass(frozen=True)
class Ask:
    """One sequence to be scored: which candidate of which item, in which context."""

    item: int
    candidate: int
    text: Encoded


@torch.inference_mode()
def score(model: Any, items: pa.Table, tokenizer: Any, *, head: LensHead | None = None) -> pa.Table:
    """Score a model on the translation task.

    ``score = P(gold source) - mean over distractors d of P(d)``, where ``P(c) = exp(-mean over contexts of the mean
    negative log-likelihood of the target's tokens behind candidate c)``.

    Parameters
    ----------
    model : a transformers causal LM
    items : pyarrow.Table
        What `build_task` returns.
    tokenizer : a fast Hugging Face tokenizer
    head : LensHead, optional
        Made from the model by default.

    Returns
    -------
    pyarrow.Table
        ``item, pair, source, target, p_gold, p_distractors, score``; score lies in (-1, 1).

    Raises
    ------
    ValueError
        A tokenizer without offsets, a word without tokens, a sequence longer than the model's context.

    Notes
    -----
    Tokens that all sequences of a context share run through the model once; candidates continue from its cache. Only
    positions that predict the target are unembedded. Source: arXiv 2505.16385, section 3.2.
    """
    require_tokens(items, tokenizer)
    head = head or LensHead.from_model(model)
    losses: dict[tuple[int, int], list[float]] = defaultdict(list)
    rows: list[torch.Tensor] = []
    asked: list[tuple[Ask, list[int]]] = []

    def flush() -> None:
        """Unembed the waiting rows and book each sequence's mean loss."""
        if not rows:
            return
        targets = [token for _, tokens in asked for token in tokens]
        result = unembed(
            torch.cat(rows), head.packed, 1, bias=head.bias, logit_scale=head.logit_scale, softcap=head.softcap,
            targets=torch.tensor(targets).unsqueeze(1),
        )  # fmt: skip
        assert result.target_logits is not None  # targets were given
        nll = (result.logsumexp - result.target_logits[:, 0]).double().tolist()
        begin = 0
        for ask, tokens in asked:
            losses[ask.item, ask.candidate].append(float(np.mean(nll[begin : begin + len(tokens)])))
            begin += len(tokens)
        rows.clear()
        asked.clear()

    for context in _contexts(
        items, tokenizer, getattr(model.config.get_text_config(), "max_position_embeddings", None)
    ):
        for hidden, answered in _answer_states(head, context):
            rows.append(hidden)
            asked.extend(answered)
            if sum(map(len, rows)) >= ROWS:
                flush()
    flush()
    return _table(items, losses)


def _contexts(items: pa.Table, tokenizer: Any, longest: int | None) -> Iterator[list[Ask]]:
    """The sequences of each different context, all items that share it together."""
    prompt = task_prompt(items)
    groups: dict[tuple[str, str], list[tuple[int, int, str, str]]] = {}
    for row in items.to_pylist():
        names = task_languages(items, row["pair"])
        for context in row["contexts"]:
            group = groups.setdefault((row["pair"], context), [])
            for number, source in enumerate([row["source"], *row["distractors"]]):
                group.append((row["item"], number, context + prompt.ask(*names, source), prompt.reply(row["target"])))
    for group in groups.values():
        encoded = encode(tokenizer, [text for *_, text, _ in group], [answer for *_, answer in group])
        most = max(len(text.ids) for text in encoded)
        if longest is not None and most > longest:
            raise ValueError(f"score: prompt must fit the model's context of {longest} tokens; got {most}")
        yield [Ask(item, candidate, text) for (item, candidate, *_), text in zip(group, encoded, strict=True)]


def _answer_states(head: LensHead, asks: Sequence[Ask]) -> Iterator[tuple[torch.Tensor, list[tuple[Ask, list[int]]]]]:
    """Normed hidden states of the positions that predict each sequence's answer, batch by batch."""
    device = head.weight.device
    shared = _shared_prefix(asks)
    past = None
    if shared:
        prefix = torch.tensor([asks[0].text.ids[:shared]], device=device)
        past = head.base(input_ids=prefix, use_cache=True).past_key_values
    # Equal lengths side by side: little padding.
    order = sorted(asks, key=lambda ask: len(ask.text.ids))
    for begin in range(0, len(order), BATCH):
        batch = order[begin : begin + BATCH]
        cache = None
        if past is not None:
            cache = deepcopy(past)
            cache.batch_repeat_interleave(len(batch))
        ids = pad_right([ask.text.ids[shared:] for ask in batch], device)
        positions = [
            (row, index - 1 - shared)
            for row, ask in enumerate(batch)
            for index in range(ask.text.start, len(ask.text.ids))
        ]
        last = capture(head, ids, positions, layers=[len(head.blocks)], past=cache)[0]
        yield head.normed(last), [(ask, list(ask.text.ids[ask.text.start :])) for ask in batch]


def _shared_prefix(asks: Sequence[Ask]) -> int:
    """How many leading tokens all sequences share, short of the first position that predicts an answer."""
    limit = min(ask.text.start for ask in asks) - 1
    columns = zip(*(ask.text.ids[:limit] for ask in asks), strict=True)
    return sum(1 for _ in itertools.takewhile(lambda column: len(set(column)) == 1, columns))


def _table(items: pa.Table, losses: dict[tuple[int, int], list[float]]) -> pa.Table:
    rows = []
    for row in items.select(["item", "pair", "source", "target", "distractors"]).to_pylist():
        p = [float(np.exp(-np.mean(losses[row["item"], number]))) for number in range(1 + len(row["distractors"]))]
        kept = {name: row[name] for name in ("item", "pair", "source", "target")}
        rows.append(kept | {"p_gold": p[0], "p_distractors": p[1:], "score": p[0] - float(np.mean(p[1:]))})
    return pa.Table.from_pylist(rows, schema=SCORES)

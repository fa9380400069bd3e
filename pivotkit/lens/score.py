"""The paper's contrastive score: how much the probability of the target word depends on the source word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pivotkit.artifacts import require_columns
from pivotkit.lens.invariants import check_invariants
from pivotkit.lens.model.encoding import Encoded, encode, require_room, require_same_vocabulary, require_tokenizer
from pivotkit.lens.model.head import LensHead, require_model
from pivotkit.lens.model.prefix_tree import PrefixTree
from pivotkit.words.questions import questions
from pivotkit.words.task import (
    accepted_targets,
    excluded_items,
    require_candidates,
    require_tokens,
    task_prompt,
)

SCORES = pa.schema(
    [("item", pa.int32()), ("pair", pa.string()), ("source", pa.string()), ("target", pa.string()),
     ("p_gold", pa.float64()), ("p_distractors", pa.list_(pa.float64())), ("score", pa.float64()),
     ("gold_rank", pa.int32()), ("greedy", pa.float64()), ("reciprocal_rank", pa.float64()),
     ("target_piece", pa.int32()), ("appended", pa.string()), ("excluded", pa.bool_())]
)  # fmt: skip

ROWS = 1024  # hidden rows that are unembedded together; the head's matrix is read once for all of them
ITEMS = 256  # items that share one prefix tree


@dataclass(frozen=True)
class Ask:
    """One sequence to be scored: an accepted target after one candidate source, in one context."""

    candidate: int  # 0 is the gold source
    context: int
    target: int
    text: Encoded


@dataclass(frozen=True)
class Answers:
    """The model's loss and rank of every token of one sequence's target."""

    loss: NDArray[np.float64]  # negative log-likelihoods, in nats
    rank: NDArray[np.int64]  # 0 is the model's first choice
    telling: int  # index of the target's first token that tells it apart


@torch.inference_mode()
def score(model: Any, items: pa.Table, tokenizer: Any, *, head: LensHead | None = None) -> pa.Table:
    """Score a model on the translation task.

    ``score = P(gold source) - mean over distractors d of P(d)``, where ``P(c) = exp(-mean over contexts of the mean
    negative log-likelihood of the target's tokens after candidate c)``. Of several accepted targets, the one most
    likely after ``c`` counts.

    Parameters
    ----------
    model : a transformers causal LM
    items : pyarrow.Table
        The result of `build_task`.
    tokenizer : a fast Hugging Face tokenizer
    head : LensHead, optional
        The model's head; by default ``LensHead.from_model(model)``.

    Returns
    -------
    pyarrow.Table
        One row per item. Columns ``item, pair, source, target``; ``p_gold, p_distractors, score``, with the score in
        (-1, 1); ``gold_rank``, the number of distractors that make the target more likely than the gold source does;
        ``greedy``, the share of contexts in which greedy decoding begins with an accepted target; ``reciprocal_rank``,
        the mean over contexts of ``1 / (1 + rank)`` of the first token that tells the target apart (`trace`), after
        those before it, for the best accepted target; ``target_piece``, the number of tokens before that one, and
        ``appended``, their text, both of the shown target; ``excluded``, whether source and target share a piece
        (`excluded_items`). Excluded items have scores, but no summary counts them.

    Raises
    ------
    TypeError
        ``model``, ``items``, ``tokenizer`` or ``head`` is of another kind.
    ValueError
        A column is missing, an item has no distractors or no contexts, the tokenizer gives no offsets, a word has no
        tokens, a sequence is longer than the model's context, the tokenizer gives
        ids that the model lacks, or a hidden state is NaN or infinite.
    ArithmeticError
        No distribution can give a reading (`check_invariants`).

    Notes
    -----
    Equal to running every sequence whole, up to the order of additions in float32. Source: arXiv 2505.16385, section
    3.2.

    Cost: up to 256 items share one tree of token prefixes, so a common prefix (the instruction, the examples, a query
    that is the gold of one item and a distractor of another) runs through the model once. A target's last token never
    runs, and only positions that predict a token of a target are unembedded. Memory beyond the model's: that of
    `PrefixTree`, and 1,024 hidden rows.
    """
    require_model("score", model, head)
    require_columns("score", "items", items, ("item", "pair", "source", "target", "distractors", "contexts"))
    require_tokenizer("score", tokenizer)
    require_candidates("score", items)
    require_tokens(items, tokenizer, distractors=True)
    head = head or LensHead.from_model(model)
    found: list[dict[str, Any]] = []
    for begin in range(0, items.num_rows, ITEMS):
        part = items.slice(begin, ITEMS)
        asks = list(_asks(part, tokenizer))
        texts = [ask.text for own in asks for ask in own]
        require_room("score", head.longest, texts)
        require_same_vocabulary("score", len(head.weight), texts)
        names = [f"item {item}" for item, own in zip(part["item"].to_pylist(), asks, strict=True) for _ in own]
        answers, excluded = iter(_answers(head, texts, names)), excluded_items(part, tokenizer).tolist()
        for row, own, left_out in zip(part.to_pylist(), asks, excluded, strict=True):
            kept = {name: row[name] for name in ("item", "pair", "source", "target")}
            read = own[0].text.appended  # by the shown target, which comes first
            kept |= {"target_piece": len(read), "appended": tokenizer.decode(list(read)) if read else ""}
            found.append(kept | _summary(own, [next(answers) for _ in own]) | {"excluded": left_out})
    return pa.Table.from_pylist(found, schema=SCORES)


def _asks(items: pa.Table, tokenizer: Any) -> Iterator[list[Ask]]:
    """The sequences of every item: candidates x contexts x accepted targets."""
    prompt, ask = task_prompt(items), questions(items)
    for row in items.to_pylist():
        sources, targets = [row["source"], *row["distractors"]], accepted_targets(row)
        keys = [
            (candidate, context, target)
            for candidate in range(len(sources))
            for context in range(len(row["contexts"]))
            for target in range(len(targets))
        ]
        prompts = [row["contexts"][context] + ask(row, sources[candidate]) for candidate, context, _ in keys]
        replies = [prompt.reply(targets[target]) for *_, target in keys]
        texts = encode(tokenizer, prompts, replies, special_tokens=prompt.special_tokens)
        yield [Ask(*key, text) for key, text in zip(keys, texts, strict=True)]


def _answers(head: LensHead, texts: Sequence[Encoded], names: Sequence[str]) -> Iterator[Answers]:
    """The loss and rank of every token of every answer, in the order of ``texts``."""
    predicting = [range(text.answer_start - 1, len(text.ids) - 1) for text in texts]
    tree = PrefixTree([text.ids for text in texts], predicting, names)
    asked: list[dict[int, int]] = [{} for _ in range(tree.count)]  # for each row, token -> its column
    for text, own in zip(texts, tree.rows, strict=True):
        for row, token in zip(own, text.ids[text.answer_start :], strict=True):
            asked[row].setdefault(token, len(asked[row]))
    width = max(map(len, asked))
    loss, rank = np.empty((tree.count, width)), np.empty((tree.count, width), np.int64)

    def unembed(rows: list[int], states: list[torch.Tensor]) -> None:
        targets = np.zeros((len(rows), width), np.int64)
        for line, row in enumerate(rows):
            targets[line, : len(asked[row])] = list(asked[row])
        result = head.unembed(torch.cat(states), 1, targets=torch.from_numpy(targets))
        check_invariants("score", result, len(head.weight))
        assert result.target_ranks is not None  # targets were given
        assert result.target_logprobs is not None
        loss[rows] = -result.target_logprobs.cpu().numpy()
        rank[rows] = result.target_ranks.cpu().numpy()

    rows: list[int] = []
    states: list[torch.Tensor] = []
    for more, state in tree.run(head, [len(head.blocks)]):
        rows += more
        states.append(state[0])
        if len(rows) >= ROWS:
            unembed(rows, states)
            rows, states = [], []
    if rows:
        unembed(rows, states)
    for text, own in zip(texts, tree.rows, strict=True):
        columns = [asked[row][token] for row, token in zip(own, text.ids[text.answer_start :], strict=True)]
        yield Answers(loss[own, columns], rank[own, columns], len(text.appended))


def _summary(asks: Sequence[Ask], answers: Sequence[Answers]) -> dict[str, Any]:
    """The measures of one item, from all its sequences."""
    candidates, contexts, targets = (
        1 + max(getattr(ask, name) for ask in asks) for name in ("candidate", "context", "target")
    )
    losses = np.empty((candidates, contexts, targets))
    greedy, reciprocal = np.zeros((contexts, targets), bool), np.zeros((contexts, targets))
    for ask, answer in zip(asks, answers, strict=True):
        losses[ask.candidate, ask.context, ask.target] = answer.loss.mean()
        if ask.candidate == 0:
            greedy[ask.context, ask.target] = not answer.rank.any()
            reciprocal[ask.context, ask.target] = 1 / (1 + answer.rank[answer.telling])
    p = np.exp(-losses.mean(axis=1)).max(axis=1)
    return {
        "p_gold": p[0],
        "p_distractors": p[1:],
        "score": p[0] - p[1:].mean(),
        "gold_rank": int((p[1:] > p[0]).sum()),
        "greedy": greedy.any(axis=1).mean(),
        "reciprocal_rank": reciprocal.max(axis=1).mean(),
    }

"""Continued pre-training: which selection of documents teaches a model most translation?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pivotkit.lens.model.loading import load_model
from pivotkit.training.loop import next_token_loss, pack, train

BEFORE = "before"  # the arm without training
Document: TypeAlias = str | Sequence[int] | NDArray[np.integer]  # a text, or its ids


def pretrain(
    checkpoint: str | Path,
    arms: Mapping[str, Iterable[Document]],
    lines: Iterable[Document],
    items: pa.Table,
    *,
    tokens: int,
    seeds: Sequence[int] = (0, 1),
    line_share: float = 0.3,
    held_out: Iterable[Document] = (),
    length: int = 64,
    batch: int = 16,
    learning_rate: float = 1e-3,
    warmup: int = 10,
) -> pa.Table:
    """Continue training from one checkpoint on each arm at equal tokens, and score each model on the same items.

    Parameters
    ----------
    checkpoint : str or Path
        Folder of a causal LM of transformers with its tokenizer. Read for every arm and seed, never written.
    arms : mapping of str to iterable of documents
        Each arm's documents: texts, or ids of the checkpoint's tokenizer (1-D integers), as `TokenFiles.documents`
        gives them; a separator at the end is not doubled. A short arm is read again; a long one gives its first
        documents in the seed's order.
    lines : iterable of documents
        What all arms share, such as translation lines.
    items : pyarrow.Table
        Questions: columns ``pair``, ``kind`` (a label that results are grouped by), ``prompt`` and ``target``, as from
        `held_out_items`.
    tokens : int
        Tokens per training: documents, lines and separators.
    seeds : sequence of int, default (0, 1)
        Seeds of the order of documents, lines and rows; one training per arm and seed.
    line_share : float, default 0.3
        Share of ``tokens`` that comes from ``lines``.
    held_out : iterable of documents, optional
        Documents outside all arms; their loss is reported.
    length : int, default 64
        Tokens per row.
    batch, learning_rate, warmup : default 16, 1e-3, 10
        See `pivotkit.training.loop.train`.

    Returns
    -------
    pyarrow.Table
        ``arm, seed, kind, direction, n, accuracy, probability, tokens, held_out_loss``: one row per arm, seed, kind and
        pair of languages. ``accuracy`` is the share of items whose target is the most likely continuation at each of
        its tokens. ``probability`` is the mean probability of the target. ``tokens`` is the number of trained tokens.
        ``held_out_loss`` is in nats per token, null without ``held_out``. The arm ``"before"`` is the checkpoint itself
        and has no seed.

    Raises
    ------
    ValueError
        Shares and sizes that allow no training, an arm without text, an arm with the name ``"before"``, an id that the
        model does not have.
    """
    _check(arms, items, tokens, seeds, line_share, length * batch)
    model, tokenizer = load_model(checkpoint)
    separator = _separator(tokenizer)
    line_ids = _tokenize(tokenizer, lines, separator)
    if line_share > 0 and not line_ids:
        raise ValueError("pretrain: lines must hold text when line_share is above 0; got none")
    held_out_ids = _tokenize(tokenizer, held_out, separator)
    held_out_rows = pack(held_out_ids, length, separator) if held_out_ids else None
    rows = [*_result(model, tokenizer, items, held_out_rows, BEFORE, None, 0)]
    line_tokens = round(tokens * line_share)
    for arm, texts in arms.items():
        document_ids = _tokenize(tokenizer, texts, separator)
        if not document_ids:
            raise ValueError(f"pretrain: arms must hold text; got none in {arm!r}")
        for seed in seeds:
            mix = [*_take(document_ids, tokens - line_tokens, seed), *_take(line_ids, line_tokens, seed)]
            packed = pack(mix, length, separator, seed)
            model, _ = load_model(checkpoint)
            train(
                model,
                packed,
                steps=len(packed) // batch,
                batch=batch,
                learning_rate=learning_rate,
                warmup=warmup,
                description=f"continued pre-training: {arm}, seed {seed}",
            )
            trained_on = len(packed) // batch * batch * length
            rows += _result(model, tokenizer, items, held_out_rows, arm, seed, trained_on)
    return pa.Table.from_pylist(
        rows,
        schema=pa.schema(
            {
                "arm": pa.string(),
                "seed": pa.int64(),
                "kind": pa.string(),
                "direction": pa.string(),
                "n": pa.int64(),
                "accuracy": pa.float64(),
                "probability": pa.float64(),
                "tokens": pa.int64(),
                "held_out_loss": pa.float64(),
            }
        ),
    )


@torch.no_grad()
def answer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, items: pa.Table, batch: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Ask a model for the targets of items.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    tokenizer : transformers.PreTrainedTokenizerBase
    items : pyarrow.Table
        Columns ``prompt`` and ``target``; the answer is a space and the target.
    batch : int, default 32
        Items per forward pass.

    Returns
    -------
    correct : numpy.ndarray
        bool (items): whether each token of the target is the most likely one, given the tokens before it.
    probability : numpy.ndarray
        float64 (items): probability of the whole target.
    """
    prompts, targets = items["prompt"].to_pylist(), items["target"].to_pylist()
    correct, probability = [], []
    for begin in range(0, len(prompts), batch):
        heads = tokenizer(prompts[begin : begin + batch])["input_ids"]
        tails = tokenizer([f" {target}" for target in targets[begin : begin + batch]], add_special_tokens=False)[
            "input_ids"
        ]
        longest, answers = max(map(len, map(list.__add__, heads, tails))), max(map(len, tails))
        ids = torch.zeros((len(heads), longest), dtype=torch.int64)
        kept = torch.zeros_like(ids)
        for row, (head, tail) in enumerate(zip(heads, tails, strict=True)):
            ids[row, longest - len(head) - len(tail) :] = torch.tensor(head + tail)
            kept[row, longest - len(head) - len(tail) :] = 1
        positions = (kept.cumsum(1) - 1).clamp_min(0)
        logits = model(input_ids=ids, attention_mask=kept, position_ids=positions, logits_to_keep=answers + 1).logits
        logprobs = torch.log_softmax(logits[:, :-1].double(), -1)
        gold = ids[:, -answers:]
        found = logprobs.gather(2, gold[:, :, None])[:, :, 0]
        asked = torch.arange(answers) >= answers - torch.tensor([len(tail) for tail in tails])[:, None]
        correct.append(((logprobs.argmax(-1) == gold) | ~asked).all(1))
        probability.append(torch.where(asked, found, 0.0).sum(1).exp())
    return torch.cat(correct).numpy(), torch.cat(probability).numpy()


def _result(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: pa.Table,
    held_out: torch.Tensor | None,
    arm: str,
    seed: int | None,
    tokens: int,
) -> Iterator[dict[str, Any]]:
    correct, probability = answer(model, tokenizer, items)
    loss = None
    if held_out is not None:
        with torch.no_grad():
            loss = torch.cat([next_token_loss(model, rows) for rows in held_out.split(64)]).mean().item()
    kinds, pairs = (np.array(items[name].to_pylist()) for name in ("kind", "pair"))
    for kind in sorted(set(kinds)):
        for pair in sorted(set(pairs)):
            chosen = (kinds == kind) & (pairs == pair)
            if chosen.any():
                yield {
                    "arm": arm,
                    "seed": seed,
                    "kind": str(kind),
                    "direction": str(pair),
                    "n": int(chosen.sum()),
                    "accuracy": float(correct[chosen].mean()),
                    "probability": float(probability[chosen].mean()),
                    "tokens": tokens,
                    "held_out_loss": loss,
                }


def _take(texts: list[list[int]], tokens: int, seed: int) -> list[list[int]]:
    """Take texts in a seeded order until they and their separators make ``tokens`` tokens; cut the last one."""
    taken: list[list[int]] = []
    random = np.random.default_rng(seed)
    missing = tokens
    while missing > 1:
        for place in random.permutation(len(texts)).tolist():
            taken.append(texts[place][: missing - 1])
            missing -= len(taken[-1]) + 1
            if missing <= 1:
                break
    return taken


def _tokenize(tokenizer: PreTrainedTokenizerBase, documents: Iterable[Document], separator: int) -> list[list[int]]:
    """The ids of documents that have any, without a separator at the end, because one is put behind each."""
    listed = list(documents)
    texts = [document for document in listed if isinstance(document, str)]
    tokenized = iter(tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else [])
    found = [next(tokenized) if isinstance(document, str) else _ids(tokenizer, document) for document in listed]
    bare = (ids[:-1] if ids[-1:] == [separator] else ids for ids in found)
    return [ids for ids in bare if ids]


def _ids(tokenizer: PreTrainedTokenizerBase, document: Sequence[int] | NDArray[np.integer]) -> list[int]:
    ids = np.asarray(document)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise TypeError(f"pretrain: arms must hold texts or 1-D integers; got {ids.dtype} {ids.shape}")
    wrong = ids[(ids < 0) | (ids >= len(tokenizer))]
    if wrong.size:
        raise ValueError(f"pretrain: arms must hold ids of the tokenizer, below {len(tokenizer)}; got {wrong[0]}")
    return [int(number) for number in ids.tolist()]


def _separator(tokenizer: PreTrainedTokenizerBase) -> int:
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise ValueError("pretrain: checkpoint must have a tokenizer with a bos or eos token; got neither")


def _check(
    arms: Mapping[str, Iterable[Document]],
    items: pa.Table,
    tokens: int,
    seeds: Sequence[int],
    line_share: float,
    update: int,
) -> None:
    if not arms or BEFORE in arms:
        raise ValueError(f"pretrain: arms must be named, and none {BEFORE!r}; got {list(arms)}")
    if not 0 <= line_share < 1:
        raise ValueError(f"pretrain: line_share must be at least 0 and less than 1; got {line_share}")
    if tokens < update:
        raise ValueError(f"pretrain: tokens must be at least length x batch = {update}; got {tokens}")
    if not seeds:
        raise ValueError("pretrain: seeds must not be empty; got none")
    missing = [name for name in ("pair", "kind", "prompt", "target") if name not in items.column_names]
    if missing or not items.num_rows:
        raise ValueError(f"pretrain: items must have rows, and the columns {missing} too; got {items.column_names}")
    if pc.any(pc.is_null(items["target"])).as_py():
        raise ValueError("pretrain: items must have a target in every row; got null")

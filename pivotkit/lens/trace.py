"""What every layer says at the answer position: the logit lens, reduced to what the questions need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from pivotkit.artifacts import table_metadata
from pivotkit.kernels import TokenSetTable, Unembedded, unembed
from pivotkit.lens.capture import capture
from pivotkit.lens.encoding import Encoded, encode, pad_right
from pivotkit.lens.head import LensHead
from pivotkit.words.task import require_tokens, task_prompt
from pivotkit.words.token_sets import TokenSets

BATCH = 16  # prompts that run together; all their layers are unembedded in one pass over the head

ANSWER = "answer"


@torch.inference_mode()
def trace(
    model: Any,
    items: pa.Table,
    tokenizer: Any,
    *,
    latent: Sequence[str] = (),
    pivots: Mapping[int, Sequence[int]] | None = None,
    k: int = 10,
    head: LensHead | None = None,
) -> pa.Table:
    """Trace every item's prompt through all layers at the position that predicts the target word.

    Equivalent to ``log_softmax(lm_head(norm(h)))`` of every layer's hidden state ``h``, of which are kept: the top k,
    the log of the summed probability of each token set, and the target's log-probability and rank.

    Parameters
    ----------
    model : a transformers causal LM
    items : pyarrow.Table
        What `build_task` returns.
    tokenizer : a fast Hugging Face tokenizer
    latent : sequence of str
        Languages whose word for the concept is tracked too, ``("en",)`` say; a language gives the column
        ``<code>_logmass``, null where the concept has no word in it.
    pivots : mapping of item to token ids, optional
        Gives the columns ``pivot_logmass``; null for items without pivots.
    k : int, default 10
    head : LensHead, optional
        Made from the model by default.

    Returns
    -------
    pyarrow.Table
        An item and layer a row: ``item, pair, layer, position, label, top_ids, top_tokens, top_logprobs, logsumexp,
        entropy, target_logprob, target_rank``, for every set ``<set>_logmass`` and the ``<set>_ids`` that it holds (sets
        are ``source``, ``target``, the latent languages and ``pivot``), and all pieces of the two words. Layer 0 is the
        embedding output, layer l the output of block l, so the last equals the model. Logs are natural, entropy in
        nats, ranks from 0.

    Raises
    ------
    ValueError
        An unknown latent language, a tokenizer without offsets, a prompt longer than the model's context, a word
        without tokens.

    Notes
    -----
    Where the tokenizer puts a bare space piece before a word, the position behind that piece is traced. A word's set
    holds the tokens its spellings can begin with (`TokenSets.first`). The head's weight is read once for all layers
    and prompts of a batch; the model's own logits are never built.
    """
    for code in latent:
        if code not in table_metadata(items)["languages"]:
            raise ValueError(f"trace: latent must be languages of the lexicon; got {code!r}")
    require_tokens(items, tokenizer)
    head = head or LensHead.from_model(model)
    sets = TokenSets(tokenizer)
    rows = items.to_pylist()
    prompt = task_prompt(items)
    texts = encode(tokenizer, [row["prompt"] for row in rows], [prompt.reply(row["target"]) for row in rows])
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if longest is not None and texts and max(text.word for text in texts) > longest:
        raise ValueError(
            f"trace: prompt must fit the model's context of {longest} tokens; got {max(t.word for t in texts)}"
        )
    names = ["source", "target", *latent, *(["pivot"] if pivots is not None else [])]
    tables: list[pa.Table] = []
    order = sorted(range(len(rows)), key=lambda index: texts[index].word)
    for begin in range(0, len(order), BATCH):
        batch = order[begin : begin + BATCH]
        ids = pad_right([texts[index].ids[: texts[index].word] for index in batch], head.weight.device)
        hidden = capture(head, ids, [(row, texts[index].word - 1) for row, index in enumerate(batch)])
        tracked = [_tracked(rows[index], sets, latent, pivots) for index in batch]
        result = unembed(
            head.normed(hidden), head.packed, k, bias=head.bias, logit_scale=head.logit_scale, softcap=head.softcap,
            targets=torch.tensor([[texts[index].ids[texts[index].word]] for index in batch]).expand(len(hidden), -1, 1),
            token_sets=TokenSetTable.per_row(tracked * len(hidden)), entropy=True,
        )  # fmt: skip
        tables += _tables(
            result, [rows[index] for index in batch], [texts[index] for index in batch], tracked, names, sets
        )
    # Batches go by length; the table goes by item.
    return pa.concat_tables(tables).sort_by([("item", "ascending"), ("layer", "ascending")])


def _tracked(
    row: dict[str, Any], sets: TokenSets, latent: Sequence[str], pivots: Mapping[int, Sequence[int]] | None
) -> list[list[int]]:
    """The token sets of one item, in the order of the columns; empty where there is nothing to track."""
    words = dict(row["words"])
    tracked = [list(sets.first(row["source"])), list(sets.first(row["target"]))]
    tracked += [list(sets.first(words[code])) if code in words else [] for code in latent]
    if pivots is not None:
        tracked.append(sorted(set(pivots.get(row["item"], ()))))
    return tracked


def _tables(
    result: Unembedded,
    rows: Sequence[dict[str, Any]],
    texts: Sequence[Encoded],
    tracked: Sequence[list[list[int]]],
    names: Sequence[str],
    sets: TokenSets,
) -> Iterator[pa.Table]:
    """One table an item from arrays (layer, item, ...)."""
    ids, logprobs = result.ids.numpy(), result.logprobs.numpy()
    normalizer, entropy = result.logsumexp.numpy(), _given(result.entropy)
    target = _given(result.target_logits)[..., 0] - normalizer
    ranks, masses = _given(result.target_ranks)[..., 0], _given(result.set_logprobs)
    layers = len(ids)
    for at, (row, text, own) in enumerate(zip(rows, texts, tracked, strict=True)):
        columns = {
            "item": pa.array([row["item"]] * layers, pa.int32()),
            "pair": pa.array([row["pair"]] * layers),
            "layer": pa.array(range(layers), pa.int32()),
            "position": pa.array([text.word - 1] * layers, pa.int32()),
            "label": pa.array([ANSWER] * layers),
            "top_ids": _lists(ids[:, at], pa.int32()),
            "top_tokens": pa.array([[sets.text(token) for token in layer] for layer in ids[:, at].tolist()]),
            "top_logprobs": _lists(logprobs[:, at], pa.float32()),
            "logsumexp": pa.array(normalizer[:, at]),
            "entropy": pa.array(entropy[:, at]),
            "target_logprob": pa.array(target[:, at]),
            "target_rank": pa.array(ranks[:, at], pa.int32()),
        }
        for number, name in enumerate(names):
            mass = masses[:, at, number]
            columns[f"{name}_logmass"] = pa.array(mass, pa.float32(), mask=np.full(layers, not own[number]))
        held = {f"{name}_ids": own[number] for number, name in enumerate(names)}
        held |= {f"{name}_pieces": list(sets.pieces(row[name])) for name in ("source", "target")}
        for name, tokens in held.items():
            columns[name] = pa.array([tokens] * layers, pa.list_(pa.int32()))
        yield pa.table(columns)


def _given(value: torch.Tensor | None) -> np.ndarray:
    """An output that was asked for, as an array."""
    assert value is not None
    return value.numpy()


def _lists(values: np.ndarray, kind: pa.DataType) -> pa.ListArray:
    """A 2-D array as a column of lists."""
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.reshape(-1), kind))

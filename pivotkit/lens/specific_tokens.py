"""The tokens that a layer holds for one item and not for the others, and what they are to the item's words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pivotkit.arguments import check_kind, check_number
from pivotkit.artifacts import require_columns
from pivotkit.lens.positions import ANSWER, at_blocks
from pivotkit.words.task import accepted_targets
from pivotkit.words.token_classes import ItemWords, WordLanguages, token_class, word_languages

LEAST_CONTRAST = math.log(100)  # a token a hundred times as probable as the pair's other items make it
LEAST_PROBABILITY = 0.05

SPECIFIC_TOKENS = pa.schema(
    [("item", pa.int32()), ("pair", pa.string()), ("layer", pa.int32()), ("token_id", pa.int32()),
     ("token", pa.string()), ("logprob", pa.float32()), ("contrast", pa.float32()), ("class", pa.string()),
     ("language", pa.string())]
)  # fmt: skip

_LISTS = (
    ("top_ids", "top_tokens", "top_logprobs", "top_contrasts"),
    ("contrast_ids", "contrast_tokens", "contrast_logprobs", "contrasts"),
)
_SETS = ("source_ids", "source_pieces", "target_ids", "target_pieces")
_WORDS = ("source_word", "target_words", "words")


def specific_tokens(
    traces: pa.Table,
    items: pa.Table | None = None,
    *,
    least_contrast: float = LEAST_CONTRAST,
    least_probability: float = LEAST_PROBABILITY,
) -> pa.Table:
    """Find the tokens that every layer holds for an item and not for the other items of its pair.

    A token is specific where ``contrast >= least_contrast`` and ``exp(logprob) >= least_probability``.

    Parameters
    ----------
    traces : pyarrow.Table
        The result of `trace`; only rows labelled ``answer``, of outputs of blocks, that have contrasts are read.
    items : pyarrow.Table, optional
        Where the words come from that tell a token's class and language, such as all items of a run whose traces are a
        part; by default from the traces.
    least_contrast : float, default log(100)
        In nats, at least 0.
    least_probability : float, default 0.05

    Returns
    -------
    pyarrow.Table
        One row per item, layer and token, by item, layer and falling probability. Columns ``item, pair, layer,
        token_id, token, logprob, contrast, class, language``. Layer 0 is the embedding. ``class`` is ``"copy"`` (of the
        source), ``"direct"`` (of the target), ``"pivot"`` (another whole word) or ``"piece"``; ``language`` is a
        pivot's, null where no word of the items is known to be it. `pivotkit.words.token_classes.token_class` has the
        rule.

    Raises
    ------
    TypeError
        ``traces`` or ``items`` is no table, or a threshold is no number.
    ValueError
        A column is missing, an item of the traces is not in ``items``, or a threshold is out of range.

    Notes
    -----
    The tokens looked at are the k most probable and the k of the highest contrast, each once. With k >= 1 /
    least_probability no specific token is missed. Pairs without contrasts give no rows.
    """
    check_kind("specific_tokens", "items", items, pa.Table, "a pyarrow.Table", none=True)
    check_number("specific_tokens", "least_contrast", least_contrast, 0)
    check_number("specific_tokens", "least_probability", least_probability, 0, 1)
    return find_specific_tokens("specific_tokens", traces, items, least_contrast, least_probability)


def find_specific_tokens(
    function: str, traces: pa.Table, items: pa.Table | None, least_contrast: float, least_probability: float
) -> pa.Table:
    """`specific_tokens` for a caller whose errors name ``function``."""
    lists = [name for kind in _LISTS for name in kind]
    words = _WORDS if items is None else ()
    require_columns(function, "traces", traces, ("item", "pair", "layer", "label", *lists, *_SETS, *words))
    table = at_blocks(traces).filter((pc.field("label") == ANSWER) & pc.field("top_contrasts").is_valid())
    if not table.num_rows:
        return SPECIFIC_TOKENS.empty_table()
    k = len(table["top_ids"][0])
    ids, tokens, logprobs, contrasts = (
        np.concatenate([_matrix(table[name], k) for name in names], axis=1) for names in zip(*_LISTS, strict=True)
    )
    least = log_probability(least_probability)
    row, column = np.nonzero((logprobs >= least) & (contrasts >= least_contrast))
    kept = np.unique(np.stack([row, ids[row, column]]), axis=1, return_index=True)[1]  # the first, which is of the top
    row, column = row[kept], column[kept]
    held, known = _item_words(function, table, items)
    owners = table["item"].to_numpy()[row].tolist()
    chosen, texts = ids[row, column].tolist(), tokens[row, column].tolist()
    classes = [token_class(token, text, held[item], known)
               for item, token, text in zip(owners, chosen, texts, strict=True)]  # fmt: skip
    columns = {
        "item": owners, "pair": table["pair"].take(pa.array(row)), "layer": table["layer"].to_numpy()[row],
        "token_id": chosen, "token": texts, "logprob": logprobs[row, column], "contrast": contrasts[row, column],
        "class": [name for name, _ in classes], "language": [language for _, language in classes],
    }  # fmt: skip
    found = pa.table(columns, schema=SPECIFIC_TOKENS)
    order = [("item", "ascending"), ("layer", "ascending"), ("logprob", "descending"), ("token_id", "ascending")]
    return found.sort_by(order)


def log_probability(probability: float) -> float:
    """The log of a threshold, which may be 0."""
    return math.log(probability) if probability else -math.inf


def _matrix(column: pa.ChunkedArray, k: int) -> NDArray[Any]:
    """A column of lists of length k as an array (rows, k)."""
    return np.asarray(pc.list_flatten(column).to_numpy(zero_copy_only=False)).reshape(-1, k)


def _item_words(function: str, table: pa.Table, items: pa.Table | None) -> tuple[dict[int, ItemWords], WordLanguages]:
    """The words of each item that ``table`` has a row of, and all words that are known."""
    numbers, first = np.unique(table["item"].to_numpy(), return_index=True)
    rows = table.select(["item", *_SETS, *(_WORDS if items is None else ())]).take(first).to_pylist()
    if items is None:
        spelled = {row["item"]: (row["source_word"], row["target_words"], row["words"]) for row in rows}
    else:
        require_columns(function, "items", items, ("item", "source", "target", "words"))
        spelled = {row["item"]: (row["source"], accepted_targets(row), row["words"]) for row in items.to_pylist()}
        if absent := sorted(set(numbers.tolist()) - spelled.keys()):
            raise ValueError(f"{function}: items must hold every item of traces; got none of item {absent[0]}")
    known = word_languages(pair for _, _, words in spelled.values() for pair in words)
    held = {}
    for row in rows:
        source, targets, words = spelled[row["item"]]
        source_ids, target_ids = ({*row[f"{name}_ids"], *row[f"{name}_pieces"]} for name in ("source", "target"))
        held[row["item"]] = ItemWords(source, targets, source_ids, target_ids, word_languages(words))
    return held, known

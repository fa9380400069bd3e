"""The first choice of every block at the answer position, which the rules of behavior read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pivotkit.artifacts import require_columns
from pivotkit.lens.positions import at_blocks


@dataclass(frozen=True)
class FirstChoices:
    """The first choice of L blocks for N items, and which word it belongs to.

    Attributes
    ----------
    items, pairs : (N,)
        The number and the language pair of each item.
    tokens, texts, logprobs : (N, L)
        The first choices of blocks 1 to L.
    word : (N, L) bool
        Whether the token has a letter.
    source_piece, target_piece : (N, L) bool
        Whether the token is a piece of ``" word"``, which is how the published code tokenizes the words.
    source, target : (N, L) bool
        Whether the token can begin a spelling of the word.
    shared : (N,) bool
        Whether the two words share a piece.
    """

    items: NDArray[Any]
    pairs: NDArray[Any]
    tokens: NDArray[np.int64]
    texts: NDArray[Any]
    logprobs: NDArray[np.float64]
    word: NDArray[np.bool_]
    source_piece: NDArray[np.bool_]
    target_piece: NDArray[np.bool_]
    source: NDArray[np.bool_]
    target: NDArray[np.bool_]
    shared: NDArray[np.bool_]

    def __repr__(self) -> str:
        return f"FirstChoices(items={len(self.items)}, blocks={self.blocks})"

    @property
    def blocks(self) -> int:
        """L, the number of blocks."""
        return int(self.tokens.shape[1])

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the last block's first choice can begin the target."""
        return self.target[:, -1]


def first_choices(function: str, traces: pa.Table) -> FirstChoices:
    """Read the first choices at the answer position, in the order of the items.

    Parameters
    ----------
    function : str
        The function that errors name.
    traces : pyarrow.Table
        The result of `trace`.

    Returns
    -------
    FirstChoices

    Raises
    ------
    TypeError
        ``traces`` is no table.
    ValueError
        ``traces`` lacks a column or rows labelled answer, or does not have each layer from 1 to the last once for every
        item.
    """
    words = ("source_pieces", "target_pieces", "source_ids", "target_ids")
    columns = ("item", "pair", "layer", "label", "top_ids", "top_tokens", "top_logprobs", *words)
    require_columns(function, "traces", traces, columns)
    table = at_blocks(traces).select(columns).filter((pc.field("label") == "answer") & (pc.field("layer") > 0))
    table = table.sort_by([("item", "ascending"), ("layer", "ascending")])
    layers, numbers = table["layer"].to_numpy(), table["item"].to_numpy()
    blocks = int(layers.max(initial=1))
    whole = np.repeat(np.unique(numbers), blocks)
    if not len(layers):
        raise ValueError(f"{function}: traces must have rows labelled answer; got none")
    if not np.array_equal(numbers, whole) or (layers != np.arange(len(layers)) % blocks + 1).any():
        raise ValueError(f"{function}: traces must have each layer from 1 to {blocks} of every item once; got others")

    def first(column: str) -> NDArray[Any]:
        chosen = pc.list_element(table[column], 0)
        return np.asarray(chosen.to_numpy()).reshape(-1, blocks)

    tokens, texts = first("top_ids").astype(np.int64), first("top_tokens")
    items = table.take(np.arange(0, len(layers), blocks))
    held = {name: [frozenset(ids) for ids in items[name].to_pylist()] for name in words}

    def inside(name: str) -> NDArray[np.bool_]:
        found = [[token in ids for token in row] for row, ids in zip(tokens.tolist(), held[name], strict=True)]
        return np.array(found, dtype=bool)

    return FirstChoices(
        items=items["item"].to_numpy(),
        pairs=items["pair"].to_numpy(),
        tokens=tokens,
        texts=texts,
        logprobs=first("top_logprobs").astype(np.float64),
        word=np.array([any(map(str.isalpha, text)) for text in texts.ravel()], dtype=bool).reshape(texts.shape),
        source_piece=inside("source_pieces"),
        target_piece=inside("target_pieces"),
        source=inside("source_ids"),
        target=inside("target_ids"),
        shared=np.array([bool(s & t) for s, t in zip(held["source_pieces"], held["target_pieces"], strict=True)]),
    )

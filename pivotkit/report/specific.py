"""Tokens that are specific to an item: what a layer shows for it and not for the others."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from pivotkit.lens.specific_tokens import LEAST_CONTRAST, LEAST_PROBABILITY, specific_tokens

# The classes of specific tokens as the page names them, with their colors; the first is drawn below the others.
CLASSES = {"copy": ("of the source", "c-source"), "pivot": ("pivot", "c-pivot"), "piece": ("piece", "c-other"),
           "direct": ("of the target", "c-target")}  # fmt: skip
WORDS = ("source_pieces", "target_pieces", "source_word", "target_words", "words")  # what tells a token's class


def specific(contrasts: Sequence[float], logprobs: Sequence[float]) -> list[int]:
    """Places of the tokens whose contrast and probability are large enough; the shorter sequence decides how many."""
    pairs = zip(contrasts, logprobs, strict=False)
    return [
        at for at, (contrast, logprob) in enumerate(pairs)
        if contrast >= LEAST_CONTRAST and math.exp(logprob) >= LEAST_PROBABILITY
    ]  # fmt: skip


def specific_places(traces: pa.Table) -> list[list[int] | None]:
    """The places of specific tokens among the top tokens of every row; None for a row without contrasts."""
    if "top_contrasts" not in traces.column_names:
        return [None] * traces.num_rows
    columns = (traces[name].to_pylist() for name in ("top_contrasts", "top_logprobs"))
    return [
        None if contrasts is None else specific(contrasts, logprobs)
        for contrasts, logprobs in zip(*columns, strict=True)
    ]


def class_shares(table: pa.Table, layers: Sequence[int], n: int) -> dict[str, np.ndarray] | None:
    """Whether each item holds a specific token of each class at each layer.

    Parameters
    ----------
    table : pyarrow.Table
        The rows of a pair by item and layer.
    layers : sequence of int
    n : int
        Number of items.

    Returns
    -------
    dict of str to ndarray of shape (n, layers), or None
        By class; NaN for an item without contrasts. None where the traces lack what tells it, or no item has contrasts.
    """
    if "top_contrasts" not in table.column_names or not set(WORDS) <= set(table.column_names):
        return None
    known = np.array([row is not None for row in table["top_contrasts"].to_pylist()]).reshape(n, len(layers))
    if not known.any():
        return None
    items = {item: place for place, item in enumerate(dict.fromkeys(table["item"].to_pylist()))}
    column = {layer: place for place, layer in enumerate(layers)}
    shown = {name: np.where(known, 0.0, math.nan) for name in CLASSES}
    found = specific_tokens(table)
    for item, layer, name in zip(*(found[key].to_pylist() for key in ("item", "layer", "class")), strict=True):
        shown[name][items[item], column[layer]] = 1.0
    return shown

"""The semantic filter: which candidates are near both words in the model's input embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 4096  # candidates whose embeddings are gathered together


def similar(
    tokens: NDArray[np.int64], embedding: Any, families: Sequence[NDArray[np.int64]], least: float, k: int
) -> NDArray[np.bool_]:
    """Which of ``tokens`` have a cosine of at least ``least`` to the mean of the words' embeddings.

    A word's embedding is the mean over its family of tokens. A zero vector has cosine 0 to everything. ``tokens`` come
    best first and are tested in blocks until k have passed; tokens after that are not tested and count as failed.
    """
    if not all(len(family) for family in families):
        raise ValueError("find_pivots: word_tokens must give every word a token; got an empty family")
    anchor = np.mean([_rows(embedding, family).mean(axis=0) for family in families], axis=0)
    passed = np.zeros(len(tokens), dtype=bool)
    for begin in range(0, len(tokens), BLOCK):
        rows = _rows(embedding, tokens[begin : begin + BLOCK])
        lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(anchor)
        cosine = np.divide(rows @ anchor, lengths, out=np.zeros(len(rows), np.float32), where=lengths > 0)
        passed[begin : begin + BLOCK] = cosine >= least
        if passed.sum() >= k:
            break
    return passed


def _rows(embedding: Any, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """Rows of an array or a tensor of any dtype, on any device, as float32."""
    rows = embedding[ids]
    if hasattr(rows, "detach"):
        rows = rows.detach().float().cpu().numpy()
    return np.asarray(rows, dtype=np.float32)

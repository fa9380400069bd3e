"""How much a token is tied to many words: what `find_pivots` takes off its score with ``hub_penalty``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pivotkit.pivots.rules import PivotRule

WORDS = 20  # whose mean says how much of a hub a token is


def mean_of_best_words(
    counts: Any, context: csr_array, background: NDArray[np.int64], rule: PivotRule, rows: Iterable[int]
) -> NDArray[np.float64]:
    """The mean of a token's measure with the 20 of some words that it is most tied to, float64 (V,).

    A measure below 0, and a word beyond the last, counts as 0. Cost: one pass over the rows, which are kept.
    """
    tokens, tied = [np.zeros(0, np.int64)], [np.zeros(0)]
    for row in sorted(set(rows)):
        part = slice(context.indptr[row], context.indptr[row + 1])
        own, shared = context.indices[part].astype(np.int64), context.data[part]
        table: tuple[Any, ...] = (shared, int(counts.df[row]), background[own], counts.documents)
        if getattr(counts, "approximation", None) is not None:  # estimates may exceed the margins
            table = (np.minimum(shared, np.minimum(table[1], table[2])), *table[1:])
        if rule.stratified:
            table = (*table, counts.strata.expected(row)[own])
        tokens.append(own)
        tied.append(np.maximum(rule.measure(*table), 0.0))
    token, measure = np.concatenate(tokens), np.concatenate(tied)
    order = np.lexsort((-measure, token))
    token, measure = token[order], measure[order]
    place = np.arange(len(token)) - np.searchsorted(token, token)  # of a word among those of its token
    best = place < WORDS
    return np.bincount(token[best], measure[best], len(background)) / WORDS

"""The AUC that chance gives: values permuted among the items of a pair, the concepts alike in all pairs."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def permuted_areas(
    values: NDArray[np.float64], positive: NDArray[np.bool_], pairs: NDArray[Any], concepts: NDArray[np.int64],
    draws: int, seed: int, key: str,
) -> NDArray[np.float64]:  # fmt: skip
    """The tie-correct AUC of ``values`` for ``positive`` after each of ``draws`` permutations within the pairs.

    A permutation is drawn among all concepts, and each pair follows it as far as it has the concepts. So the value that
    a concept gets is of one and the same other concept in every pair, as far as that may be, and what binds a concept's
    items in several pairs stays. Both classes must have an item.

    Returns
    -------
    (draws,) float64
        What is the same in all permutations, such as pairs that differ in both values and classes, stays in them: over
        several pairs their mean need not be one half.
    """
    from scipy.stats import rankdata  # which takes a second to import

    random = np.random.default_rng([seed, zlib.crc32(key.encode())])
    ranks = rankdata(values)
    many = int(concepts.max()) + 1
    apart = np.unique(pairs, return_inverse=True)[1] * (many + 1)  # more than places and cycles in one pair
    positives = int(positive.sum())
    wins = np.empty(draws)
    for draw in range(draws):
        place, cycle = _cycles(random.permutation(many))
        line = np.argsort(apart + place[concepts], kind="stable")
        moved = ranks[_next(line, (apart + cycle[concepts])[line])]
        wins[draw] = moved[positive[line]].sum() - positives * (positives + 1) / 2
    return wins / (positives * (len(positive) - positives))


def _cycles(order: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A permutation in cycles: the place of each concept in ``order``, and the cycle it is in.

    A cycle begins at each number that is larger than all before it. Every permutation is one such order (Foata), so a
    random order is a random permutation; and what is left of it without some concepts is again one of the others.
    """
    begins = order == np.maximum.accumulate(order)
    place, cycle = np.empty_like(order), np.empty_like(order)
    place[order], cycle[order] = np.arange(len(order)), np.cumsum(begins)
    return place, cycle


def _next(line: NDArray[np.int64], cycles: NDArray[np.int64]) -> NDArray[np.int64]:
    """The item behind each item of ``line`` in its cycle, where cycles are runs of equal numbers."""
    ends = np.append(np.flatnonzero(cycles[1:] != cycles[:-1]), len(line) - 1)
    behind = np.append(line[1:], line[:1])
    behind[ends] = line[np.append(0, ends[:-1] + 1)]
    return behind

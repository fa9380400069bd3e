"""The AUC that chance gives: values permuted among the items of a pair, the concepts alike in all pairs."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata


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
    random = np.random.default_rng([seed, zlib.crc32(key.encode())])
    ranks = rankdata(values)
    order, members = np.argsort(concepts, kind="stable"), {}
    for pair in np.unique(pairs):
        members[pair] = order[pairs[order] == pair]
    many = int(concepts.max()) + 1
    positives = int(positive.sum())
    wins = np.empty(draws)
    for draw in range(draws):
        place, cycle = _cycles(random.permutation(many))
        total = 0.0
        for own in members.values():
            line = own[np.argsort(place[concepts[own]], kind="stable")]
            total += ranks[_next(line, cycle[concepts[line]])][positive[line]].sum()
        wins[draw] = total - positives * (positives + 1) / 2
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
    starts = np.flatnonzero(np.r_[True, cycles[1:] != cycles[:-1]])
    ends = np.r_[starts[1:], len(line)] - 1
    behind = np.roll(line, -1)
    behind[ends] = line[starts]
    return behind

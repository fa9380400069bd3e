"""Tie-correct AUC, Pearson's r, and bootstrap intervals over clusters of observations."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

PERCENTILES = (2.5, 97.5)
RESAMPLED_AT_ONCE = 1 << 22  # weights held in memory by the bootstrap: 32 MiB

Statistic = Callable[[NDArray[Any], NDArray[Any], NDArray[np.float64]], NDArray[np.float64]]


def auc(values: ArrayLike, positive: ArrayLike) -> float:
    """Probability that a positive's value exceeds a negative's, ties counting half: the tie-correct area under the ROC.

    Formula: Mann-Whitney U by mid-ranks over (positives times negatives).

    Parameters
    ----------
    values : float64 (n,)
    positive : bool (n,)

    Returns
    -------
    float
        Between 0 and 1; 0.5 when all values are tied; NaN when a class is empty.

    Raises
    ------
    ValueError
        When a value is NaN or the shapes differ.

    Notes
    -----
    The published code steps through ties one by one in input order, so its area depends on that order.

    Examples
    --------
    >>> auc([0.0, 1.0, 1.0, 2.0], [False, False, True, True])
    0.875
    """
    values, positive = np.asarray(values, np.float64), np.asarray(positive, bool)
    if values.ndim != 1 or values.shape != positive.shape:
        raise ValueError(f"auc: values and positive must be (n,) both; got {values.shape} and {positive.shape}")
    if np.isnan(values).any():
        raise ValueError("auc: values must not be NaN; got NaN")
    return float(aucs(values, positive, np.ones((1, len(values))))[0])


class Resamples:
    """How often each observation counts in each bootstrap resample of the clusters that the observations belong to.

    Iterating yields blocks of weights float64 (B, n), the same ones every time, so that statistics are compared on the
    same resamples. ``seed`` and ``key`` determine them.
    """

    def __init__(self, clusters: ArrayLike, resamples: int, seed: int, key: str) -> None:
        names, self.of = np.unique(np.asarray(clusters), return_inverse=True)
        self.clusters = len(names)
        self.resamples = resamples
        self.seed = [seed, zlib.crc32(key.encode())]

    def __iter__(self) -> Iterator[NDArray[np.float64]]:
        if not len(self.of):
            return
        random = np.random.default_rng(self.seed)
        share = np.full(self.clusters, 1 / self.clusters)
        step = max(1, RESAMPLED_AT_ONCE // len(self.of))
        for begin in range(0, self.resamples, step):
            block = min(step, self.resamples - begin)
            yield random.multinomial(self.clusters, share, size=block)[:, self.of].astype(np.float64)


def with_interval(
    name: str, statistic: Statistic, x: NDArray[Any], y: NDArray[Any], resamples: Resamples
) -> dict[str, float | None]:
    """``{name, "low", "high"}``: the statistic and its percentile interval; None where it is not defined.

    Resamples in which the statistic is not defined are left out of the interval.
    """
    value = statistic(x, y, np.ones((1, len(x))))[0]
    if np.isnan(value):
        return {name: None, "low": None, "high": None}
    drawn = np.concatenate([np.empty(0), *(statistic(x, y, weights) for weights in resamples)])
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return {name: float(value), "low": None, "high": None}
    low, high = np.percentile(drawn, PERCENTILES)
    return {name: float(value), "low": float(low), "high": float(high)}


def aucs(values: NDArray[Any], positive: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tie-correct AUC under each row of ``weights`` (B, n); NaN where a class weighs nothing."""
    if not len(values):
        return np.full(len(weights), np.nan)
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    ties = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))  # where each run of equal values begins
    ahead = np.add.reduceat((weights * positive)[:, order], ties, axis=1)
    behind = np.add.reduceat((weights * ~positive)[:, order], ties, axis=1)
    below = np.cumsum(behind, axis=1) - behind
    wins = (ahead * (below + behind / 2)).sum(axis=1)
    total = ahead.sum(axis=1) * behind.sum(axis=1)
    areas: NDArray[np.float64] = np.divide(wins, total, out=np.full(len(weights), np.nan), where=total > 0)
    return areas


def pearsons(x: NDArray[Any], y: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson's r under each row of ``weights`` (B, n); NaN where x or y does not vary."""
    total = weights.sum(axis=1, keepdims=True)
    total[total == 0] = np.nan
    dx, dy = x - (weights @ x)[:, None] / total, y - (weights @ y)[:, None] / total
    variances = (weights * dx**2).sum(axis=1) * (weights * dy**2).sum(axis=1)
    covariances = (weights * dx * dy).sum(axis=1)
    noise = (
        1e-24 * (1 + (x**2).sum()) * (1 + (y**2).sum())
    )  # what is left of equal numbers after the mean is subtracted
    r: NDArray[np.float64] = np.divide(
        covariances, np.sqrt(variances), out=np.full(len(weights), np.nan), where=variances > noise
    )
    return r.clip(-1.0, 1.0)

"""Percentile bootstrap intervals over clusters of observations."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_RESAMPLES = 1_000_000  # that may be asked for
BLOCK_NUMBERS = 1 << 21  # most numbers in one array of the bootstrap: 16 MiB

# From counts (C, B), how often each of C clusters stands in each of B samples, to the statistic of each sample, (B,).
# The statistic is NaN where it is not defined.
Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Estimate:
    """A statistic with its interval. Each is None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None


def mean_of(values: NDArray[Any]) -> Statistic:
    """Return the statistic "mean of ``values``" (C,), with one value per cluster."""
    return mean_of_clusters(values, np.arange(len(values)), len(values))


def mean_of_clusters(values: NDArray[np.float64], clusters: NDArray[np.int64], count: int) -> Statistic:
    """Return the statistic "mean of ``values``", one per observation; a cluster is drawn with all of its own."""
    totals = np.bincount(clusters, weights=values, minlength=count)
    sizes = np.bincount(clusters, minlength=count).astype(np.float64)

    def statistic(draws: NDArray[np.float64]) -> NDArray[np.float64]:
        means = np.full(draws.shape[1], np.nan)
        weights = sizes @ draws
        np.divide(totals @ draws, weights, out=means, where=weights > 0)
        return means

    return statistic


def resample(clusters: int, resamples: int, seed: int, key: str) -> Iterator[NDArray[np.float64]]:
    """Draw ``resamples`` samples of ``clusters`` clusters with replacement; yield blocks (C, B) of the counts."""
    random = np.random.default_rng([seed, zlib.crc32(key.encode())])
    step = max(1, BLOCK_NUMBERS // max(clusters, 1))
    for begin in range(0, resamples if clusters else 0, step):
        block = min(step, resamples - begin)
        drawn = random.integers(clusters, size=(block, clusters)) + clusters * np.arange(block)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=clusters * block).reshape(block, clusters)
        yield np.ascontiguousarray(counts.T, dtype=np.float64)


def estimate(
    statistics: Mapping[str, Statistic], clusters: int, *, resamples: int, seed: int, key: str, level: float = 0.95
) -> dict[str, Estimate]:
    """Return each statistic with its percentile interval of ``level``, all over the same resamples of clusters.

    ``seed`` and ``key`` determine the resamples. An interval leaves out resamples where its statistic is not defined.
    """
    values = {name: statistic(np.ones((clusters, 1)))[0] for name, statistic in statistics.items()}
    defined = {name: statistic for name, statistic in statistics.items() if not np.isnan(values[name])}
    drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in defined}
    if defined:
        for draws in resample(clusters, resamples, seed, key):
            for name, statistic in defined.items():
                drawn[name].append(statistic(draws))
    return {name: _estimate(float(values[name]), drawn.get(name, []), level) for name in statistics}


def _estimate(value: float, drawn: list[NDArray[np.float64]], level: float) -> Estimate:
    if np.isnan(value):
        return Estimate(None, None, None)
    sample = np.concatenate([np.empty(0), *drawn])
    sample = sample[~np.isnan(sample)]
    if not len(sample):
        return Estimate(value, None, None)
    low, high = np.percentile(sample, [50 * (1 - level), 50 * (1 + level)])
    return Estimate(value, float(low), float(high))

"""Tie-correct AUC, Pearson's r and linear fits: of one sample, and of resampled clusters of observations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from pivotkit.bootstrap import BLOCK_NUMBERS, Statistic


def auc(values: ArrayLike, positive: ArrayLike) -> float:
    """Return the probability that a positive's value exceeds a negative's, where a tie counts half.

    This is the tie-correct area under the ROC curve: Mann-Whitney U by mid-ranks, divided by positives times negatives.

    Parameters
    ----------
    values : float64 (n,)
    positive : bool (n,)

    Returns
    -------
    float
        Between 0 and 1; 0.5 where all values are tied; NaN where a class is empty.

    Raises
    ------
    ValueError
        A value is NaN, or the shapes differ.

    Notes
    -----
    The published code of arXiv 2505.16385 steps through ties in input order, so its area depends on that order.

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
    return float(auc_of_clusters(values, positive, np.arange(len(values)))(np.ones((len(values), 1)))[0])


def auc_of_clusters(values: NDArray[Any], positive: NDArray[np.bool_], clusters: NDArray[np.int64]) -> Statistic:
    """Return the statistic `auc` of samples of clusters. Clusters are numbered from 0.

    A sample costs one multiply-add per observation and one running sum over the distinct values.
    """
    many = int(clusters.max()) + 1 if len(clusters) else 0
    levels, level = np.unique(values, return_inverse=True)

    def table(of: NDArray[np.bool_]) -> csr_array:
        """Count the observations per level and cluster."""
        ones = np.ones(int(of.sum()))
        return csr_array((ones, (level[of], clusters[of])), shape=(len(levels), many))

    ahead, behind = table(positive), table(~positive)

    def statistic(draws: NDArray[np.float64]) -> NDArray[np.float64]:
        areas = np.full(draws.shape[1], np.nan)
        step = max(1, BLOCK_NUMBERS // max(len(levels), 1))
        for begin in range(0, draws.shape[1], step):
            part = draws[:, begin : begin + step]
            positives, negatives = ahead @ part, behind @ part
            below = np.cumsum(negatives, axis=0) - negatives
            wins = (positives * (below + negatives / 2)).sum(axis=0)
            pairs = positives.sum(axis=0) * negatives.sum(axis=0)
            np.divide(wins, pairs, out=areas[begin : begin + step], where=pairs > 0)
        return areas

    return statistic


def pearson_of_clusters(x: NDArray[Any], y: NDArray[Any], clusters: NDArray[np.int64]) -> Statistic:
    """Return the statistic Pearson's r of samples of clusters. Clusters are numbered from 0."""
    many = int(clusters.max()) + 1 if len(clusters) else 0
    dx, dy = x - np.mean(x) if many else x, y - np.mean(y) if many else y
    parts = (np.ones(len(x)), dx, dy, dx * dx, dy * dy, dx * dy)
    sums = np.stack([np.bincount(clusters, part, minlength=many) for part in parts], axis=1)
    # Rounding leaves some variance in equal numbers. The whole's mean leaves at most this much; the sample's
    # mean is treated below.
    noise_x, noise_y = 1e-28 * (x**2).sum(), 1e-28 * (y**2).sum()

    def statistic(draws: NDArray[np.float64]) -> NDArray[np.float64]:
        n, sum_x, sum_y, sum_xx, sum_yy, sum_xy = (draws.T @ sums).T
        n = np.maximum(n, 1)
        var_x, var_y = sum_xx - sum_x**2 / n, sum_yy - sum_y**2 / n
        varied = (var_x > 1e-12 * sum_xx + noise_x) & (var_y > 1e-12 * sum_yy + noise_y)
        covariances = sum_xy - sum_x * sum_y / n
        r = np.full(len(n), np.nan)
        np.divide(covariances, np.sqrt(np.abs(var_x * var_y)), out=r, where=varied)
        return r.clip(-1.0, 1.0)

    return statistic


def least_squares_of_clusters(
    terms: dict[str, NDArray[Any]], y: NDArray[Any], clusters: NDArray[np.int64]
) -> dict[str, Statistic]:
    """Return the statistics of a linear fit with a constant: a coefficient per term, ``constant`` and ``r_squared``.

    Equivalent to ``numpy.linalg.lstsq`` of each sample. A statistic is NaN where the terms of a sample are linearly
    dependent, or where y does not vary. Clusters are numbered from 0.
    """
    many = int(clusters.max()) + 1 if len(clusters) else 0
    names = [*terms, "constant"]
    # Centred and scaled by the whole sample, so that the normal equations of a resample keep their digits.
    centres = {name: float(np.mean(column)) if many else 0.0 for name, column in terms.items()}
    scales = {name: float(np.std(column)) or 1.0 if many else 1.0 for name, column in terms.items()}
    x = np.column_stack([*((terms[name] - centres[name]) / scales[name] for name in terms), np.ones(len(y))])
    middle = float(np.mean(y)) if many else 0.0
    products = x[:, :, None] * np.column_stack([x, y - middle])[:, None, :]
    sums = np.zeros((many, *products.shape[1:]))
    np.add.at(sums, clusters, products)
    squares = np.bincount(clusters, (y - middle) ** 2, minlength=many)
    width = len(names)

    def fit(draws: NDArray[np.float64]) -> NDArray[np.float64]:
        """(B, terms + 2): the coefficients and R^2 of each sample."""
        found = np.full((draws.shape[1], width + 1), np.nan)
        moments = np.tensordot(draws.T, sums, axes=1)
        n, sum_y = moments[:, -1, width - 1], moments[:, -1, width]
        total = draws.T @ squares - sum_y**2 / np.maximum(n, 1)
        whole = np.zeros(len(found), bool)
        enough = n > width
        whole[enough] = np.linalg.cond(moments[enough, :, :width]) < 1e10
        whole &= total > 1e-12 * (squares.sum() + middle**2)
        beta = np.linalg.solve(moments[whole, :, :width], moments[whole, :, width:])[:, :, 0]
        residual = total[whole] - (np.einsum("bp,bp->b", beta, moments[whole, :, width]) - sum_y[whole] ** 2 / n[whole])
        plain = beta[:, :-1] / np.array([scales[name] for name in terms])
        constant = beta[:, -1] + middle - plain @ np.array([centres[name] for name in terms])
        found[whole] = np.column_stack([plain, constant, 1 - residual / total[whole]])
        return found

    def column(place: int) -> Statistic:
        return lambda draws: fit(draws)[:, place]

    return {name: column(place) for place, name in enumerate([*names, "r_squared"])}

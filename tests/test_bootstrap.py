"""What bootstrap intervals promise."""

from __future__ import annotations

import numpy as np
import pytest

from pivotkit.attribution.statistics import auc_of_clusters
from pivotkit.bootstrap import Estimate, estimate, mean_of, resample


def area(values, positive, clusters, resamples, seed=0):
    statistic = auc_of_clusters(np.asarray(values), np.asarray(positive), clusters)
    number = int(clusters.max()) + 1
    return estimate({"auc": statistic}, number, resamples=resamples, seed=seed, key="")["auc"]


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    draw = np.random.default_rng(0)
    truth, covered = 0.76024993890652, 0  # P(a > b) for a ~ N(1, 1), b ~ N(0, 1)
    for trial in range(200):
        values = np.append(draw.normal(1, 1, 40), draw.normal(0, 1, 40))
        fit = area(values, np.arange(80) < 40, np.arange(80), 300, trial)
        covered += fit.low <= truth <= fit.high
    assert 0.89 <= covered / 200 <= 0.99


def test_as_many_clusters_are_drawn_as_there_are():
    draws = np.concatenate(list(resample(7, 50, 0, "")), axis=1)
    assert draws.shape == (7, 50)
    assert (draws.sum(axis=0) == 7).all()
    assert draws.std() > 0.5


def test_copies_of_the_same_clusters_do_not_narrow_the_interval():
    draw = np.random.default_rng(1)
    values, positive = draw.normal(size=50), draw.random(50) < 0.5
    once = area(values, positive, np.arange(50), 400)
    twelve = area(np.tile(values, 12), np.tile(positive, 12), np.tile(np.arange(50), 12), 400)
    assert (twelve.value, twelve.low, twelve.high) == pytest.approx((once.value, once.low, once.high))


def test_blocks_of_resamples_do_not_change_the_draw(monkeypatch):
    values, positive = np.arange(9.0), np.arange(9) % 3 > 0
    whole = area(values, positive, np.arange(9), 20)
    for module in ("pivotkit.bootstrap", "pivotkit.attribution.statistics"):
        monkeypatch.setattr(f"{module}.BLOCK_NUMBERS", 27)
    assert area(values, positive, np.arange(9), 20) == whole


def test_no_resamples_give_no_interval():
    assert area(np.arange(2.0), np.array([False, True]), np.arange(2), 0) == Estimate(1.0, None, None)


def mean(values, resamples=1000, **more):
    return estimate({"mean": mean_of(values)}, len(values), resamples=resamples, seed=0, key="", **more)["mean"]


def test_the_interval_of_a_mean_is_as_wide_as_the_normal_one():
    values = np.random.default_rng(5).normal(size=400)
    for level, deviations in ((0.95, 1.96), (0.8, 1.2816)):
        fit = mean(values, 4000, level=level)
        assert fit.value == pytest.approx(values.mean())
        assert fit.high - fit.low == pytest.approx(2 * deviations * values.std() / 20, rel=0.08)


def test_the_interval_of_a_mean_equals_resampling_by_hand():
    values = np.random.default_rng(3).normal(size=40)
    draws = np.concatenate(list(resample(40, 300, 0, "")), axis=1).astype(int)
    by_hand = [np.repeat(values, counts).mean() for counts in draws.T]
    fit = mean(values, 300)
    assert (fit.low, fit.high) == pytest.approx(tuple(np.percentile(by_hand, [2.5, 97.5])))


def test_the_mean_of_nothing_is_not_defined():
    assert mean(np.empty(0)) == Estimate(None, None, None)

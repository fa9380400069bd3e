"""AUC and Pearson's r against plain Python and scipy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, pearsonr

from pivotkit.attribution.statistics import (
    auc,
    auc_of_clusters,
    least_squares_of_clusters,
    pearson_of_clusters,
)

# few values, so that most samples are full of ties
samples = st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 7.25]), st.booleans()), min_size=2, max_size=30)


def both_classes(sample):
    return len({positive for _, positive in sample}) == 2


def slow_auc(values, positive):
    pairs = itertools.product(
        [value for value, mark in zip(values, positive, strict=True) if mark],
        [value for value, mark in zip(values, positive, strict=True) if not mark],
    )
    wins = [1.0 if high > low else 0.5 if high == low else 0.0 for high, low in pairs]
    return sum(wins) / len(wins)


def published_auc(values, positive):
    """One step a row in the order of a stable sort, as the published code walks it."""
    ranked = sorted(zip(values, positive, strict=True), key=lambda row: -row[0])
    positives = sum(positive)
    area = height = 0.0
    for _, mark in ranked:
        if mark:
            height += 1 / positives
        else:
            area += height / (len(positive) - positives)
    return area


@given(samples)
def test_auc_equals_counting_every_pair(sample):
    assume(both_classes(sample))
    values, positive = zip(*sample, strict=True)
    assert auc(values, positive) == pytest.approx(slow_auc(values, positive), abs=1e-12)


@given(samples)
def test_auc_equals_scipys_mann_whitney(sample):
    assume(both_classes(sample))
    values, positive = map(np.array, zip(*sample, strict=True))
    u = mannwhitneyu(values[positive], values[~positive]).statistic
    assert auc(values, positive) == pytest.approx(u / (positive.sum() * (~positive).sum()), abs=1e-12)


@given(samples, st.randoms(use_true_random=False))
def test_auc_does_not_depend_on_the_order(sample, random):
    assume(both_classes(sample))
    shuffled = random.sample(sample, len(sample))
    assert auc(*zip(*shuffled, strict=True)) == auc(*zip(*sample, strict=True))


def test_the_published_walk_depends_on_the_order_of_ties():
    values, positive = [1.0, 1.0], [True, False]
    assert published_auc(values, positive) != published_auc(values, positive[::-1])
    assert auc(values, positive) == auc(values, positive[::-1]) == 0.5


@given(samples)
def test_inverted_labels_give_one_minus_auc(sample):
    assume(both_classes(sample))
    values, positive = zip(*sample, strict=True)
    inverted = auc(values, [not mark for mark in positive])
    assert inverted == pytest.approx(1 - auc(values, positive), abs=1e-12)


@given(samples)
def test_auc_depends_on_the_ranks_alone(sample):
    assume(both_classes(sample))
    values, positive = zip(*sample, strict=True)
    assert auc(np.exp(values), positive) == auc(values, positive)


@given(st.lists(st.booleans(), min_size=2), st.floats(allow_nan=False))
def test_all_values_tied_give_one_half(positive, value):
    assume(len(set(positive)) == 2)
    assert auc([value] * len(positive), positive) == 0.5


def test_an_empty_class_has_no_auc():
    assert math.isnan(auc([1.0, 2.0], [True, True]))
    assert math.isnan(auc([], []))


@given(samples, st.data())
def test_weights_count_rows_several_times(sample, data):
    weights = data.draw(st.lists(st.integers(0, 3), min_size=len(sample), max_size=len(sample)))
    repeated = [row for row, weight in zip(sample, weights, strict=True) for _ in range(weight)]
    assume(repeated)
    assume(both_classes(repeated))
    values, positive = map(np.array, zip(*sample, strict=True))
    draws, clusters = np.array(weights, float)[:, None], np.arange(len(sample))
    weighted = auc_of_clusters(values, positive, clusters)(draws)[0]
    assert weighted == pytest.approx(auc(*zip(*repeated, strict=True)), abs=1e-12)
    weighted = pearson_of_clusters(values, positive.astype(float), clusters)(draws)[0]
    repeated = np.array(repeated, float)
    if np.ptp(repeated[:, 0]):
        assert weighted == pytest.approx(pearsonr(*repeated.T).statistic, abs=1e-9)
    else:
        assert np.isnan(weighted)


def test_numbers_that_do_not_vary_have_no_correlation():
    steady, varied, ones = np.full(3, 1e9 / 3), np.arange(3.0), np.ones((3, 1))
    assert np.isnan(pearson_of_clusters(steady, varied, np.arange(3))(ones)).all()
    assert np.isnan(pearson_of_clusters(varied, steady, np.arange(3))(ones)).all()
    # Equal in the sample alone, away from the mean of all.
    drawn = np.array([0.0, 1, 0, 2, 0])[:, None]
    x, y = np.array([1, 0, 0, 0, 0.5]), np.array([0.0, 0, 0, 1, 0])
    assert np.isnan(pearson_of_clusters(x, y, np.arange(5))(drawn)).all()


@pytest.mark.parametrize(
    ("values", "positive", "message"),
    [
        ([1.0], [True, False], "auc: values and positive must be"),
        ([math.nan, 1.0], [True, False], "auc: values must not be NaN"),
    ],
)
def test_bad_samples_are_refused(values, positive, message):
    with pytest.raises(ValueError, match=message):
        auc(values, positive)


@given(st.integers(0, 10_000), st.integers(1, 3))
def test_a_fit_of_resampled_clusters_equals_numpys_of_their_rows(seed, many):
    draw = np.random.default_rng(seed)
    terms = {f"t{n}": draw.normal(1e3 * n, 1 + 100 * n, 40) for n in range(many)}
    y = draw.normal(size=40) + terms["t0"]
    clusters = draw.integers(0, 12, 40)
    clusters[:12] = np.arange(12)
    counts = draw.multinomial(12, [1 / 12] * 12)
    rows = np.repeat(np.arange(40), counts[clusters])
    x = np.column_stack([*terms.values(), np.ones(40)])[rows]
    assume(len(set(rows.tolist())) > many + 2)
    wanted = np.linalg.lstsq(x, y[rows], rcond=None)[0]
    found = least_squares_of_clusters(terms, y, clusters)
    values = [found[name](counts[:, None].astype(float))[0] for name in [*terms, "constant", "r_squared"]]
    left = y[rows] - x @ wanted
    assert values[:-1] == pytest.approx(wanted, rel=1e-5, abs=1e-6)
    assert values[-1] == pytest.approx(1 - left.var() / y[rows].var(), abs=1e-8)


@pytest.mark.parametrize("terms", [{"a": np.arange(9.0), "b": 2 * np.arange(9.0)}, {"a": np.ones(9)}])
def test_dependent_terms_have_no_fit(terms):
    found = least_squares_of_clusters(terms, np.arange(9.0) ** 2, np.arange(9))
    assert all(np.isnan(statistic(np.ones((9, 1)))[0]) for statistic in found.values())


def test_a_constant_has_no_fit():
    found = least_squares_of_clusters({"a": np.arange(9.0)}, np.full(9, 0.1), np.arange(9))
    assert all(np.isnan(statistic(np.ones((9, 1)))[0]) for statistic in found.values())

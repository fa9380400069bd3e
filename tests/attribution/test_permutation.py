"""Permutations within pairs: exact on small samples, and alike in all pairs."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivotkit.attribution.permutation import _cycles, _next, permuted_areas
from pivotkit.attribution.statistics import auc


def moved(order, members):
    """Where a drawn permutation takes each of some concepts."""
    place, cycle = _cycles(np.asarray(order))
    line = np.asarray(members)[np.argsort(place[list(members)], kind="stable")]
    return dict(zip(line.tolist(), _next(line, cycle[line]).tolist(), strict=True))


def test_every_permutation_is_as_likely_as_another():
    random = np.random.default_rng(0)
    seen = Counter(tuple(sorted(moved(random.permutation(4), range(4)).items())) for _ in range(6_000))
    assert len(seen) == 24
    assert max(abs(count - 250) for count in seen.values()) < 85  # five standard deviations are 77


@given(st.permutations(range(8)), st.sets(st.integers(0, 7), min_size=1))
def test_some_concepts_follow_the_permutation_of_all_as_far_as_they_are_there(order, members):
    whole, part = moved(order, range(8)), moved(order, sorted(members))
    assert sorted(part) == sorted(part.values()) == sorted(members)
    for concept in members:
        goal = whole[concept]
        while goal not in members:
            goal = whole[goal]
        assert part[concept] == goal


def sample(pairs=("a-b",), n=14):
    draw = np.random.default_rng(1)
    values, positive = draw.integers(0, 4, n).astype(float), draw.random(n) < 0.5
    names = np.repeat(np.array(pairs, dtype=object), n)
    return [np.tile(values, len(pairs)), np.tile(positive, len(pairs)), names, np.tile(np.arange(n), len(pairs))]


def test_a_second_pair_of_the_same_values_changes_nothing():
    one, two = (permuted_areas(*sample(pairs), 50, 0, "x") for pairs in (("a-b",), ("a-b", "b-a")))
    assert two == pytest.approx(one, abs=1e-12)
    assert len(set(one.tolist())) > 10


def test_the_areas_are_those_of_permuted_values():
    values, positive, pairs, concepts = sample()
    random = np.random.default_rng([3, __import__("zlib").crc32(b"x")])
    for area in permuted_areas(values, positive, pairs, concepts, 20, 3, "x"):
        goal = moved(random.permutation(14), range(14))
        assert area == pytest.approx(auc([values[goal[n]] for n in range(14)], positive), abs=1e-12)


def test_what_pairs_alone_tell_stays():
    """One pair has high values and co-occurrence, the other neither: permuted within pairs, nothing changes."""
    values = np.r_[np.arange(10.0), np.arange(10.0) + 100]
    positive, pairs = np.arange(20) >= 10, np.repeat(np.array(["a-b", "c-d"], dtype=object), 10)
    assert permuted_areas(values, positive, pairs, np.tile(np.arange(10), 2), 5, 0, "x").tolist() == [1.0] * 5

"""Weights by distance: exact where they can be, rounded once where not, refused where they are none."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_graphs import block, cells, pairs, run

from pivotkit.corpus.token_graph.build import TokenGraph, token_graph
from pivotkit.corpus.token_graph.pair_weights import pair_weights


@given(window=st.integers(1, 40))
def test_harmonic_weights_are_exact_up_to_sixteen_and_within_half_a_step_beyond(window: int) -> None:
    table = pair_weights("f", "harmonic", window)
    for distance, numerator in enumerate(table.numerators, 1):
        error = abs(Fraction(numerator, table.denominator) - Fraction(1, distance))
        assert error == 0 if window <= 16 else error <= Fraction(1, 1 << 21)


def test_a_function_of_the_distance_may_be_python_njit_or_cfunc(tmp_path: Path) -> None:
    def halves(distance):
        return 2.0**-distance

    expected = pair_weights("f", halves, 8)
    assert expected.numerators == (128, 64, 32, 16, 8, 4, 2, 1)
    assert pair_weights("f", numba.njit(halves), 8) == expected
    assert pair_weights("f", numba.cfunc("float64(int64)")(halves), 8) == expected
    texts = [[1, 2, 3, 1, 2], [2, 2]]
    graph = token_graph([block(texts)], out=tmp_path, weight=halves, window=8, vocabulary=4)
    assert cells(graph) == pairs(texts, list(expected.numerators), True)
    assert graph.weight(1, 2) == 0.5 + 0.5 + 0.25 + 0.0625
    assert TokenGraph.load(tmp_path).weights == expected


def test_a_constant_function_counts_as_flat_does() -> None:
    table = pair_weights("f", lambda distance: 1.0, 3)
    assert (table.numerators, table.denominator) == ((1, 1, 1), 1)


def test_a_denominator_rounds_once_with_ties_to_even() -> None:
    table = pair_weights("f", lambda distance: 0.25 * distance + 0.25, 6, denominator=2)
    assert (table.numerators, table.denominator) == ((1, 2, 2, 2, 3, 4), 2)


def test_numba_is_loaded_only_for_a_function(tmp_path: Path) -> None:
    code = (
        "import sys; from pivotkit.corpus.token_graph.pair_weights import pair_weights as w; w('f', 'harmonic', 10)\n"
        "before = 'numba' in sys.modules; w('f', lambda d: 1.0 / d, 10); print(before, 'numba' in sys.modules)"
    )
    assert run(code).split() == ["False", "True"]


@pytest.mark.parametrize(
    ("weight", "rule"),
    [
        (lambda d: np.nan, "finite and at least 0; got nan at distance 1"),
        (lambda d: np.inf if d == 2 else 1.0, "finite and at least 0; got inf at distance 2"),
        (lambda d: 1.0 - d, "finite and at least 0; got -1.0 at distance 2"),
        (lambda d: 1e-9, "0 or more than 1 / 2097152"),
        (lambda d: 0.0, "above 0 at some distance"),
        (lambda d: 1e6, "a sum of at most 2.30 / denominator, 1024; got 4e\\+06"),
        (lambda d: 1 / (d - 1), "not raise; got ZeroDivisionError"),
        ("linear", "'harmonic', 'flat' or a function; got 'linear'"),
    ],
)
def test_weights_that_cannot_be_are_refused(weight: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=f"^f: weight must .*{rule}"):
        pair_weights("f", weight, 4)


@pytest.mark.parametrize(
    "weight", [3, None, lambda a, b: 1.0, lambda d: "x", numba.cfunc("float64(float64)")(lambda d: d)]
)
def test_weights_that_are_no_function_of_a_distance_are_refused(weight: Any) -> None:
    with pytest.raises(TypeError, match=r"^f: weight must be"):
        pair_weights("f", weight, 4)

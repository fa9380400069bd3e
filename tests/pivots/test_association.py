"""The ufuncs against a float64 formula in plain Python and against scipy."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from pivotkit.pivots import association
from pivotkit.pivots.association import measure

NAMES = ["pmi", "npmi", "log_likelihood", "delta"]


@st.composite
def tables(draw, smallest=0):
    cells = [draw(st.integers(smallest, 10**6)) for _ in range(4)]
    both, word, token, _ = cells
    return both, both + word, both + token, sum(cells)


def plain_g2(n11, n1_, n_1, n):
    observed = [n11, n1_ - n11, n_1 - n11, n - n1_ - n_1 + n11]
    expected = [n1_ * n_1 / n, n1_ * (n - n_1) / n, (n - n1_) * n_1 / n, (n - n1_) * (n - n_1) / n]
    total = 2 * math.fsum(o * math.log(o / e) for o, e in zip(observed, expected, strict=True) if o)
    return math.copysign(total, n11 - expected[0])


@given(tables(smallest=1))
def test_pmi_and_npmi_equal_their_formulas(table):
    n11, n1_, n_1, n = table
    pmi = math.log(n11 * n / (n1_ * n_1))
    assert association.pmi(*table) == pytest.approx(pmi, rel=1e-12, abs=1e-12)
    assert association.npmi(*table) == pytest.approx(pmi / -math.log(n11 / n), rel=1e-9, abs=1e-9)


@given(tables(smallest=1))
def test_delta_equals_its_formula(table):
    n11, n1_, n_1, n = table
    assert association.delta(*table) == pytest.approx(n11 / n1_ - n_1 / n, rel=1e-12, abs=1e-15)


@given(tables(smallest=1))
def test_log_likelihood_equals_its_formula(table):
    assert abs(association.log_likelihood(*table)) == pytest.approx(abs(plain_g2(*table)), rel=1e-9, abs=1e-7)


@given(tables(smallest=1))
def test_log_likelihood_equals_scipy(table):
    n11, n1_, n_1, n = table
    cells = [[n11, n1_ - n11], [n_1 - n11, n - n1_ - n_1 + n11]]
    expected = chi2_contingency(cells, correction=False, lambda_="log-likelihood").statistic
    assert abs(association.log_likelihood(*table)) == pytest.approx(expected, rel=1e-9, abs=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_independence_is_zero(name):
    assert getattr(association, name)(16, 128, 128, 1024) == 0


@pytest.mark.parametrize("name", NAMES)
@given(table=tables(smallest=1))
def test_the_sign_is_the_direction(name, table):
    n11, n1_, n_1, n = table
    side = n11 * n - n1_ * n_1
    if abs(side) > 1e-6 * n1_ * n_1:  # nearer to independence, rounding decides the sign
        assert np.sign(getattr(association, name)(*table)) == np.sign(side)


@pytest.mark.parametrize("name", ["pmi", "npmi", "log_likelihood"])
@given(table=tables(smallest=1))
def test_word_and_token_may_change_places(name, table):
    n11, n1_, n_1, n = table
    ufunc = getattr(association, name)
    assert ufunc(n11, n1_, n_1, n) == pytest.approx(ufunc(n11, n_1, n1_, n), rel=1e-9, abs=1e-7)


@given(tables())
def test_npmi_stays_within_its_bounds(table):
    value = association.npmi(*table)
    assert np.isnan(value) or -1 <= value <= 1 + 1e-12


def test_words_that_never_meet():
    assert association.pmi(0, 5, 7, 100) == -math.inf
    assert association.npmi(0, 5, 7, 100) == -1
    assert association.log_likelihood(0, 5, 7, 100) == pytest.approx(plain_g2(0, 5, 7, 100))
    assert association.log_likelihood(0, 5, 7, 100) < 0
    assert association.delta(0, 5, 7, 100) == pytest.approx(-0.07)


def test_words_that_only_meet():
    assert association.npmi(5, 5, 5, 100) == 1
    assert association.pmi(5, 5, 5, 100) == pytest.approx(math.log(20))
    assert association.log_likelihood(5, 5, 5, 100) == pytest.approx(plain_g2(5, 5, 5, 100))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("table", [(100, 100, 100, 100), (5, 5, 100, 100), (5, 100, 5, 100)])
def test_what_is_everywhere_is_tied_to_nothing(name, table):
    assert getattr(association, name)(*table) == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("table", [(6, 5, 7, 100), (8, 9, 7, 100), (-1, 5, 7, 100), (1, 60, 60, 100), (0, 0, 0, 0)])
def test_impossible_tables_are_nan(name, table):
    assert np.isnan(getattr(association, name)(*table))


def test_an_empty_margin_is_nan_where_the_measure_divides_by_it():
    assert np.isnan(association.pmi(0, 0, 7, 100))
    assert np.isnan(association.npmi(0, 5, 0, 100))
    assert np.isnan(association.delta(0, 0, 7, 100))
    assert association.delta(0, 5, 0, 100) == 0
    assert association.log_likelihood(0, 0, 7, 100) == 0
    assert association.log_likelihood(0, 5, 0, 100) == 0


def test_the_measures_broadcast_integers_into_float64():
    result = association.delta(np.arange(3)[:, None], 10, np.array([10, 20]), 100)
    assert result.shape == (3, 2)
    assert result.dtype == np.float64


def test_a_formula_of_the_user_becomes_a_ufunc():
    dice = measure(lambda n11, n1_, n_1, n: 2 * n11 / (n1_ + n_1))
    assert dice(np.array([0, 5]), 5, 5, 100).tolist() == [0.0, 1.0]


def test_a_formula_must_be_a_function():
    with pytest.raises(TypeError, match="measure: formula must be a function of"):
        measure("npmi")


def test_a_formula_must_compile():
    with pytest.raises(TypeError, match=r"measure: formula must be a function of .* that Numba compiles"):
        measure(lambda n11, n1_, n_1, n: object())


def test_a_formula_must_take_four_or_five_numbers():
    with pytest.raises(TypeError, match=r"measure: formula must be a function of .*, of 1$"):
        measure(lambda n11: n11)


def test_an_unknown_measure_is_an_attribute_error():
    with pytest.raises(AttributeError, match="chi3"):
        association.chi3  # noqa: B018


def test_importing_the_room_imports_neither_numba_nor_torch():
    code = (
        "import sys, pivotkit.pivots, pivotkit.pivots.association; "
        "sys.exit(bool({'numba', 'torch', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

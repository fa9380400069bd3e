"""The measures against an expected count: their formulas in plain Python, scipy's Poisson, and where they end."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from pivotkit.pivots import expected_association as measures
from pivotkit.pivots.expected_association import MEASURES


@st.composite
def tables(draw, smallest=0):
    """Counts that can be: the shared documents within both margins, the margins within all; any expected count."""
    n = draw(st.integers(1, 10**6))
    n1_, n_1 = draw(st.integers(1, n)), draw(st.integers(1, n))
    n11 = draw(st.integers(min(smallest, n1_, n_1), min(n1_, n_1)))
    return n11, n1_, n_1, n, draw(st.floats(1e-3, 1.0)) * min(n1_, n_1)  # chance gives no more than either margin


@given(tables())
def test_log_ratio_and_delta_equal_their_formulas(table):
    n11, n1_, _, _, e = table
    assert measures.log_ratio(*table) == pytest.approx(math.log((n11 + 1) / (e + 1)), rel=1e-12, abs=1e-12)
    assert measures.delta(*table) == pytest.approx((n11 - e) / n1_, rel=1e-12, abs=1e-12)


@given(tables())
def test_lower_ratio_is_the_log_ratio_less_one_standard_error(table):
    less = 1 / math.sqrt(table[0] + 1)
    assert measures.lower_ratio(*table) == pytest.approx(float(measures.log_ratio(*table)) - less, rel=1e-9, abs=1e-12)


def test_of_equal_ratios_lower_ratio_prefers_more_documents():
    few, many = ((3, 9, 9, 10**4, 0.0), (39, 99, 99, 10**4, 9.0))
    assert measures.log_ratio(*few) == pytest.approx(float(measures.log_ratio(*many)))
    assert measures.lower_ratio(*few) < measures.lower_ratio(*many)


@given(tables(smallest=1))
def test_npmi_and_deviance_equal_their_formulas(table):
    n11, _, _, n, e = table
    if n11 < n:
        assert measures.npmi(*table) == pytest.approx(math.log(n11 / e) / -math.log(n11 / n), rel=1e-9, abs=1e-9)
    deviance = math.copysign(2 * (n11 * math.log(n11 / e) - n11 + e), n11 - e)
    assert measures.deviance(*table) == pytest.approx(deviance, rel=1e-6, abs=1e-6 * max(1, n11, e))


@given(st.integers(0, 3000), st.floats(1e-3, 3000))
def test_poisson_is_the_upper_tail_of_scipy(n11, e):
    found = float(measures.poisson(n11, 3000, 3000, 3000, e))
    tail = -poisson.logsf(n11 - 1, e)
    assert found == pytest.approx(tail, rel=1e-7, abs=1e-9) if math.isfinite(tail) else found > 700


@pytest.mark.parametrize("name", MEASURES)
@given(table=tables(smallest=1))
def test_every_measure_grows_with_the_shared_documents_and_falls_with_the_expected_count(name, table):
    measure = getattr(measures, name)
    n11, *rest, e = table
    if n11 == rest[-1]:
        return  # in every document chance gives as many, which a smaller e contradicts
    assert measure(n11, *rest, e) >= measure(n11 - 1, *rest, e)
    assert measure(n11, *rest, e) >= measure(n11, *rest, 2 * e)


@pytest.mark.parametrize("name", [name for name in MEASURES if name not in ("lower_ratio", "poisson")])
def test_as_many_as_expected_is_zero(name):
    assert getattr(measures, name)(5, 10, 20, 100, 5.0) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("name", MEASURES)
def test_what_cannot_be_is_nan(name):
    cases = [(6, 5, 9, 20, 1), (1, 5, 30, 20, 1), (-1, 5, 9, 20, 1), (0, 0, 0, 0, 1), (1, 5, 9, 20, -1.0)]
    found = getattr(measures, name)(*np.array(cases, float).T)
    assert np.isnan(found).all()


def test_company_where_none_is_expected_is_infinite_and_the_log_ratio_stays_finite():
    table = (2, 5, 9, 20, 0.0)
    assert [measures.npmi(*table), measures.deviance(*table), measures.poisson(*table)] == [math.inf] * 3
    assert measures.log_ratio(*table) == pytest.approx(math.log(3))


def test_one_shared_document_of_a_rare_token_weighs_less_than_many_of_a_common_one():
    rare, common = measures.log_ratio([2, 200], [300, 300], [2, 400], [10**5] * 2, [0.01, 5.0])
    assert rare < common

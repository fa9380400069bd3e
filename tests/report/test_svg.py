"""Plots put data where their axes say."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from pivotkit.report.svg import Plot, ticks


def test_the_axes_span_the_plotting_area() -> None:
    plot = Plot(200, (0, 18), (0, 1))
    assert (plot.sx(0), plot.sx(18)) == (plot.left, plot.right)
    assert (plot.sy(0), plot.sy(1)) == (plot.bottom, plot.top)
    assert plot.sx(9) == (plot.left + plot.right) / 2


def test_a_line_breaks_where_there_is_no_value() -> None:
    plot = Plot(200, (0, 3), (0, 1))
    plot.line([0, 1, 2, 3], [0, float("nan"), 1, 1], "line")
    path = re.search(r' d="([^"]*)"', str(plot.parts[0]))
    assert path is not None
    assert path.group(1).count("M") == 2


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(3, 9))
def test_ticks_are_few_round_and_inside(low: float, span: float, most: int) -> None:
    marks = ticks(low, low + span, most)
    assert len(marks) <= most
    assert marks == sorted(set(marks))
    assert all(low - 1e-6 * span <= mark <= low + span + 1e-6 * span for mark in marks)

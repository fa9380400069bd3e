"""Plots put data where their axes say."""

from __future__ import annotations

import csv
import io
import re

from hypothesis import given
from hypothesis import strategies as st

from pivotkit.report.svg import Plot, csv_text, ticks

CELLS = st.one_of(st.text(st.characters(exclude_categories=["Cc", "Cs"])), st.integers(), st.floats(-1e6, 1e6))


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


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5))
def test_the_data_of_a_figure_come_back_from_its_csv(rows: list[tuple[object, object]]) -> None:
    text = csv_text([{"a": one, "b, quoted": other} for one, other in rows])
    header, *found = csv.reader(io.StringIO(text, newline=""))
    assert header == ["a", "b, quoted"]
    for row, cells in zip(found, rows, strict=True):
        for cell, value in zip(row, cells, strict=True):
            assert float(cell) == float(f"{value:.5g}") if isinstance(value, float) else cell == str(value)


def test_a_number_that_is_none_is_an_empty_cell() -> None:
    assert csv_text([{"x": float("nan"), "y": float("inf")}]) == "x,y\n,\n"


def test_a_figure_carries_its_data_and_a_mark_its_link() -> None:
    plot = Plot(200, (0, 1), (0, 1))
    plot.dot(0.5, 0.5, "dot", "a note", link="#words?pair=a&item=<1>")
    plot.box(0, 0, 10, 10, "bar", "a bar")
    drawn = str(plot.markup("name", [{"x": 0.25, "set": "<a>"}]))
    assert "<metadata>x,set\n0.25,&lt;a&gt;\n</metadata>" in drawn
    assert drawn.count('<a href="#words?pair=a&amp;item=&lt;1&gt;"><path') == drawn.count("<a ") == 1
    assert "<metadata>" not in str(plot.markup("name"))

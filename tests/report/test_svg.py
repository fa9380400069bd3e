"""Plots put data where their axes say."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivotkit.report import figures
from pivotkit.report.svg import WIDTH, Key, Plot, legend, ticks

HOSTILE = "</svg><script>\"'&"


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


def test_every_chart_escapes_its_words_and_is_well_formed() -> None:
    layers = [0, 1, 2]
    shares = np.array([0.2, 0.3, 0.5])
    curve = {"name": HOSTILE, "color": "c-source", "mean": shares, "low": shares - 0.1, "high": shares + 0.1}
    dot = figures.Dot("c-pivot", "circle", 0.5, 0.4, 0.6, HOSTILE)
    charts = [
        figures.layer_curves(HOSTILE, layers, [curve], shares, top=0.75, darkest=0.5),
        figures.top1_shares(HOSTILE, layers, {HOSTILE: shares}, {HOSTILE: "c-other"}),
        figures.behavior_bars(HOSTILE, {HOSTILE: {"pivot": 3, "excluded": 1}}),
        figures.dot_plot(HOSTILE, {HOSTILE: [dot]}, (0, 1), HOSTILE, reference=0.5),
        figures.histogram(HOSTILE, np.linspace(0, 1, 4), {"all": ("c-other", shares)}, HOSTILE),
        legend([Key("c-source", HOSTILE, "line"), Key("c-source", HOSTILE, "box"), Key("c-source", HOSTILE, "circle")]),
    ]
    for chart in charts:
        tree = ElementTree.fromstring(str(chart))
        assert {element.tag for element in tree.iter()} <= {"svg", "path", "line", "rect", "text", "title", "ul", "li"}
        assert any(HOSTILE in "".join(element.itertext()) for element in tree.iter()) or HOSTILE in tree.get("aria-label", "")


def test_bars_of_a_row_fill_the_axis_in_proportion() -> None:
    tree = ElementTree.fromstring(str(figures.behavior_bars("shares", {"fr → zh": {"co-occurrence": 1, "pivot": 3}})))
    widths = [float(bar.get("width", 0)) + 1 for bar in tree.iter("rect")]
    assert widths[1] / widths[0] == pytest.approx(3, rel=0.01)
    assert [text.text for text in tree.iter("text") if text.get("class", "").startswith("inside")] == ["1", "3"]


def test_a_mark_without_a_value_is_not_drawn() -> None:
    nothing = figures.Dot("c-ink", "circle", float("nan"), float("nan"), float("nan"), "nothing")
    assert "nothing" not in str(figures.dot_plot("empty", {"a": [nothing], "b": []}, (0, 1), "x"))
    assert WIDTH == 420

"""Charts show their numbers in proportion and escape their words."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from pivotkit.report import figures
from pivotkit.report.svg import Key, legend

HOSTILE = "</svg><script>\"'&"


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
        assert any(HOSTILE in "".join(element.itertext()) for element in tree.iter()) or HOSTILE in tree.get(
            "aria-label", ""
        )


def test_bars_of_a_row_fill_the_axis_in_proportion() -> None:
    tree = ElementTree.fromstring(str(figures.behavior_bars("shares", {"fr → zh": {"co-occurrence": 1, "pivot": 3}})))
    widths = [float(bar.get("width", 0)) + 1 for bar in tree.iter("rect")]
    assert widths[1] / widths[0] == pytest.approx(3, rel=0.01)
    assert [text.text for text in tree.iter("text") if text.get("class", "").startswith("inside")] == ["1", "3"]


def test_a_mark_without_a_value_is_not_drawn() -> None:
    nothing = figures.Dot("c-ink", "circle", float("nan"), float("nan"), float("nan"), "nothing")
    assert "nothing" not in str(figures.dot_plot("empty", {"a": [nothing], "b": []}, (0, 1), "x"))

"""Charts show their numbers in proportion and escape their words."""

from __future__ import annotations

import re
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
        figures.share_lines(HOSTILE, [figures.Line(HOSTILE, "c-ink", [(0, 0.5), (0.5, np.nan)])], HOSTILE, HOSTILE),
        figures.layer_lines(HOSTILE, [figures.Line(HOSTILE, "c-ink", [(0, 0.5), (1, np.nan)])], HOSTILE),
        figures.histogram(HOSTILE, np.linspace(0, 1, 4), {"all": ("c-other", shares)}, HOSTILE),
        legend([Key("c-source", HOSTILE, "line"), Key("c-source", HOSTILE, "box"), Key("c-source", HOSTILE, "circle")]),
    ]
    for chart in charts:
        tree = ElementTree.fromstring(str(chart))
        assert {element.tag for element in tree.iter()} <= {
            "svg",
            "path",
            "line",
            "rect",
            "text",
            "title",
            "ul",
            "li",
            "metadata",
        }
        assert any(HOSTILE in "".join(element.itertext()) for element in tree.iter()) or HOSTILE in tree.get(
            "aria-label", ""
        )


def heights(chart: object) -> list[float]:
    """The y positions of the dots of a chart of lines."""
    return [float(y) for y in re.findall(r'transform="translate\([\d.]+ ([\d.]+)\) scale\(0.5\)"', str(chart))]


def test_lines_by_layer_stand_in_proportion_and_break_at_what_is_no_number() -> None:
    line = figures.Line("kl", "c-ink", [(0, 0.0), (1, 5.0), (2, np.nan), (3, 10.0)])
    zero, half, top = heights(figures.layer_lines("kl", [line], "nats"))
    assert zero - half == pytest.approx(half - top, abs=0.2)
    assert zero > half > top
    assert heights(figures.layer_lines("kl", [line], "share", top=20.0))[2] == pytest.approx(half, abs=0.2)


def test_powers_of_ten_stand_at_equal_steps_and_zero_nowhere() -> None:
    line = figures.Line("kl", "c-ink", [(0, 600.0), (1, 60.0), (2, 6.0), (3, 0.0)])
    chart = figures.layer_lines("kl", [line], "nats", log=True)
    first, second, third = heights(chart)
    assert second - first == pytest.approx(third - second, abs=0.2)
    assert re.findall(r'class="tick" text-anchor="end">([^<]+)<', str(chart)) == ["1", "10", "100", "1000"]


def test_bars_of_a_row_fill_the_axis_in_proportion() -> None:
    tree = ElementTree.fromstring(str(figures.behavior_bars("shares", {"fr → zh": {"co-occurrence": 1, "pivot": 3}})))
    widths = [float(bar.get("width", 0)) + 1 for bar in tree.iter("rect")]
    assert widths[1] / widths[0] == pytest.approx(3, rel=0.01)
    assert [text.text for text in tree.iter("text") if text.get("class", "").startswith("inside")] == ["1", "3"]


def test_a_mark_without_a_value_is_not_drawn() -> None:
    nothing = figures.Dot("c-ink", "circle", float("nan"), float("nan"), float("nan"), "nothing")
    assert "nothing" not in str(figures.dot_plot("empty", {"a": [nothing], "b": []}, (0, 1), "x"))


def test_a_line_breaks_where_a_share_is_no_number() -> None:
    points = [(0.0, 0.0), (0.1, 1.0), (0.2, float("nan")), (0.3, 0.5), (0.4, 0.5)]
    chart = str(figures.share_lines("shares", [figures.Line("strict", "c-ink", points)], "x", "y"))
    [path] = re.findall(r'<path d="([^"]+)" class="line c-ink"/>', chart)
    assert path.count("M") == 2
    heights = [float(place.split()[1]) for place in re.split("[ML]", path)[1:]]
    assert heights[0] - heights[2] == pytest.approx(heights[2] - heights[1], abs=0.2)  # 0, 1/2, 1 from below
    assert "<title>strict, 0.10: 1.000</title>" in chart
    assert chart.count("<title>") == 4


def test_long_labels_fit_the_margin_and_keep_the_ends_that_tell_them_apart() -> None:
    names = [f"owner/model-of-270m-step-{step}000" for step in (1, 2)]
    tree = ElementTree.fromstring(str(figures.behavior_bars("shares", {name: {"pivot": 1} for name in names})))
    rows = [text for text in tree.iter("text") if text.get("class") == "row"]
    told = [text.text or "" for text in rows]
    assert len(set(told)) == 2
    for text, shown, name in zip(rows, told, names, strict=True):
        begin, end = shown.split("…")
        assert name.startswith(begin)
        assert name.endswith(end)
        assert figures.LETTER * len(shown) <= float(text.get("x", 0))

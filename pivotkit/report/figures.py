"""The charts of the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from pivotkit.report.svg import WIDTH, Key, Plot, ticks
from pivotkit.report.text import interval, number, visible

LETTER = 8.4  # units of the SVG that a letter of a row's label takes in a wide font, such as DejaVu Sans
BEHAVIORS = ("co-occurrence", "pivot", "copy", "other", "excluded")
COLORS = {"co-occurrence": "c-target", "pivot": "c-pivot", "copy": "c-source", "other": "c-other", "excluded": "c-out"}


class Dot(NamedTuple):
    """One mark of a dot plot. ``low`` and ``high`` are its interval, NaN without one; ``name`` says it in the data."""

    color: str
    shape: str
    value: float
    low: float
    high: float
    note: str
    scale: float = 1.0
    name: str = ""
    link: str = ""


class Point(NamedTuple):
    """One item of a scatter plot."""

    x: float
    y: float
    color: str
    name: str
    link: str


class Line(NamedTuple):
    """One line of a chart of shares. ``points`` are (x, share); the line breaks where the share is NaN.

    ``band`` holds the lower and the upper end of every point's interval, where there are any.
    """

    name: str
    color: str
    points: Sequence[tuple[float, float]]
    band: tuple[Sequence[float], Sequence[float]] | None = None


def layer_curves(
    name: str,
    layers: Sequence[int],
    series: Sequence[Mapping[str, Any]],
    entropy: np.ndarray | None,
    *,
    top: float,
    darkest: float = 0.0,
    label: str = "mean probability mass",
) -> Markup:
    """Draw means by layer, with bands, up to ``top``; mean entropy, where it is given, is a strip above them."""
    plot = Plot(292, (layers[0], layers[-1]), (0, top), top=66 if entropy is not None else 26)
    wide = plot.sx(1) - plot.sx(0)
    if entropy is not None:
        plot.text(4, 12, f"mean entropy, {entropy.min():.1f} to {entropy.max():.1f} nats (fuller = more)", "label")
    for layer, nats in zip(layers, () if entropy is None else entropy, strict=entropy is not None):
        x = max(plot.sx(layer) - wide / 2, plot.left)
        width = min(plot.sx(layer) + wide / 2, plot.right) - x
        plot.box(x, 19, width + 0.3, 13, "strip", f"layer {layer}: {nats:.2f} nats", nats / darkest if darkest else 0)
    plot.y_axis([0.25 * step for step in range(round(top * 4) + 1)], label, 2)
    plot.x_axis(_layer_ticks(layers), "layer (0 = embedding output)")
    for curve in series:
        plot.band(layers, curve["low"], curve["high"], f"band {curve['color']}")
    for curve in series:
        plot.line(layers, curve["mean"], f"line {curve['color']}")
        for layer, mean, low, high in zip(layers, curve["mean"], curve["low"], curve["high"], strict=True):
            note = f"layer {layer}, {curve['name']}: {number(mean)} {interval(low, high)}"
            plot.dot(plot.sx(layer), plot.sy(mean), f"dot {curve['color']}", note, scale=0.5)
    rows = [
        {"layer": layer, "set": curve["name"], "mean": mean, "low": low, "high": high, "items": curve.get("n", "")}
        for curve in series
        for layer, mean, low, high in zip(layers, curve["mean"], curve["low"], curve["high"], strict=True)
    ]
    return plot.markup(name, rows)


def top1_shares(
    name: str, layers: Sequence[int], shares: Mapping[str, np.ndarray], colors: Mapping[str, str]
) -> Markup:
    """Draw one stacked bar per layer: the share of items by the kind of their most probable token."""
    plot = Plot(190, (layers[0] - 0.5, layers[-1] + 0.5), (0, 1))
    plot.y_axis((0, 0.5, 1), "share of items by top-1 token", 1)
    plot.x_axis(_layer_ticks(layers), "layer (0 = embedding output)")
    width = (plot.sx(1) - plot.sx(0)) * 0.86
    below = np.zeros(len(layers))
    for kind, share in shares.items():
        for place, layer in enumerate(layers):
            if share[place] > 0:
                top = plot.sy(below[place] + share[place])
                height = plot.sy(below[place]) - top
                note = f"layer {layer}, {kind}: {share[place]:.1%}"
                plot.box(plot.sx(layer) - width / 2, top, width, height, f"bar {colors[kind]}", note)
        below = below + share
    rows = [
        {"layer": layer, "first choice": kind, "share": value}
        for kind, share in shares.items()
        for layer, value in zip(layers, share, strict=True)
    ]
    return plot.markup(name, rows)


def share_lines(name: str, lines: Sequence[Line], x_label: str, y_label: str) -> Markup:
    """Draw shares from 0 to 1 as lines."""
    plot = Plot(292, (0, max((x for line in lines for x, _ in line.points), default=1.0)), (0, 1))
    plot.y_axis([0.25 * step for step in range(5)], y_label, 2)
    marks = ticks(*plot.x_range)
    plot.x_axis(marks, x_label, _digits(marks))
    for line in lines:
        if line.band:
            plot.band([x for x, _ in line.points], *line.band, f"band {line.color}")
    for line in lines:
        plot.line([x for x, _ in line.points], [share for _, share in line.points], f"line {line.color}")
        for x, share in line.points:
            if math.isfinite(share):
                note = f"{line.name}, {number(x, 2)}: {number(share)}"
                plot.dot(plot.sx(x), plot.sy(share), f"dot {line.color}", note, scale=0.5)
    return plot.markup(name, _line_rows(lines, x_label, y_label))


def layer_lines(
    name: str, lines: Sequence[Line], y_label: str, *, top: float | None = None, log: bool = False
) -> Markup:
    """Draw values by layer as lines: from 0 up to ``top`` or to the highest of them; with ``log``, powers of ten."""
    layers = sorted({layer for line in lines for layer, _ in line.points})
    known = [value for line in lines for _, value in line.points if math.isfinite(value) and (value > 0 or not log)]
    scale = (lambda value: math.log10(value) if value > 0 else math.nan) if log else float
    if log:
        ends = (math.floor(scale(min(known, default=1))), math.ceil(scale(max(known, default=10))))
        marks = [float(power) for power in range(ends[0], max(ends[1], ends[0] + 1) + 1)]
        plot = Plot(240, (layers[0], layers[-1]), (marks[0], marks[-1]))
    else:
        plot = Plot(240, (layers[0], layers[-1]), (0, top or max(known, default=1.0) or 1.0))
        steps = 4 if top == 1 else 2
        marks = ticks(*plot.y_range, 5) if top is None else [top * step / steps for step in range(steps + 1)]
    plot.y_axis(marks, y_label, written=[f"{10**mark if log else mark:g}" for mark in marks])
    plot.x_axis(_layer_ticks([int(layer) for layer in layers]), "layer (0 = embedding output)")
    for line in lines:
        plot.line([x for x, _ in line.points], [scale(value) for _, value in line.points], f"line {line.color}")
        for layer, value in line.points:
            if math.isfinite(scale(value)):
                note = f"layer {layer}, {line.name}: {number(value)}"
                plot.dot(plot.sx(layer), plot.sy(scale(value)), f"dot {line.color}", note, scale=0.5)
    return plot.markup(name, _line_rows(lines, "layer", y_label))


def _line_rows(lines: Sequence[Line], x_label: str, y_label: str) -> list[dict[str, Any]]:
    rows = []
    for line in lines:
        ends = zip(*line.band, strict=True) if line.band else [("", "")] * len(line.points)
        for (x, value), (low, high) in zip(line.points, ends, strict=True):
            rows.append({"line": line.name, x_label: x, y_label: value, "low": low, "high": high})
    return rows


def behavior_bars(
    name: str, rows: Mapping[str, Mapping[str, int]], links: Mapping[tuple[str, str], str] | None = None
) -> Markup:
    """Draw one stacked bar per row, with the counts inside; ``links`` leads from a row's behavior to its words."""
    left = _margin(rows)
    plot = Plot(30 * len(rows) + 52, (0, 1), (0, 1), left=left, top=8)
    for place, (label, counts) in enumerate(rows.items()):
        y, total, x = 10 + 30 * place, sum(counts.values()), 0.0
        plot.text(left - 8, y + 16, _short(label), "row", "end")
        for behavior in BEHAVIORS:
            count = counts.get(behavior, 0)
            if not count:
                continue
            begin, end = plot.sx(x / total), plot.sx((x + count) / total)
            note = f"{label}, {behavior}: {count} of {total} ({count / total:.1%})"
            link = (links or {}).get((label, behavior), "")
            plot.box(begin + 0.5, y, end - begin - 1, 23, f"bar {COLORS[behavior]}", note, link=link)
            if end - begin > 9 * len(str(count)) + 6:
                kind = "inside dark" if behavior in ("other", "excluded") else "inside"
                plot.text((begin + end) / 2, y + 16, str(count), kind, "middle")
            x += count
    plot.x_axis((0, 0.25, 0.5, 0.75, 1), "share of items", 2)
    data = [
        {"row": label, **{behavior: counts.get(behavior, 0) for behavior in BEHAVIORS}}
        for label, counts in rows.items()
    ]
    return plot.markup(name, data)


def dot_plot(
    name: str,
    rows: Mapping[str, Sequence[Dot]],
    x: tuple[float, float],
    label: str,
    *,
    reference: float | None = None,
    together: bool = False,
) -> Markup:
    """Draw rows of marks with their intervals. ``together`` puts the marks of a row on one line, as for seeds."""
    left = _margin(rows)
    heights = [28.0 if together else max(24.0, 13.0 * len(dots) + 10) for dots in rows.values()]
    plot = Plot(sum(heights) + 52, x, (0, 1), left=left, top=8)
    marks = ticks(*x)
    plot.x_axis(marks, label, _digits(marks), grid=True)
    if reference is not None:
        plot.rule(plot.sx(reference), plot.top, plot.sx(reference), plot.bottom, "reference")
    y = plot.top
    for (row, dots), height in zip(rows.items(), heights, strict=True):
        plot.text(left - 8, y + height / 2 + 4, _short(row), "row", "end")
        plot.rule(left, y + height, plot.right, y + height, "grid")
        for place, dot in enumerate(dots):
            line = y + height / 2 + (0 if together else 13 * (place - (len(dots) - 1) / 2))
            if math.isfinite(dot.low):
                plot.rule(plot.sx(dot.low), line, plot.sx(dot.high), line, f"whisker {dot.color}")
            if math.isfinite(dot.value):
                plot.dot(plot.sx(dot.value), line, f"dot {dot.color}", dot.note, dot.shape, dot.scale, dot.link)
        y += height
    data = [
        {"row": row, "mark": dot.name, label: dot.value, "low": dot.low, "high": dot.high}
        for row, dots in rows.items()
        for dot in dots
    ]
    return plot.markup(name, data)


def scatter(name: str, points: Sequence[Point], x_label: str, y_label: str) -> Markup:
    """Draw one mark per item."""
    x, y = [point.x for point in points], [point.y for point in points]
    plot = Plot(292, (min(0.0, *x), max(*x, 1e-9)), (min(0.0, *y), max(1.0, *y)), left=46)
    plot.y_axis(ticks(*plot.y_range, 5), y_label)
    marks = ticks(*plot.x_range)
    plot.x_axis(marks, x_label, _digits(marks))
    for point in points:
        plot.dot(plot.sx(point.x), plot.sy(point.y), f"dot {point.color}", point.name, scale=0.6, link=point.link)
    return plot.markup(name, [{"item": point.name, x_label: point.x, y_label: point.y} for point in points])


def histogram(name: str, edges: np.ndarray, series: Mapping[str, tuple[str, np.ndarray]], label: str) -> Markup:
    """Draw the share of documents per bin, with one outline per set (color class, shares)."""
    top = max(float(shares.max()) for _, shares in series.values()) or 1.0
    plot = Plot(240, (edges[0], edges[-1]), (0, top))
    marks = ticks(0, top, 5)
    plot.y_axis(marks, "share of documents in the set", 2 if top < 1 else 1)
    places = ticks(float(edges[0]), float(edges[-1]))
    plot.x_axis(places, label, 2)
    x = np.repeat(edges, 2).tolist()
    for color, shares in series.values():
        y = [0.0, *np.repeat(shares, 2).tolist(), 0.0]
        plot.band(x, [0.0] * len(x), y, f"band {color}")
        plot.line(x, y, f"line {color}")
    data = [
        {"set": kind, "from": low, "to": high, "share of documents": share}
        for kind, (_, shares) in series.items()
        for low, high, share in zip(edges, edges[1:], shares, strict=False)
    ]
    return plot.markup(name, data)


def behavior_keys() -> list[Key]:
    """Return the legend of behaviors."""
    return [Key(COLORS[behavior], behavior, "box") for behavior in BEHAVIORS]


def _digits(marks: Sequence[float]) -> int:
    """The digits behind the point that tell ticks apart."""
    return max(0, -math.floor(math.log10(marks[1] - marks[0]) + 1e-9))


def _layer_ticks(layers: Sequence[int]) -> list[float]:
    return [mark for mark in ticks(layers[0], layers[-1], 8) if mark == int(mark)]


def _margin(rows: Mapping[str, Any]) -> float:
    """Return the width for the longest label, at most two fifths of the plot."""
    return min(18 + LETTER * max((len(row) for row in rows), default=0), 0.42 * WIDTH)


def _short(label: str) -> str:
    """A label that fits the margin: its beginning and its end, since names of checkpoints differ in their ends."""
    most = int((0.42 * WIDTH - 12) / LETTER)
    shown = visible(label)
    return shown if len(shown) <= most else f"{shown[: most // 2]}…{shown[most // 2 + 1 - most :]}"

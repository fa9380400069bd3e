"""Small SVG plots. Colors and fonts come from the page, so plots follow its light and dark scheme."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup, escape

WIDTH = 420  # width of every plot in its units; on a phone the 12-unit letters are still 10 pixels high

SHAPES = {
    "circle": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "square": "M-3.5-3.5h7v7h-7z",
    "diamond": "M0-4.8l4.8 4.8l-4.8 4.8l-4.8-4.8z",
    "triangle": "M0-4.6l4.6 8h-9.2z",
    "cross": "M-4-1.2h2.8v-2.8h2.4v2.8h2.8v2.4h-2.8v2.8h-2.4v-2.8h-2.8z",
}


class Key(NamedTuple):
    """One entry of a legend: color class, text, and the mark that it explains (``line``, ``box`` or a shape)."""

    color: str
    label: str
    mark: str


class Plot:
    """An SVG with one plotting area.

    Lines, bands and axes take positions in units of the data; text, rules, boxes and dots in units of the SVG.
    """

    def __init__(
        self,
        height: float,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        left: float = 40,
        right: float = 18,
        top: float = 26,
        bottom: float = 40,
    ) -> None:
        self.height, self.x_range, self.y_range = height, x, y
        self.left, self.right, self.top, self.bottom = left, WIDTH - right, top, height - bottom
        self.parts: list[Markup] = []

    def sx(self, value: float) -> float:
        """Return the x position of ``value`` in the SVG."""
        low, high = self.x_range
        return self.left + (value - low) / ((high - low) or 1) * (self.right - self.left)

    def sy(self, value: float) -> float:
        """Return the y position of ``value`` in the SVG."""
        low, high = self.y_range
        return self.bottom - (value - low) / ((high - low) or 1) * (self.bottom - self.top)

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> None:
        """Write ``words`` at a position in the SVG."""
        self.parts.append(
            Markup('<text x="{}" y="{}" class="{}" text-anchor="{}">{}</text>').format(
                _r(x), _r(y), kind, anchor, words
            )
        )

    def rule(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """Draw a straight line between two positions in the SVG."""
        self.parts.append(
            Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>').format(_r(x1), _r(y1), _r(x2), _r(y2), kind)
        )

    def box(
        self, x: float, y: float, w: float, h: float, kind: str, note: str, opacity: float = 1.0, link: str = ""
    ) -> None:
        """Draw a filled box at a position in the SVG. ``note`` is its tooltip, ``link`` where a click leads."""
        pale = Markup(' fill-opacity="{}"').format(_r(opacity, 3)) if opacity < 1 else ""
        drawn = Markup('<rect x="{}" y="{}" width="{}" height="{}" class="{}"{}><title>{}</title></rect>').format(
            _r(x), _r(y), _r(max(w, 0)), _r(max(h, 0)), kind, pale, note
        )
        self.parts.append(_linked(drawn, link))

    def line(self, x: Sequence[float], y: Sequence[float], kind: str) -> None:
        """Draw a line through the points. It breaks where y is NaN."""
        self.parts.append(Markup('<path d="{}" class="{}"/>').format(self._path(zip(x, y, strict=True)), kind))

    def band(self, x: Sequence[float], low: Sequence[float], high: Sequence[float], kind: str) -> None:
        """Fill the area between two curves."""
        there = [(a, b, c) for a, b, c in zip(x, low, high, strict=True) if math.isfinite(b) and math.isfinite(c)]
        if there:
            outline = [(a, c) for a, _, c in there] + [(a, b) for a, b, _ in reversed(there)]
            self.parts.append(Markup('<path d="{}z" class="{}"/>').format(self._path(outline), kind))

    def dot(
        self, x: float, y: float, kind: str, note: str, shape: str = "circle", scale: float = 1.0, link: str = ""
    ) -> None:
        """Draw a mark at a position in the SVG. ``note`` is its tooltip, ``link`` where a click leads."""
        drawn = Markup(
            '<path d="{}" transform="translate({} {}) scale({})" class="{}"><title>{}</title></path>'
        ).format(SHAPES[shape], _r(x), _r(y), _r(scale, 2), kind, note)
        self.parts.append(_linked(drawn, link))

    def x_axis(self, marks: Iterable[float], label: str, digits: int = 0, grid: bool = False) -> None:
        """Draw the x axis with its ticks and its label."""
        self.rule(self.left, self.bottom, self.right, self.bottom, "axis")
        for mark in marks:
            place = self.sx(mark)
            self.rule(place, self.top if grid else self.bottom, place, self.bottom + 4, "grid" if grid else "axis")
            self.text(place, self.bottom + 16, f"{mark:,.{digits}f}", "tick", "middle")
        self.text((self.left + self.right) / 2, self.bottom + 34, label, "label", "middle")

    def y_axis(self, marks: Sequence[float], label: str, digits: int = 1, written: Sequence[str] | None = None) -> None:
        """Draw the y axis as grid lines, with its label above it; ``written`` stands at the marks for their numbers."""
        for mark, words in zip(marks, written or [f"{mark:,.{digits}f}" for mark in marks], strict=True):
            place = self.sy(mark)
            self.rule(self.left, place, self.right, place, "grid")
            self.text(self.left - 6, place + 4, words, "tick", "end")
        self.text(4, self.top - 12, label, "label")

    def markup(self, name: str, rows: Sequence[Mapping[str, Any]] = ()) -> Markup:
        """Return the SVG. ``name`` is its text for screen readers; ``rows`` are its data, which it carries as CSV."""
        head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(WIDTH, _r(self.height), name)
        data = Markup("<metadata>{}</metadata>").format(csv_text(rows)) if rows else Markup("")
        return head + data + Markup("").join(self.parts) + Markup("</svg>")

    def _path(self, points: Iterable[tuple[float, float]]) -> str:
        words, pen = [], "M"
        for x, y in points:
            if math.isfinite(y):
                words.append(f"{pen}{_r(self.sx(x))} {_r(self.sy(y))}")
                pen = "L"
            else:
                pen = "M"
        return "".join(words)


def _linked(drawn: Markup, link: str) -> Markup:
    return Markup('<a href="{}">{}</a>').format(link, drawn) if link else drawn


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows of the same keys as CSV with a header: five digits, and nothing where there is no number.

    Examples
    --------
    >>> print(csv_text([{"pair": "fr → zh", "share": 0.123456}, {"pair": "a, b", "share": float("nan")}]), end="")
    pair,share
    fr → zh,0.12346
    "a, b",
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _written(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _written(value: Any) -> Any:
    if isinstance(value, float):  # NumPy's too
        return f"{value:.5g}" if math.isfinite(value) else ""
    return value


def legend(keys: Iterable[Key]) -> Markup:
    """Return a legend as a list. Every mark has its own shape or dash beside its color."""
    entries = []
    for color, label, mark in keys:
        if mark == "line":
            drawn = Markup('<path d="M1 7h24" class="line {}"/>').format(color)
        elif mark == "box":
            drawn = Markup('<rect x="5" y="1" width="15" height="12" class="bar {}"/>').format(color)
        else:
            drawn = Markup('<path d="{}" transform="translate(13 7)" class="dot {}"/>').format(SHAPES[mark], color)
        entries.append(
            Markup('<li><svg viewBox="0 0 26 14" aria-hidden="true">{}</svg>{}</li>').format(drawn, escape(label))
        )
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join(entries))


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return at most ``most`` round numbers in [low, high].

    Examples
    --------
    >>> ticks(0, 18, 7), ticks(0, 0.9, 5)
    ([0, 3, 6, 9, 12, 15, 18], [0.0, 0.3, 0.6, 0.9])
    """
    span = (high - low) or 1
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * factor for factor in (1, 2, 3, 5, 10, 20) if span / (power * factor) <= most - 1 + 1e-9)
    first = math.ceil(low / step - 1e-9)
    marks = [round(step * place, 10) for place in range(first, math.floor(high / step + 1e-9) + 1)]
    return [int(mark) for mark in marks] if step >= 1 else marks


def _r(value: float, digits: int = 1) -> str:
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:.0f}"

"""The section on agreement: are the corpus's pivots the model's? Mass and specific tokens, beside three controls."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from pivotkit.attribution.item_means import CONTROLS, POOLED
from pivotkit.attribution.pivot_mass import TELLING
from pivotkit.report import figures
from pivotkit.report.figures import Dot
from pivotkit.report.svg import Key, legend
from pivotkit.report.text import arrow, interval, number, visible

Row = dict[str, Any]
MARKS = {"control": ("c-other", "square"), "matched": ("c-shared", "triangle"), "other": ("c-pivot", "circle")}


def agreement(run: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the layers hold of the corpus's pivots, less what they hold of controls, by pair and frequency."""
    mass, agreed = run["pivot_mass"], run["agreement"]
    if mass is None or agreed is None:
        return None
    names = run["languages"]
    rows, shares = mass.to_pylist(), agreed.to_pylist()
    told = sorted((row for row in rows if row["against"] == TELLING), key=lambda row: row["pair"] != POOLED)
    by_pair = [row for row in shares if row["documents"] == POOLED]
    by_documents = [row for row in shares if row["documents"] != POOLED]
    shown = [name for name in CONTROLS if any(row["against"] == name for row in rows)]
    return {
        "layers": _layers(mass),
        "words": [visible(row["sentence"]) for row in told],
        "mass": _panel(rows, "Mass of pivots less that of controls", "difference of probability", _pair(names), 4),
        "share": _panel(by_pair, "Specific tokens among pivots less among controls", "difference of shares",
                        _pair(names), 3),
        "documents": _panel(by_documents, "The same by documents of the rarer word", "difference of shares",
                            lambda row: f"{visible(row['documents'])} documents", 3),
        "legend": legend(Key(*MARKS[name][:1], f"less {CONTROLS[name]}", MARKS[name][1]) for name in shown),
    }  # fmt: skip


def _pair(names: dict[str, str]) -> Callable[[Row], str]:
    return lambda row: "all pairs" if row["pair"] == POOLED else arrow(row["pair"], names)


def _layers(mass: pa.Table) -> str:
    layers = mass["layers"][0].as_py() if mass.num_rows else []
    return f"{layers[0]} to {layers[-1]}" if len(layers) > 1 else "".join(map(str, layers))


def _panel(rows: Sequence[Row], name: str, label: str, named: Callable[[Row], str], places: int) -> Row:
    """A figure of differences with their intervals, and its table."""
    dots: dict[str, list[Dot]] = {}
    for row in rows:
        value, low, high = (math.nan if row[key] is None else row[key] for key in ("difference", "low", "high"))
        note = f"{named(row)}, less {CONTROLS[row['against']]}: {_told(row, places)}, n = {row['items']}"
        dots.setdefault(named(row), []).append(
            Dot(*MARKS[row["against"]], value, low, high, note, name=f"less {CONTROLS[row['against']]}")
        )
    ends = [end for marks in dots.values() for mark in marks for end in (mark.value, mark.low, mark.high)]
    span = min([0.0, *filter(math.isfinite, ends)]), max([0.0, *filter(math.isfinite, ends)])
    room = 0.04 * (span[1] - span[0]) or 1.0
    figure = figures.dot_plot(name, dots, (span[0] - room, span[1] + room), label, reference=0)
    return {"figure": figure, "name": name, "rows": [_listed(row, named, places) for row in rows]}


def _told(row: Row, places: int) -> str:
    found = number(row["difference"], places)
    return found if row["low"] is None else f"{found} {interval(row['low'], row['high'], places)}"


def _listed(row: Row, named: Callable[[Row], str], places: int) -> Row:
    own, control = ("mass", "control_mass") if "mass" in row else ("share", "control_share")
    return {
        "where": named(row), "against": CONTROLS[row["against"]], "n": row["items"], "concepts": row["concepts"],
        "own": number(row[own], places), "control": number(row[control], places), "difference": _told(row, places),
        "reason": visible(row["reason"] or ""),
    }  # fmt: skip

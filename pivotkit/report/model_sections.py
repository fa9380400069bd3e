"""The section on behaviors, and on how far they depend on the rule."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import pyarrow.compute as pc

from pivotkit.errors import InputError
from pivotkit.lens.behavior import POOLED, STRICT
from pivotkit.report import figures
from pivotkit.report.figures import Line
from pivotkit.report.first_screen import hanging_lines, language_line
from pivotkit.report.svg import Key, legend
from pivotkit.report.text import arrow, number, visible, words_link

LINES = ("c-ink", "c-latent0", "c-latent1", "c-latent2", "c-source", "c-pivot")  # each with a dash of its own


def behaviors(run: dict[str, Any]) -> dict[str, Any] | None:
    """Return the number of items per behavior, pair and rule."""
    table = run["behaviors"]
    if table is None:
        return None
    counts: dict[str, dict[str, Counter[str]]] = {}
    columns = (table[name].to_pylist() for name in ("rule", "pair", "behavior"))
    for rule, pair, behavior in zip(*columns, strict=True):
        if behavior not in figures.BEHAVIORS:
            raise InputError("behaviors.parquet", "", f"behavior must be one of {figures.BEHAVIORS}; got {behavior!r}")
        counts.setdefault(rule, {}).setdefault(arrow(pair, run["languages"]), Counter())[behavior] += 1
    codes, panels = pc.unique(table["pair"]).to_pylist(), []
    for rule, pairs in sorted(counts.items(), key=lambda named: (named[0] != STRICT, named[0])):
        pairs = dict(sorted(pairs.items()))
        rows = [
            {
                "pair": pair,
                "n": found.total(),
                "counts": [found[behavior] for behavior in figures.BEHAVIORS],
                "share": number(found["pivot"] / told if (told := found["pivot"] + found["co-occurrence"]) else None),
            }
            for pair, found in pairs.items()
        ]
        links = {
            (arrow(pair, run["languages"]), behavior): words_link(pair, behavior=behavior, rule=rule)
            for pair in codes
            for behavior in figures.BEHAVIORS
        }
        figure = figures.behavior_bars(f"Behaviors under the rule {visible(rule)}", pairs, links)
        whole = sum(pairs.values(), Counter())
        told = whole["pivot"] + whole["co-occurrence"]
        total = number(whole["pivot"] / told if told else None)
        panels.append({"rule": visible(rule), "rows": rows, "figure": figure, "pooled": total})
    return {
        "panels": panels,
        "headline": panels[0] if panels and panels[0]["rule"] == STRICT else None,
        "lines": [line for rule, line in hanging_lines(table).items() if rule != STRICT],
        "spoken": language_line(table, run["languages"]),
        "names": figures.BEHAVIORS,
        "legend": legend(figures.behavior_keys()),
    }


def sensitivity(run: dict[str, Any]) -> dict[str, Any] | None:
    """Return the share of pivots among pivot and co-occurrence items, by rule and threshold."""
    table = run["sensitivity"]
    if table is None:
        return None
    told: dict[tuple[str, float | None], dict[str, list[tuple[float, float]]]] = {}
    for row in table.to_pylist():
        whole = row["pivot"] + row["co_occurrence"]
        pairs = told.setdefault((row["rule"], row["least_contrast"]), {})
        pairs.setdefault(row["pair"], []).append((row["min_probability"], row["pivot"] / whole if whole else math.nan))
    lines = [
        Line(_variant(*variant), color, sorted(pairs.get(POOLED, [])))
        for (variant, pairs), color in zip(told.items(), itertools.cycle(LINES), strict=False)
    ]
    names = sorted(set(table["pair"].to_pylist()), key=lambda pair: (pair == POOLED, pair))
    x, y = "least probability asked for", "pivot / (pivot + co-occurrence)"
    return {
        "figure": figures.share_lines("Share of pivots by threshold, all pairs", lines, x, y),
        "legend": legend(Key(line.color, line.name, "line") for line in lines),
        "variants": [line.name for line in lines],
        "rows": [
            {
                "pair": "all pairs" if pair == POOLED else arrow(pair, run["languages"]),
                "ranges": [_range([share for _, share in pairs.get(pair, [])]) for pairs in told.values()],
            }
            for pair in names
        ],
    }


def _variant(rule: str, least_contrast: float | None) -> str:
    return visible(rule) if least_contrast is None else f"{visible(rule)}, contrast log {math.exp(least_contrast):.0f}"


def _range(shares: list[float]) -> str:
    known = [share for share in shares if math.isfinite(share)]
    return f"{number(min(known), 2)} to {number(max(known), 2)}" if known else "–"

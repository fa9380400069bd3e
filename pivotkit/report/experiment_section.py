"""The section on the experiment in the generated world's pools: arms, statements, curves, grid, causal test."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pivotkit.errors import InputError
from pivotkit.report import figures
from pivotkit.report.svg import Key, legend
from pivotkit.report.text import number, visible

Row = dict[str, Any]
KINDS = {"pivot": "c-pivot", "direct": "c-target"}
DRAWN = {"pivot-aware": "c-pivot", "bilingual": "c-mean", "parallel": "c-target", "language-matched": "c-other",
         "behavior-aware": "c-source"}  # fmt: skip
VERDICTS = {"holds": "holds", "fails": "does not hold: the opposite does", "open": "not shown: the interval holds 0"}


def experiment(run: Mapping[str, Any]) -> Row | None:
    """Return the figures of the experiment, or None where the run has none."""
    found = run["experiment"]
    if found is None:
        return None
    try:
        return {
            "made": {name: visible(str(value)) for name, value in found.get("made", {}).items()},
            "pools": [_pool(name, pool) for name, pool in found["pools"].items()],
            "grid": _grid(found["grid"]),
        }
    except (KeyError, TypeError, IndexError) as error:
        raise InputError("experiment.json", "", f"must be as `pivotkit experiment` writes it; got {error}") from None


def _pool(name: str, pool: Row) -> Row:
    arms = {arm: pool["arms"][arm] for arm in pool["order"]}
    return {
        "name": visible(name),
        "seeds": len(pool["seeds"]),
        "panels": [_arms(arms, kind) for kind in KINDS] + [_curves(pool, kind) for kind in KINDS],
        "statements": [_statement(said) for said in pool["statements"]],
        "arms": [_row(arm, values) for arm, values in arms.items()],
        "causal": [_cause(arm, values) for arm, values in pool["causal"].items()],
        "behaviors": [
            {"kind": kind, "shown": ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))}
            for kind, counts in pool["behaviors"].items()
        ],
    }


def _arms(arms: Mapping[str, Row], kind: str) -> Row:
    rows = {
        arm: [figures.Dot(KINDS[kind], "circle", *_ends(values[kind]), f"{arm}: {_told(values[kind])}", name=kind)]
        for arm, values in arms.items()
    }
    return {
        "title": f"{kind} concepts, by arm",
        "figure": figures.dot_plot(f"Accuracy for {kind} concepts by arm", rows, (0, 1), "accuracy"),
        "legend": "",
    }


def _curves(pool: Row, kind: str) -> Row:
    steps = [float(step) for step in pool["steps"]]
    curves = pool["curves"][kind]
    drawn = {arm: color for arm, color in DRAWN.items() if arm in curves}
    lines = [figures.Line(arm, color, list(zip(steps, curves[arm], strict=True))) for arm, color in drawn.items()]
    return {
        "title": f"{kind} concepts, by step",
        "figure": figures.share_lines(f"Accuracy for {kind} concepts by step", lines, "steps", "accuracy"),
        "legend": legend([Key(color, arm, "line") for arm, color in drawn.items()]),
    }


def _statement(said: Row) -> Row:
    verdict = "holds" if said["verdict"] == "holds" else VERDICTS[said["verdict"]]
    if said["measure"] == "loss":
        verdict = {"holds": "holds", "fails": "does not hold", "open": "not shown"}[said["verdict"]]
    seeds = f"{said['seeds_above']} of {said['seeds']}"
    return {"key": said["key"][:1] if len(said["key"]) == 1 else "", "text": visible(said["text"]),
            "difference": _told(said, signed=True), "seeds": seeds, "verdict": verdict}  # fmt: skip


def _row(arm: str, values: Row) -> Row:
    facts = values.get("facts", {})
    return {
        "arm": visible(arm),
        "accuracy": [_told(values[kind]) for kind in KINDS],
        "loss": [number(values["loss"][language]) for language in ("p", "a", "b")],
        "facts": [_share(facts.get(name)) for name in ("with P", "parallel", "pivot tokens")],
    }


def _cause(arm: str, values: Row) -> Row:
    more = values.get("more")
    return {
        "arm": visible(arm),
        "effect": _told(values["effect"], signed=True),
        "more": "–" if more is None else _told(more, signed=True),
    }


def _grid(cells: list[Row]) -> Row | None:
    if not cells:
        return None
    budgets = sorted({cell["tokens"] for cell in cells})
    panels = []
    for tokens in budgets:
        own = [cell for cell in cells if cell["tokens"] == tokens]
        lines = [
            figures.Line(arm, DRAWN[arm], [(cell["share"], cell["pivot"][arm]) for cell in own])
            for arm in ("pivot-aware", "bilingual")
        ]
        name = f"Accuracy for pivot concepts, {tokens:,} tokens"
        label = "share of documents with pivots among bilingual ones"
        panels.append(
            {
                "title": f"{tokens:,} tokens",
                "figure": figures.share_lines(name, lines, label, "accuracy"),
                "legend": legend([Key(DRAWN[line.name], line.name, "line") for line in lines]),
            }
        )
    rows = [
        {
            "share": share,
            "cells": [
                _told(cell["pivot"]["gain"], signed=True)
                for tokens in budgets
                for cell in cells
                if (cell["share"], cell["tokens"]) == (share, tokens)
            ],
        }
        for share in sorted({cell["share"] for cell in cells})
    ]
    return {"panels": panels, "budgets": budgets, "rows": rows, "seeds": cells[0]["seeds"]}


def _ends(row: Row) -> tuple[float, float, float]:
    return tuple(math.nan if row[name] is None else float(row[name]) for name in ("value", "low", "high"))  # type: ignore[return-value]


def _told(row: Row, *, signed: bool = False) -> str:
    value, low, high = (f"{end:+.2f}" if signed else f"{end:.2f}" for end in _ends(row))
    return "–" if row["value"] is None else f"{value} [{low}, {high}]"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f}%"

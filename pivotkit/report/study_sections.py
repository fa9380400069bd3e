"""The sections on the run as a whole: its head, the testbed's planted truth, and its experiment on selections."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pivotkit.errors import InputError
from pivotkit.report import figures
from pivotkit.report.svg import SHAPES, Key, legend
from pivotkit.report.text import arrow, duration, memory, number, plain, visible

Row = dict[str, Any]
KINDS = {"pivot": "c-pivot", "direct": "c-target"}
DRAWN = {"pivot-aware": "c-pivot", "bilingual": "c-mean", "parallel": "c-target", "language-matched": "c-other",
         "behavior-aware": "c-source"}  # fmt: skip
VERDICTS = {"holds": "holds", "fails": "does not hold: the opposite does", "open": "not shown: the interval holds 0"}
LOSS_VERDICTS = {"holds": "holds", "fails": "does not hold", "open": "not shown"}


def head(run: dict[str, Any]) -> dict[str, Any]:
    """Return the model, the corpus, the settings, and the cost of each stage."""
    record = run["run"] or {}
    config = record.get("config") or {}
    ran = record.get("stages") or {}
    environment = record.get("environment") or {}
    items = run["items"]
    pairs = sorted(items["pair"].unique().to_pylist()) if items is not None else config.get("pairs") or []
    stages = [
        {
            "name": visible(name),
            "time": duration(stage.get("seconds")),
            "memory": memory(stage.get("peak_memory_bytes")),
            "finished": plain(stage.get("finished")),
        }
        for name, stage in sorted(ran.items(), key=lambda named: str(named[1].get("finished")))
    ]
    seconds = [stage.get("seconds") or 0 for stage in ran.values()]
    return {
        "there": run["run"] is not None,
        "model": "testbed" if run["truth"] else plain(_model(config.get("model"))),
        "corpus": plain(config.get("corpus")),
        "pairs": ", ".join(arrow(pair, run["languages"]) for pair in pairs) or "–",
        "n_items": items.num_rows if items is not None else None,
        "documents": (run["counts"] or {}).get("documents"),
        "date": max((stage["finished"] for stage in stages), default="–"),
        "version": plain(record.get("version") or environment.get("pivotkit")),
        "stages": stages,
        "total": duration(sum(seconds)) if seconds else None,
        "config": [(visible(name), plain(value)) for name, value in config.items()],
        "environment": [(visible(name), plain(value)) for name, value in environment.items()],
    }


def _model(name: str | None) -> str | None:
    """Return the last name of a folder or file, or the whole hub id, which its owner is part of."""
    return Path(name).name if name is not None and Path(name).is_absolute() else name


def testbed(run: dict[str, Any]) -> dict[str, Any] | None:
    """Return what was planted beside what was recovered, or None where the run is not on the testbed."""
    truth = run["truth"]
    if truth is None:
        return None
    claims = (
        ("Counts equal to a brute-force count", "counts", "equal", "checked"),
        ("Planted pivots recovered", "pivots", "recovered", "checked"),
        ("Held-out concepts translated", "translated", "correct", "held_out"),
    )
    rows = []
    for claim, name, hit, whole in claims:
        if name in truth:
            found, planted = _get(truth[name], hit), _get(truth[name], whole)
            rows.append(
                {"claim": claim, "found": found, "planted": planted, "share": found / planted if planted else 0}
            )
    rules = []
    for entry in truth.get("behaviors", []):
        confusion = _get(entry, "confusion")
        named = {behavior for row in confusion.values() for behavior in row}
        columns = [b for b in figures.BEHAVIORS if b in named] + sorted(named - set(figures.BEHAVIORS))
        checked, agree = _get(entry, "checked"), _get(entry, "agree")
        rows_of = []
        for planted, row in confusion.items():
            total = sum(row.values()) or 1
            cells = [(row.get(name, 0), row.get(name, 0) / total) for name in columns]
            rows_of.append({"planted": visible(planted), "cells": cells})
        rules.append(
            {
                "rule": visible(_get(entry, "rule")),
                "checked": checked,
                "agree": agree,
                "error": number((checked - agree) / checked if checked else None),
                "columns": [visible(name) for name in columns],
                "rows": rows_of,
            }
        )
    return {"rows": rows, "rules": rules}


def _get(entry: Any, key: str) -> Any:
    if not isinstance(entry, dict) or key not in entry:
        raise InputError("truth.json", "", f"must have the key {key}; got {entry!r}")
    return entry[key]


def experiment(run: Mapping[str, Any]) -> Row | None:
    """Return the figures of the experiment, or None where the run has none."""
    found = run["experiment"]
    if found is None:
        return None
    try:
        return {
            "made": {name: visible(str(found["made"][name])) for name in ("command", "date", "machine")},
            "recorded": bool(found["made"].get("recorded")),
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
    verdict = (LOSS_VERDICTS if said["measure"] == "loss" else VERDICTS)[said["verdict"]]
    seeds = f"{said['seeds_above']} of {said['seeds']}"
    return {"key": said["key"], "text": visible(said["text"]),
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
    marks = dict(zip(budgets, itertools.cycle(SHAPES), strict=False))
    panels = []
    for kind, color in KINDS.items():
        dots: dict[str, list[figures.Dot]] = {}
        for tokens, shape in marks.items():
            for cell in (one for one in cells if one["tokens"] == tokens):
                gain = cell[kind]["gain"]
                note = f"{cell['share']:.0%}, {tokens:,} tokens: {_told(gain, signed=True)}"
                dot = figures.Dot(color, shape, *_ends(gain), note, name=f"{tokens} tokens")
                dots.setdefault(f"{cell['share']:.0%}", []).append(dot)
        ends = [end for row in dots.values() for dot in row for end in (dot.low, dot.high) if math.isfinite(end)]
        name = f"Gain of pivot-aware over bilingual for {kind} concepts"
        bounds = (min([0.0, *ends]), max([0.0, *ends]))
        panels.append(
            {
                "title": f"{kind} concepts, gain over bilingual",
                "figure": figures.dot_plot(name, dots, bounds, "gain in accuracy", reference=0),
                "legend": legend([Key(color, f"{tokens:,} tokens", shape) for tokens, shape in marks.items()]),
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
    value, low, high = (math.nan if row[name] is None else float(row[name]) for name in ("value", "low", "high"))
    return value, low, high


def _told(row: Row, *, signed: bool = False) -> str:
    if row["value"] is None:
        return "–"
    value, low, high = (f"{end:+.2f}" if signed else f"{end:.2f}" for end in _ends(row))
    return f"{value} [{low}, {high}]"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f}%"

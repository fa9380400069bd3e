"""The sections on the run as a whole: its head, and the testbed's planted truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pivotkit.errors import InputError
from pivotkit.report import figures
from pivotkit.report.text import arrow, duration, memory, number, plain, visible


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

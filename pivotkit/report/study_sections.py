"""The sections on the run as a whole: its head, the testbed's planted truth, attribution."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from pivotkit.errors import InputError
from pivotkit.lens.behavior import STRICT
from pivotkit.report import figures
from pivotkit.report.svg import Key, legend
from pivotkit.report.text import arrow, duration, interval, memory, number, plain, visible

POOLED = "all"  # name of the pooled pairs in attribution.json
PREDICTORS = {
    "log_df_both": ("log co-occurrence", "c-target", "circle"),
    "log_df_source": ("log frequency of the source", "c-source", "square"),
    "log_df_target": ("log frequency of the target", "c-latent0", "triangle"),
    "log_min_df": ("log of the smaller frequency", "c-latent1", "diamond"),
    "pmi": ("PMI", "c-pivot", "cross"),
}


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


def attribution(run: dict[str, Any]) -> dict[str, Any] | None:
    """Return how well each predictor tells co-occurrence from pivot, by rule and pair, and for all pairs."""
    record = run["attribution"]
    if record is None:
        return None
    needed = ("rule", "pair", "predictor", "auc", "low", "high", "n_co_occurrence", "n_pivot")
    rules: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
    for entry in record.get("auc", []):
        missing = [key for key in needed if key not in entry]
        if missing:
            raise InputError("attribution.json", "", f"auc must have the keys {', '.join(missing)}; got {entry!r}")
        rules.setdefault(entry["rule"], {}).setdefault(entry["pair"], {})[entry["predictor"]] = entry
    used = [name for name in PREDICTORS if any(name in row for pairs in rules.values() for row in pairs.values())]
    used += sorted({name for pairs in rules.values() for row in pairs.values() for name in row} - set(used))
    panels = [_panel(rule, pairs, used, run["languages"]) for rule, pairs in sorted(rules.items(), key=_strict_first)]
    keys = [Key(color, label, shape) for label, color, shape in (_predictor(name) for name in used)]
    correlation = [
        {
            "where": "all pairs" if row.get("pair") == POOLED else arrow(row.get("pair") or "", run["languages"]),
            "predictor": _predictor(row.get("predictor", ""))[0],
            "n": row.get("n"),
            "r": number(row.get("r")),
            "interval": interval(row.get("low"), row.get("high")),
            "reason": visible(row.get("reason") or "no reason was recorded") if row.get("r") is None else "",
        }
        for row in record.get("correlation", [])
    ]
    return {
        "panels": panels,
        "predictors": [_predictor(name)[0] for name in used],
        "legend": legend(keys),
        "made": plain((record.get("settings") or {}).get("interval") or "bootstrap"),
        "correlation": correlation,
        "headline": panels[0]["headline"] if panels and panels[0]["rule"] == STRICT else None,
    }


def _strict_first(named: tuple[str, Any]) -> tuple[bool, str]:
    return named[0] != STRICT, named[0]


def _predictor(name: str) -> tuple[str, str, str]:
    return PREDICTORS.get(name, (visible(name), "c-other", "circle"))


def _panel(
    rule: str, pairs: dict[str, dict[str, dict[str, Any]]], used: list[str], languages: Collection[str]
) -> dict[str, Any]:
    rows, dots, headline = [], {}, None
    for pair in sorted(pairs, key=lambda pair: (pair != POOLED, pair)):
        label = "all pairs" if pair == POOLED else arrow(pair, languages)
        cells, marks = [], []
        for name in used:
            entry = pairs[pair].get(name)
            if entry is None:
                cells.append({"auc": "–", "interval": "", "reason": "not computed"})
                continue
            value, shown = entry["auc"], _predictor(name)
            cells.append(
                {
                    "auc": number(value),
                    "interval": interval(entry["low"], entry["high"]) if value is not None else "",
                    "reason": visible(entry.get("reason") or "no reason was recorded") if value is None else "",
                }
            )
            if value is not None:
                low, high = (float("nan") if end is None else end for end in (entry["low"], entry["high"]))
                note = f"{label}, {shown[0]}: {number(value)} {interval(low, high)}"
                marks.append(figures.Dot(shown[1], shown[2], value, low, high, note))
        one = next(iter(pairs[pair].values()))
        rows.append({"pair": label, "co_occurrence": one["n_co_occurrence"], "pivot": one["n_pivot"], "cells": cells})
        dots[label] = marks
        if pair == POOLED and "log_df_both" in used:
            headline = cells[used.index("log_df_both")]["auc"]
    figure = figures.dot_plot(
        f"AUC by predictor, rule {visible(rule)}", dots, (0, 1), "AUC (0.5 = no better than chance)", reference=0.5
    )
    return {"rule": visible(rule), "rows": rows, "figure": figure, "headline": headline}

"""The section on translation: scores by pair, and matrices of source by target."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow as pa

from pivotkit.lens.matrix import POOLED, score_matrix
from pivotkit.report import figures
from pivotkit.report.data import RESAMPLES, bootstrap_mean, by_pair, counted, floats
from pivotkit.report.svg import Key, legend
from pivotkit.report.text import arrow, ends, interval, number, visible, words_link

MEASURES = {
    "score": ("Mean score", "mean contrastive score"),
    "accuracy": ("Right source first", "share of items whose target is most likely after the right source word"),
    "greedy": ("Greedy decoding", "share of contexts in which greedy decoding gives the target"),
    "reciprocal_rank": ("Mean reciprocal rank", "mean of 1 / (1 + rank) of the target's first telling token"),
}


def score(run: dict[str, Any]) -> dict[str, Any] | None:
    """Return scores per pair: means, shares, accuracy at the last layer; and matrices of source by target."""
    if run["scores"] is None:
        return None
    matrix = {row["pair"]: row for row in score_matrix(run["scores"], resamples=RESAMPLES).to_pylist()}
    traces = by_pair(counted(run["traces"])) if run["traces"] is not None else {}
    rows, dots, shares, low = [], {}, {}, 0.0
    for pair, table in by_pair(counted(run["scores"])).items():
        label = arrow(pair, run["languages"])
        values = floats(table, "score")
        mean, bottom, top = (matrix[pair][name] for name in ("score", "score_low", "score_high"))
        share = bootstrap_mean(values > 0)
        right = correct(traces[pair]) if pair in traces else np.empty(0)
        accuracy = bootstrap_mean(right)
        rows.append(
            {
                "pair": label,
                "n": len(values),
                "excluded": matrix[pair]["excluded"],
                "score": number(mean),
                "interval": interval(bottom, top),
                "gold": number(float(floats(table, "p_gold").mean())),
                "positive": number(float(share[0])),
                "positive_interval": interval(float(share[1]), float(share[2])),
                "accuracy": number(float(accuracy[0])),
                "accuracy_interval": interval(float(accuracy[1]), float(accuracy[2])),
            }
        )
        note = f"{label}: {number(mean)} {interval(bottom, top)}, n = {len(values)}"
        dots[label] = [figures.Dot("c-ink", "circle", mean, bottom, top, note, link=words_link(pair))]
        low = min(low, bottom)
        shares[label] = [
            _share(pair, label, "score above 0", share, "c-ink", "circle"),
            _share(pair, label, "accuracy", accuracy, "c-target", "square"),
        ]
    figure = figures.dot_plot(
        "Mean contrastive score by pair", dots, (low, 1), "mean contrastive score (probability)", reference=0
    )
    beside = figures.dot_plot("Share above 0 and accuracy by pair", shares, (0, 1), "share of items")
    keys = [Key("c-ink", "score above 0", "circle"), Key("c-target", "accuracy at the last layer", "square")]
    return {
        "rows": rows,
        "figure": figure,
        "shares": beside,
        "legend": legend(keys),
        "mean": number(matrix[POOLED]["score"]),
        "matrices": [
            {"title": title, "note": note, **_matrix(matrix, measure, run["languages"])}
            for measure, (title, note) in MEASURES.items()
            if matrix[POOLED][measure] is not None
        ],
    }


def _matrix(matrix: dict[str, dict[str, Any]], measure: str, languages: Collection[str]) -> dict[str, Any]:
    """Return one measure as a table of source by target. Pairs that are not in the task have empty cells."""
    named = {ends(pair, languages): row for pair, row in matrix.items() if pair != POOLED}
    targets = sorted({target for _, target in named})
    rows = [
        {"source": visible(source), "cells": [_cell(named.get((source, target)), measure) for target in targets]}
        for source in sorted({source for source, _ in named})
    ]
    return {"targets": [visible(target) for target in targets], "rows": rows, "all": _cell(matrix[POOLED], measure)}


def _cell(row: dict[str, Any] | None, measure: str) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        "value": number(row[measure]),
        "interval": interval(row[f"{measure}_low"], row[f"{measure}_high"]),
        "part": max(row[measure] or 0.0, 0.0),
    }


def _share(pair: str, label: str, what: str, found: tuple[np.ndarray, ...], color: str, shape: str) -> figures.Dot:
    mean, low, high = (float(value) for value in found)
    note = f"{label}, {what}: {number(mean)} {interval(low, high)}"
    return figures.Dot(color, shape, mean, low, high, note, name=what, link=words_link(pair))


def correct(traces: pa.Table) -> np.ndarray:
    """Whether the first choice of the last layer can begin the target, for each item."""
    layers = traces["layer"].to_numpy()
    return np.asarray(floats(traces, "target_rank")[layers == layers.max()] == 0)

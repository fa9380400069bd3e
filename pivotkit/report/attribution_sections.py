"""The section on attribution: how well counts of the corpus tell co-occurrence behavior from pivot behavior."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from pivotkit.attribution.item_means import POOLED
from pivotkit.errors import InputError
from pivotkit.lens.behavior import STRICT
from pivotkit.report import figures
from pivotkit.report.figures import Dot
from pivotkit.report.svg import Key, legend
from pivotkit.report.text import arrow, interval, number, plain, visible, words_link

PREDICTORS = {
    "log_df_both": ("log co-occurrence", "c-target", "circle"),
    "log_df_source": ("log frequency of the source", "c-source", "square"),
    "log_df_target": ("log frequency of the target", "c-latent0", "triangle"),
    "log_min_df": ("log of the smaller frequency", "c-latent1", "diamond"),
    "log_df_both_given_df": ("log co-occurrence, given the frequencies", "c-ink", "circle"),
    "pmi": ("PMI", "c-pivot", "cross"),
    "similarity": ("likeness of the spellings", "c-other", "square"),
    "tokens_source": ("tokens of the source", "c-other", "triangle"),
    "tokens_target": ("tokens of the target", "c-other", "diamond"),
}


HEADLINE = "log_df_both"
NEEDED = {
    "auc": ("rule", "pair", "predictor", "auc", "low", "high", "n_co_occurrence", "n_pivot"),
    "auc_with_copy": ("rule", "pair", "predictor", "auc", "low", "high", "n_co_occurrence", "n_pivot"),
    "auc_by_group": ("rule", "positive", "by", "group", "predictor", "auc", "low", "high", "n"),
    "permutation": ("rule", "positive", "pair", "auc", "mean", "low", "high", "p", "n"),
    "correlation_by_group": ("by", "group", "predictor", "r", "low", "high", "n"),
    "fits": ("pair", "model", "term", "value", "low", "high", "n"),
    "points": ("item", "pair", "log_df_both", "score", "behavior"),
}

Row = dict[str, Any]


class Area(NamedTuple):
    """An AUC with its interval, and how its predictor is drawn. None where there is no AUC."""

    label: str
    color: str
    shape: str
    value: float | None
    low: float | None
    high: float | None
    reason: str

    @property
    def interval(self) -> str:
        """The interval as text; empty without an AUC."""
        return interval(self.low, self.high) if self.value is not None else ""

    def dot(self, row: str, link: str = "") -> list[Dot]:
        """The mark of a figure's row; none without an AUC."""
        if self.value is None:
            return []
        low, high = (float("nan") if end is None else end for end in (self.low, self.high))
        note = f"{row}, {self.label}: {number(self.value)} {interval(low, high)}"
        return [Dot(self.color, self.shape, self.value, low, high, note, name=self.label, link=link)]


def attribution(run: dict[str, Any]) -> dict[str, Any] | None:
    """Return how well each predictor tells co-occurrence from pivot, by rule and pair, and what stands beside it."""
    record = run["attribution"]
    if record is None:
        return None
    rows = {name: _checked(record, name) for name in NEEDED}
    names = run["languages"]
    rules: dict[str, list[Row]] = {}
    for row in rows["auc"]:
        rules.setdefault(row["rule"], []).append(row)
    there = {row["predictor"] for row in rows["auc"]}
    used = [name for name in PREDICTORS if name in there] + sorted(there - set(PREDICTORS))
    panels = [_panel(visible(rule), own, used, names) for rule, own in sorted(rules.items(), key=_strict_first)]
    with_copy = [row for row in rows["auc_with_copy"] if row["rule"] == STRICT]
    headline = headline_areas(run).get(HEADLINE)
    return {
        "panels": panels,
        "with_copy": _panel(f"{STRICT}, copy as co-occurrence", with_copy, used, names) if with_copy else None,
        "predictors": [_drawn(name)[0] for name in used],
        "legend": legend(Key(color, label, shape) for label, color, shape in map(_drawn, used)),
        "made": plain((record.get("settings") or {}).get("interval") or "bootstrap"),
        "permutation": [_permuted(row, names) for row in rows["permutation"] if row["rule"] == STRICT],
        "groups": [_grouped(row) for row in rows["auc_by_group"] if row["rule"] == STRICT],
        "correlation": [_related(row, "r", row.get("predictor", ""), names) for row in record.get("correlation", [])],
        "correlation_groups": [
            {"by": visible(row["by"]), "group": visible(row["group"])} | _related(row, "r", row["predictor"], names)
            for row in rows["correlation_by_group"]
        ],
        "fits": [{"model": _terms(row["model"])} | _related(row, "value", row["term"], names) for row in rows["fits"]],
        "scatter": _scatter(rows["points"], names),
        "headline": None if headline is None else number(headline.value),
        "headline_interval": "" if headline is None else headline.interval or visible(headline.reason),
    }


def headline_areas(run: dict[str, Any]) -> dict[str, Area]:
    """Return the AUC of every predictor over all pairs under the headline's rule; empty without them."""
    rows = [] if run["attribution"] is None else _checked(run["attribution"], "auc")
    return {row["predictor"]: _area(row) for row in rows if (row["rule"], row["pair"]) == (STRICT, POOLED)}


def _checked(record: Row, name: str) -> list[Row]:
    rows: list[Row] = record.get(name, [])
    for row in rows:
        if missing := [key for key in NEEDED[name] if key not in row]:
            raise InputError("attribution.json", "", f"{name} must have the keys {', '.join(missing)}; got {row!r}")
    return rows


def _strict_first(named: tuple[str, Any]) -> tuple[bool, str]:
    return named[0] != STRICT, named[0]


def _drawn(name: str) -> tuple[str, str, str]:
    return PREDICTORS.get(name, (visible(name), "c-other", "circle"))


def _terms(model: str) -> str:
    return " + ".join(_drawn(term)[0] for term in model.split(" + "))


def _area(row: Row) -> Area:
    return Area(*_drawn(row["predictor"]), row["auc"], row["low"], row["high"], _reason(row, "auc"))


def _reason(row: Row, value: str) -> str:
    return visible(row.get("reason") or "no reason was recorded") if row[value] is None else ""


def _place(pair: str, languages: Collection[str]) -> str:
    return "all pairs" if pair == POOLED else arrow(pair, languages)


def _panel(title: str, found: list[Row], used: list[str], languages: Collection[str]) -> Row:
    """The figure and the table of one rule."""
    pairs: dict[str, dict[str, Row]] = {}
    for row in found:
        pairs.setdefault(row["pair"], {})[row["predictor"]] = row
    rows, dots = [], {}
    for pair in sorted(pairs, key=lambda pair: (pair != POOLED, pair)):
        label, link = _place(pair, languages), "" if pair == POOLED else words_link(pair)
        areas = {name: _area(row) for name, row in pairs[pair].items()}
        cells = [
            {"auc": number(areas[name].value), "interval": areas[name].interval, "reason": areas[name].reason}
            if name in areas else {"auc": "–", "interval": "", "reason": "not computed"}
            for name in used
        ]  # fmt: skip
        one = next(iter(pairs[pair].values()))
        rows.append({"pair": label, "co_occurrence": one["n_co_occurrence"] + one.get("n_copy", 0),
                     "pivot": one["n_pivot"], "cells": cells})  # fmt: skip
        dots[label] = [dot for name in used if name in areas for dot in areas[name].dot(label, link)]
    figure = figures.dot_plot(
        f"AUC by predictor, rule {title}", dots, (0, 1), "AUC (0.5 = no better than chance)", reference=0.5
    )
    return {"rule": title, "rows": rows, "figure": figure}


def _permuted(row: Row, languages: Collection[str]) -> Row:
    return {"where": _place(row["pair"], languages), "positive": visible(row["positive"]), "n": row["n"]} | {
        "auc": number(row["auc"]), "mean": number(row["mean"]), "interval": interval(row["low"], row["high"]),
        "p": number(row["p"]), "reason": _reason(row, "auc"),
    }  # fmt: skip


def _grouped(row: Row) -> Row:
    area = _area(row)
    return {"by": visible(row["by"]), "group": visible(row["group"]), "positive": visible(row["positive"])} | {
        "predictor": area.label, "n": row["n"], "auc": number(area.value), "interval": area.interval or area.reason,
    }  # fmt: skip


def _related(row: Row, value: str, predictor: str, languages: Collection[str]) -> Row:
    return {
        "where": _place(row.get("pair") or "", languages),
        "predictor": _drawn(predictor)[0],
        "n": row.get("n"),
        "value": number(row.get(value)),
        "interval": interval(row.get("low"), row.get("high")),
        "reason": _reason({value: None, **row}, value),
    }


def _scatter(points: list[Row], languages: Collection[str]) -> Any:
    """The score of every item by its log co-occurrence, in the color of its behavior; None without points."""
    if not points:
        return None
    shown = [
        figures.Point(
            row["log_df_both"], row["score"], figures.COLORS.get(row["behavior"], "c-out"),
            f"{arrow(row['pair'], languages)}: {visible(row['behavior'] or 'no behavior')}",
            words_link(row["pair"], item=str(row["item"])),
        )
        for row in points
    ]  # fmt: skip
    return figures.scatter("Score by log co-occurrence", shown, "log co-occurrence", "contrastive score")

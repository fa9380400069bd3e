"""The sections on the model's layers: curves, behaviors, and how far behaviors depend on the rule."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from pivotkit.artifacts import table_metadata
from pivotkit.errors import InputError
from pivotkit.lens.behavior import POOLED, STRICT
from pivotkit.report import figures
from pivotkit.report.data import bootstrap_mean, by_pair, counted, floats
from pivotkit.report.figures import Line
from pivotkit.report.svg import Key, legend
from pivotkit.report.text import arrow, ends, interval, number, visible
from pivotkit.report.verdicts import hanging_lines, strict_lines

ROLES = ("source", "target", "pivot")
# What stands beside the pivots: the name in the legend and the color.
CONTROLS = {
    "control": ("tokens as frequent as the pivots", "c-other"),
    "matched": ("as frequent, and of the same form", "c-shared"),
    "other": ("pivots of other items of the pair", "c-mean"),
}
LINES = ("c-ink", "c-latent0", "c-latent1", "c-latent2", "c-source", "c-pivot")  # each with a dash of its own


def latent_languages(traces: pa.Table) -> list[str]:
    """Return the codes of the ``<code>_logmass`` columns, without `ROLES` and `CONTROLS`."""
    names = [name.removesuffix("_logmass") for name in traces.column_names if name.endswith("_logmass")]
    return [name for name in names if name not in (*ROLES, *CONTROLS)]


def token_sets(traces: pa.Table) -> list[str]:
    """Return the names of the sets whose tokens are known: of the ``<name>_ids`` columns, those that have a mass.

    Controls are left out: their tokens are no kind of their own.
    """
    names = [name.removesuffix("_ids") for name in traces.column_names if name.endswith("_ids")]
    return [name for name in names if f"{name}_logmass" in traces.column_names and name not in CONTROLS]


def colors(latent: list[str]) -> dict[str, str]:
    """Return the color class of every set of tokens whose mass is traced."""
    drawn = {role: f"c-{role}" for role in ROLES} | {name: color for name, (_, color) in CONTROLS.items()}
    return drawn | {code: f"c-latent{place % 3}" for place, code in enumerate(latent)}


def curves(run: dict[str, Any]) -> dict[str, Any] | None:
    """Return one panel per pair: masses and entropy by layer, and the kind of the top-1 token."""
    if run["traces"] is None:
        return None
    traces = counted(run["traces"])
    latent = latent_languages(traces)
    palette = colors(latent)
    top1_colors = palette | {"source and target": "c-shared", "something else": "c-other"}
    grids = {pair: grid(table, pair) for pair, table in by_pair(traces).items()}
    drawn = {pair: _masses(ends(pair, run["languages"]), *found, palette) for pair, found in grids.items()}
    highest = max((float(curve["high"].max()) for series in drawn.values() for curve in series), default=1.0)
    top = min(1.0, math.ceil(highest * 4 + 1e-9) / 4)  # one scale for all pairs makes them comparable
    entropies = {pair: floats(table, "entropy").reshape(n, -1).mean(axis=0) for pair, (table, _, n) in grids.items()}
    darkest = max((float(entropy.max()) for entropy in entropies.values()), default=0.0)
    names = run["languages"]
    panels: list[dict[str, Any]] = []
    kinds: set[str] = set()
    for pair, (table, layers, n) in grids.items():
        name, series = arrow(pair, names), drawn[pair]
        top1 = _top1(table, n, len(layers))
        kinds |= {kind for kind, share in top1.items() if share.any()}
        masses = figures.layer_curves(
            f"Probability mass by layer, {name}", layers, series, entropies[pair], top=top, darkest=darkest
        )
        panels.append(
            {
                "pair": name,
                "n": n,
                "masses": masses,
                "top1": figures.top1_shares(f"Top-1 token by layer, {name}", layers, top1, top1_colors),
                "peaks": [_peak(curve, layers, names) for curve in series],
            }
        )
    keys = [
        Key(palette[name], _role(name, names), "line") for name in palette if f"{name}_logmass" in traces.column_names
    ]
    return {
        "panels": panels,
        "legend": legend(keys),
        "top1_legend": legend(
            [
                Key(color, _role(kind, names) if kind in latent else kind, "box")
                for kind, color in top1_colors.items()
                if kind in kinds
            ]
        ),
        "error": table_metadata(traces).get("self_check_error"),
    }


def _masses(
    own: tuple[str, str], table: pa.Table, layers: list[int], n: int, palette: dict[str, str]
) -> list[dict[str, Any]]:
    """Return the mean mass of every set over the items that have the set, with its interval."""
    series = []
    for name in ("source", *latent_languages(table), "target", "pivot", *CONTROLS):
        # A latent language that is the pair's source or target would repeat that curve.
        if name in own or f"{name}_logmass" not in table.column_names:
            continue
        mass = np.exp(floats(table, f"{name}_logmass")).reshape(n, len(layers))
        mass = mass[np.isfinite(mass).all(axis=1)]
        if len(mass):
            mean, low, high = bootstrap_mean(mass)
            series.append(
                {"name": name, "n": len(mass), "color": palette[name], "mean": mean, "low": low, "high": high}
            )
    return series


def _role(name: str, names: dict[str, str]) -> str:
    if name in CONTROLS:
        return CONTROLS[name][0]
    return name if name in ROLES else f"{visible(names.get(name, name))} (latent language)"


def _peak(curve: dict[str, Any], layers: list[int], names: dict[str, str]) -> dict[str, str]:
    best = int(np.argmax(curve["mean"]))
    return {
        "name": _role(curve["name"], names),
        "n": str(curve["n"]),
        "layer": str(layers[best]),
        "mass": number(float(curve["mean"][best])),
        "interval": interval(float(curve["low"][best]), float(curve["high"][best])),
        "last": number(float(curve["mean"][-1])),
    }


def grid(table: pa.Table, pair: str) -> tuple[pa.Table, list[int], int]:
    """Return the rows of a pair by item and layer, the layers, and the number of items.

    An item that lacks a layer, or has it twice, raises an InputError.
    """
    table = table.sort_by([("item", "ascending"), ("layer", "ascending")])
    layers = sorted(set(table["layer"].to_pylist()))
    n = len(table["item"].unique())
    if table["layer"].to_pylist() != layers * n:
        raise InputError("traces", f"pair {pair}", f"every item must have each of the {len(layers)} layers once")
    return table, layers, n


def _top1(table: pa.Table, n: int, layers: int) -> dict[str, np.ndarray]:
    """Return the share of items per set that the top-1 token belongs to. A language needs a ``<code>_ids`` column."""
    sets, tops = {name: table[f"{name}_ids"].to_pylist() for name in token_sets(table)}, table["top_ids"].to_pylist()
    order = [name for name in ("target", "source", "pivot", *sets) if name in sets]
    kinds = []
    for row, ids in enumerate(tops):
        inside = [name for name in order if ids and ids[0] in (sets[name][row] or ())]
        both = "source" in inside and "target" in inside
        kinds.append("source and target" if both else inside[0] if inside else "something else")
    named = np.array(kinds).reshape(n, layers)
    ranked = ("target", "source and target", *(name for name in order if name != "target"), "something else")
    return {kind: (named == kind).mean(axis=0) for kind in dict.fromkeys(ranked)}


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
    panels = []
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
        figure = figures.behavior_bars(f"Behaviors under the rule {visible(rule)}", pairs)
        whole = sum(pairs.values(), Counter())
        told = whole["pivot"] + whole["co-occurrence"]
        total = number(whole["pivot"] / told if told else None)
        panels.append({"rule": visible(rule), "rows": rows, "figure": figure, "pooled": total})
    return {
        "panels": panels,
        "headline": panels[0] if panels and panels[0]["rule"] == STRICT else None,
        "hanging": hanging_lines(table),
        "strict": strict_lines(table, run["languages"]),
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

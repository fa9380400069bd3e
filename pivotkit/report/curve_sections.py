"""The section on the model's layers: what each layer makes probable, and what it holds for one item alone."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from markupsafe import Markup

from pivotkit.artifacts import table_metadata
from pivotkit.attribution.item_means import CONTROLS as CONTROLS_OF_PIVOTS
from pivotkit.errors import InputError
from pivotkit.report import figures
from pivotkit.report.data import bootstrap_mean, by_pair, concepts_of, counted, floats
from pivotkit.report.specific import CLASSES, class_shares
from pivotkit.report.svg import Key, legend
from pivotkit.report.text import arrow, ends, interval, number, visible, words_link

ROLES = ("source", "target", "pivot")
CONTROLS = {name: f"control: {label}" for name, label in CONTROLS_OF_PIVOTS.items()}  # sets beside the corpus's pivots
MEASURE = "share of items with a specific token"


class Grid(NamedTuple):
    """The rows of a pair by item and layer, the layers, and the number of items."""

    table: pa.Table
    layers: list[int]
    n: int


def latent_languages(traces: pa.Table) -> list[str]:
    """Return the codes of the ``<code>_logmass`` columns, without `ROLES` and `CONTROLS`."""
    names = [name.removesuffix("_logmass") for name in traces.column_names if name.endswith("_logmass")]
    return [name for name in names if name not in (*ROLES, *CONTROLS)]


def token_sets(traces: pa.Table) -> list[str]:
    """Return the names of the sets whose tokens are known: of the ``<name>_ids`` columns, those that have a mass."""
    names = [name.removesuffix("_ids") for name in traces.column_names if name.endswith("_ids")]
    return [name for name in names if f"{name}_logmass" in traces.column_names and name not in CONTROLS]


def colors(latent: list[str]) -> dict[str, str]:
    """Return the color class of every set of tokens whose mass is traced, in the order of the legend."""
    languages = {code: f"c-latent{place % 3}" for place, code in enumerate(latent)}
    return (
        {"source": "c-source", "target": "c-target"}
        | languages
        | {"pivot": "c-pivot"}
        | {name: f"c-{name}" for name in CONTROLS}
    )


def named(name: str, names: dict[str, str]) -> str:
    """What a set of tokens is called on the page; ``names`` are those of languages by code."""
    if name in ROLES:
        return "pivots of the corpus" if name == "pivot" else name
    return CONTROLS.get(name) or f"{visible(names.get(name, name))} (latent language)"


def grid(table: pa.Table, pair: str) -> Grid:
    """Return the rows of a pair by item and layer.

    An item that lacks a layer, or has it twice, raises an InputError.
    """
    table = table.sort_by([("item", "ascending"), ("layer", "ascending")])
    layers = sorted(set(table["layer"].to_pylist()))
    n = len(table["item"].unique())
    if table["layer"].to_pylist() != layers * n:
        raise InputError("traces", f"pair {pair}", f"every item must have each of the {len(layers)} layers once")
    return Grid(table, layers, n)


def grids(traces: pa.Table) -> dict[str, Grid]:
    """Return the grid of every pair."""
    return {pair: grid(table, pair) for pair, table in by_pair(traces).items()}


def masses(own: tuple[str, str], found: Grid) -> dict[str, np.ndarray]:
    """Return the mass (n, layers) of every set of a pair, in the order in which they are drawn; NaN without the set.

    A latent language that is the pair's source or target would repeat that curve, so it is left out.
    """
    table = found.table
    order = [*CONTROLS, "source", *latent_languages(table), "target", "pivot"]
    kept = [name for name in order if name not in own and f"{name}_logmass" in table.column_names]
    return {name: np.exp(floats(table, f"{name}_logmass")).reshape(found.n, len(found.layers)) for name in kept}


def summed(name: str, color: str, values: np.ndarray, groups: list[Any] | None = None) -> dict[str, Any] | None:
    """Return a curve: the mean over the items that have the set, with its interval; None where none has it."""
    there = np.isfinite(values).all(axis=1)
    if not there.any():
        return None
    kept = None if groups is None else [group for group, has in zip(groups, there, strict=True) if has]
    mean, low, high = bootstrap_mean(values[there], kept)
    return {"name": name, "n": int(there.sum()), "color": color, "mean": mean, "low": low, "high": high}


def class_curves(shown: dict[str, np.ndarray] | None, groups: list[Any] | None = None) -> list[dict[str, Any]]:
    """Return the curves of the classes of specific tokens."""
    curves = [summed(CLASSES[name][0], CLASSES[name][1], values, groups) for name, values in (shown or {}).items()]
    return [curve for curve in curves if curve is not None]


def mass_curves(found: dict[str, np.ndarray], palette: dict[str, str], groups: Any = None) -> list[dict[str, Any]]:
    """Return the curves of sets of tokens."""
    curves = [summed(name, palette[name], values, groups) for name, values in found.items()]
    return [curve for curve in curves if curve is not None]


def ceiling(curves: list[dict[str, Any]]) -> float:
    """Return the quarter above the highest band, for a scale that several figures share."""
    highest = max((float(curve["high"].max()) for curve in curves), default=1.0)
    return min(1.0, math.ceil(highest * 4 + 1e-9) / 4)


def curves(run: dict[str, Any]) -> dict[str, Any] | None:
    """Return one panel per pair: masses and entropy, specific tokens, and the kind of the top-1 token by layer."""
    if run["traces"] is None:
        return None
    traces = counted(run["traces"])
    names = run["languages"]
    palette = colors(latent_languages(traces))
    top1_colors = palette | {"source and target": "c-shared", "something else": "c-other"}
    pairs = grids(traces)
    drawn = {pair: mass_curves(masses(ends(pair, names), found), palette) for pair, found in pairs.items()}
    held = {pair: class_curves(class_shares(*found)) for pair, found in pairs.items()}
    top = ceiling([curve for series in drawn.values() for curve in series])  # one scale makes pairs comparable
    entropies = {
        pair: floats(found.table, "entropy").reshape(found.n, -1).mean(axis=0) for pair, found in pairs.items()
    }
    darkest = max((float(entropy.max()) for entropy in entropies.values()), default=0.0)
    panels: list[dict[str, Any]] = []
    kinds: set[str] = set()
    for pair, (table, layers, n) in pairs.items():
        name, series = arrow(pair, names), drawn[pair]
        top1 = _top1(table, n, len(layers))
        kinds |= {kind for kind, share in top1.items() if share.any()}
        panels.append(
            {
                "pair": name,
                "n": n,
                "link": words_link(pair),
                "masses": figures.layer_curves(
                    f"Probability mass by layer, {name}", layers, series, entropies[pair], top=top, darkest=darkest
                ),
                "held": _held(f"Specific tokens by layer, {name}", layers, held[pair]),
                "top1": figures.top1_shares(f"Top-1 token by layer, {name}", layers, top1, top1_colors),
                "peaks": [_peak(curve, layers, names) for curve in series],
            }
        )
    return {
        "panels": panels,
        "legend": set_legend(traces, names),
        "held_legend": class_legend() if any(held.values()) else "",
        "top1_legend": legend(
            [
                Key(color, kind if kind in ROLES else named(kind, names) if kind in palette else kind, "box")
                for kind, color in top1_colors.items()
                if kind in kinds
            ]
        ),
        "error": table_metadata(traces).get("self_check_error"),
    }


def pooled(run: dict[str, Any]) -> dict[str, Any] | None:
    """Return the two figures of all pairs together, with intervals over concepts, and their legends."""
    if run["traces"] is None:
        return None
    traces = counted(run["traces"])
    pairs, names = grids(traces), run["languages"]
    shapes = {tuple(found.layers) for found in pairs.values()}
    if len(shapes) != 1:  # no items, or pairs of different layers
        return None
    layers = list(shapes.pop())
    keys = [(pair, item) for pair, found in pairs.items() for item in found.table["item"].to_pylist()[:: len(layers)]]
    groups = concepts_of(run, keys)
    palette = colors(latent_languages(traces))
    each = [masses(ends(pair, names), found) for pair, found in pairs.items()]
    series = mass_curves(_joined(each, pairs, layers), palette, groups)
    shown = [class_shares(*found) or {} for found in pairs.values()]
    held = class_curves(_joined(shown, pairs, layers), groups)
    entropy, layer_of = floats(traces, "entropy"), traces["layer"].to_numpy()
    by_layer = np.array([entropy[layer_of == layer].mean() for layer in layers])
    return {
        "layers": layers,
        "n": len(keys),
        "series": series,
        "held_series": held,
        "masses": figures.layer_curves("Probability mass by layer, all pairs", layers, series, by_layer,
                                       top=ceiling(series), darkest=float(by_layer.max())),
        "held": _held("Specific tokens by layer, all pairs", layers, held),
        "legend": set_legend(traces, names),
        "held_legend": class_legend(),
    }  # fmt: skip


def _joined(each: list[dict[str, np.ndarray]], pairs: dict[str, Grid], layers: list[int]) -> dict[str, np.ndarray]:
    """The values of all pairs under one another; NaN for the items of a pair without them."""
    every = dict.fromkeys(name for own in each for name in own)
    order = sorted(every, key=lambda name: (name == "pivot", name == "target"))  # these lie on top of the others
    return {
        name: np.concatenate(
            [
                own.get(name, np.full((found.n, len(layers)), math.nan))
                for own, found in zip(each, pairs.values(), strict=True)
            ]
        )
        for name in order
    }


def _held(name: str, layers: list[int], series: list[dict[str, Any]]) -> Markup | None:
    if not series:
        return None
    return figures.layer_curves(name, layers, series, None, top=1.0, label=MEASURE)


def set_legend(traces: pa.Table, names: dict[str, str]) -> Markup:
    """Return the legend of the sets whose mass is traced."""
    palette = colors(latent_languages(traces))
    shown = [name for name in palette if f"{name}_logmass" in traces.column_names]
    shown = [name for name in shown if traces[f"{name}_logmass"].null_count < traces.num_rows]
    return legend(Key(palette[name], named(name, names), "line") for name in shown)


def class_legend() -> Markup:
    """Return the legend of the classes of specific tokens."""
    return legend(Key(color, label, "line") for label, color in CLASSES.values())


def _peak(curve: dict[str, Any], layers: list[int], names: dict[str, str]) -> dict[str, str]:
    best = int(np.argmax(curve["mean"]))
    return {
        "name": named(curve["name"], names),
        "n": str(curve["n"]),
        "layer": str(layers[best]),
        "mass": number(float(curve["mean"][best])),
        "interval": interval(float(curve["low"][best]), float(curve["high"][best])),
        "last": number(float(curve["mean"][-1])),
    }


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

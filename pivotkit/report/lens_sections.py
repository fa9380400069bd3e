"""The section that sets a fitted lens beside the raw one: what a layer holds, and when the answer is settled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pivotkit.artifacts import table_metadata
from pivotkit.errors import InputError
from pivotkit.report import figures
from pivotkit.report.curve_sections import grid, latent_languages
from pivotkit.report.data import bootstrap_mean, by_pair, counted, floats
from pivotkit.report.figures import Line
from pivotkit.report.specific import specific_places
from pivotkit.report.svg import Key, legend
from pivotkit.report.text import arrow, ends, interval, number, visible

RAW, FITTED, SPECIFIC = "c-source", "c-target", "c-pivot"
MASSES = (("c-target", "c-shared"), ("c-latent0", "c-latent1"))  # of the target and of a latent language: raw, fitted


class Both(NamedTuple):
    """A pair's rows through both lenses, by item and layer, and the layers that both have."""

    raw: pa.Table
    fitted: pa.Table
    layers: list[int]


def lenses(run: dict[str, Any]) -> dict[str, Any] | None:
    """Return divergence and agreement by layer through both lenses, the masses of each pair, and what follows."""
    if run["traces"] is None or run["fitted"] is None:
        return None
    raw = counted(run["traces"])
    pairs = _both(raw, run["fitted"].filter(pc.is_in(run["fitted"]["item"], raw["item"].combine_chunks())))
    if not pairs:
        return None
    layers = next(iter(pairs.values())).layers
    names = ("raw lens", visible(table_metadata(run["fitted"]).get("lens", "fitted lens")))
    sides = [[own[side] for own in pairs.values()] for side in (0, 1)]
    apart = [np.concatenate([floats(one, "kl_to_final").reshape(-1, len(layers)) for one in side]) for side in sides]
    first = [np.concatenate([_first(one, len(layers)) for one in side]) for side in sides]
    agree = [(one == one[:, -1:]).astype(float) for one in first]
    held = np.concatenate([_specific(one, len(layers)) for one in sides[0]])
    divergence = _lines(names, layers, apart)
    agreement = _lines(names, layers, agree)
    if len(held):
        agreement.append(Line("specific token, raw lens with contrast", SPECIFIC, _points(layers, held)))
    panels = [_panel(pair, own, names[1], run["languages"]) for pair, own in pairs.items()]
    return {
        "lens": names[1],
        "n": len(agree[0]),
        "divergence": figures.layer_lines(
            "Divergence from the last layer", divergence, "mean divergence, nats", log=True
        ),
        "agreement": figures.layer_lines("Share of items by layer", agreement, "share of items", top=1.0),
        "divergence_legend": _legend(divergence),
        "agreement_legend": _legend(agreement),
        "panels": panels,
        "rows": [row for panel in panels for row in panel["rows"]],
        "words": _words(names[1], [_settled(one, layers) for one in agree], held, layers),
    }


def _both(raw: pa.Table, fitted: pa.Table) -> dict[str, Both]:
    if "kl_to_final" not in raw.column_names:
        raise InputError("traces", "", "must have the column kl_to_final; run `pivotkit trace` again")
    ours, theirs = by_pair(raw), by_pair(fitted)
    found = {}
    for pair in ours:
        if pair not in theirs:
            continue
        shared = sorted(set(ours[pair]["layer"].to_pylist()) & set(theirs[pair]["layer"].to_pylist()))
        both = [grid(_of_layers(table, shared), pair)[0] for table in (ours[pair], theirs[pair])]
        if both[0]["item"].to_pylist() != both[1]["item"].to_pylist():
            raise InputError("traces_fitted", f"pair {pair}", "must have the items of traces; got others")
        found[pair] = Both(both[0], both[1], shared)
    return found


def _of_layers(table: pa.Table, layers: Sequence[int]) -> pa.Table:
    return table.filter(pa.array(np.isin(table["layer"].to_numpy(), layers)))


def _first(table: pa.Table, layers: int) -> np.ndarray:
    """The first choice of every item and layer."""
    return np.array([ids[0] for ids in table["top_ids"].to_pylist()]).reshape(-1, layers)


def _specific(table: pa.Table, layers: int) -> np.ndarray:
    """Whether a token is specific to the item at a layer, for items with contrasts: (n, layers)."""
    places = specific_places(table)
    found: np.ndarray = np.array([math.nan if own is None else bool(own) for own in places], dtype=float).reshape(
        -1, layers
    )
    known: np.ndarray = found[np.isfinite(found).all(axis=1)]
    return known


def _settled(agree: np.ndarray, layers: Sequence[int]) -> int:
    """The layer from which on half of the items have the last layer's first choice."""
    wrong = np.where(agree == 0, np.arange(1, agree.shape[1] + 1), 0).max(axis=1)
    return layers[int(np.sort(wrong)[(len(wrong) - 1) // 2])]


def _lines(names: Sequence[str], layers: Sequence[int], both: Sequence[np.ndarray]) -> list[Line]:
    return [
        Line(name, color, _points(layers, one)) for name, color, one in zip(names, (RAW, FITTED), both, strict=True)
    ]


def _points(layers: Sequence[int], values: np.ndarray) -> list[tuple[float, float]]:
    return list(zip(layers, values.mean(axis=0).tolist(), strict=True))


def _legend(lines: Sequence[Line]) -> Any:
    return legend(Key(line.color, line.name, "line") for line in lines)


def _panel(pair: str, both: Both, lens: str, names: dict[str, str]) -> dict[str, Any]:
    """The masses of target and latent languages of a pair through both lenses."""
    lines: list[Line] = []
    rows: list[dict[str, Any]] = []
    own = ends(pair, names)
    sets = ["target", *(code for code in latent_languages(both.raw) if code not in own)]
    for name in [name for name in sets if f"{name}_logmass" in both.fitted.column_names]:
        raw, fitted = (np.exp(floats(one, f"{name}_logmass")).reshape(-1, len(both.layers)) for one in both[:2])
        known = np.isfinite(raw).all(axis=1) & np.isfinite(fitted).all(axis=1)
        if not known.any():
            continue
        raw, fitted = raw[known], fitted[known]
        label = name if name == "target" else visible(names.get(name, name))
        if len(lines) < 2 * len(MASSES):
            colors = MASSES[len(lines) // 2]
            lines += [Line(f"{label}, raw lens", colors[0], _points(both.layers, raw))]
            lines += [Line(f"{label}, {lens}", colors[1], _points(both.layers, fitted))]
        best = int(np.argmax(raw[:, :-1].mean(axis=0))) if len(both.layers) > 1 else 0
        mean, low, high = bootstrap_mean(fitted[:, best] - raw[:, best])
        rows.append(
            {"pair": arrow(pair, names), "set": label, "n": len(raw), "layer": both.layers[best]}
            | {"raw": number(float(raw[:, best].mean())), "fitted": number(float(fitted[:, best].mean()))}
            | {"difference": number(float(mean)), "interval": interval(float(low), float(high))}
        )
    title = f"Probability mass by layer through both lenses, {arrow(pair, names)}"
    highest = max((value for line in lines for _, value in line.points), default=1.0)
    top = min(1.0, math.ceil(highest * 4 + 1e-9) / 4)
    figure = figures.layer_lines(title, lines, "mean probability mass", top=top)
    return {"pair": arrow(pair, names), "figure": figure, "legend": _legend(lines), "rows": rows}


def _words(lens: str, settled: Sequence[int], held: np.ndarray, layers: Sequence[int]) -> list[str]:
    """What follows, in sentences."""
    raw, fitted = settled
    told = [
        f"When the answer is settled: through the {lens}, half of the items have the model's own first choice from "
        f"layer {fitted} on; through the raw lens, from layer {raw} on."
    ]
    if not len(held):
        return [*told, "What a layer holds is not known here: no pair has enough items for contrasts."]
    shares = held[:, :-1].mean(axis=0)
    best = int(np.argmax(shares)) if len(shares) else 0
    if not len(shares) or math.isclose(shares[best], 0):
        return [*told, "What a layer holds: below the last layer, none shows a token that is specific to an item."]
    return [
        *told,
        f"What a layer holds: at layer {layers[best]} the raw lens shows a token that is specific to the item, by its "
        f"contrast, for {shares[best]:.0%} of items; below the last layer that is the most.",
    ]

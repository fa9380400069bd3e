"""Several runs of the same items side by side: of other models, or of checkpoints of one."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pivotkit.lens.behavior import STRICT
from pivotkit.report import figures
from pivotkit.report.attribution_sections import headline_areas
from pivotkit.report.causal_sections import CONTROLS, conclusion, headline_rows
from pivotkit.report.curve_sections import named, pooled
from pivotkit.report.data import bootstrap_mean, by_pair, concepts_of, counted, floats
from pivotkit.report.figures import BEHAVIORS, Dot, Line
from pivotkit.report.first_screen import shares, validity_lines
from pivotkit.report.model_sections import LINES
from pivotkit.report.score_sections import correct
from pivotkit.report.specific import CLASSES
from pivotkit.report.study_sections import head
from pivotkit.report.svg import Key, legend
from pivotkit.report.text import arrow, interval, number, visible

Row = dict[str, Any]
Runs = Sequence[tuple[str, Row]]  # by name
Values = dict[tuple[str, Any], float]  # of items, by pair and number


def comparison(folders: Sequence[Path], runs: Sequence[Row]) -> Row:
    """Return what the page of a comparison shows."""
    names = _labels(folders)
    every = list(zip(names, runs, strict=True))
    lines = dict(zip(names, itertools.cycle(LINES), strict=False))
    measured = [(title, note, [of(run) for run in runs]) for title, note, of in MEASURES]
    measured = [measure for measure in measured if any(measure[2])]
    return {
        "names": names,
        "about": [_about(name, run) for name, run in every],
        "prompts": [line for name, run in every[1:] for line in _other_prompts(names[0], runs[0], name, run)],
        "legend": legend(Key(lines[name], name, "line") for name in names),
        "measures": [_measure(title, note, every, values) for title, note, values in measured],
        "differences": [_differences(title, every, values) for title, _, values in measured],
        "behaviors": _behaviors(every),
        "changes": [_changes(names[0], runs[0], name, run) for name, run in every[1:]],
        "curves": _curves(every, lines),
        "pairs": [_by_pair(title, runs[0], values) for title, _, values in measured],
        "areas": _areas(every),
        "causes": _causes(every),
    }  # fmt: skip


def _labels(folders: Sequence[Path]) -> list[str]:
    """The name of each folder, with as many of those above it as tell it from the others."""
    parts = [folder.resolve().parts for folder in folders]
    deep = next(deep for deep in itertools.count(1) if len({part[-deep:] for part in parts}) == len(parts))
    return [visible("/".join(part[-deep:])) for part in parts]


def _about(name: str, run: Row) -> Row:
    layers = 0 if run["traces"] is None else max(run["traces"]["layer"].to_pylist(), default=0)
    missing = [stage for stage, made in (("score", "scores"), ("trace", "traces"), ("behaviors", "behaviors"),
               ("attribution", "attribution"), ("causal", "effects")) if run[made] is None]  # fmt: skip
    return {"name": name, "model": head(run)["model"], "layers": layers or "–", "cause": conclusion(run) or "–",
            "missing": ", ".join(f"pivotkit {stage}" for stage in missing)}  # fmt: skip


def _other_prompts(first: str, one: Row, name: str, other: Row) -> list[str]:
    """A line where prompts differ, as they do in the chat templates of two models."""
    both = zip(*(run["items"]["prompt"].to_pylist() for run in (one, other)), strict=True)
    n = sum(mine != theirs for mine, theirs in both)
    return [f"{n:,} items have another prompt in {name} than in {first}."] if n else []


# ---- values of items, and their means


def _accuracy(run: Row) -> Values:
    if run["traces"] is None:
        return {}
    return {
        (pair, item): float(right)
        for pair, table in by_pair(counted(run["traces"])).items()
        for item, right in zip(_last(table), correct(table), strict=True)
    }


def _last(table: pa.Table) -> list[Any]:
    """The items of a pair's traces, in the order of `correct`."""
    layers = table["layer"].to_numpy()
    items: list[Any] = table["item"].filter(pa.array(layers == layers.max())).to_pylist()
    return items


def _score(run: Row) -> Values:
    if run["scores"] is None:
        return {}
    table = counted(run["scores"])
    keys = zip(table["pair"].to_pylist(), table["item"].to_pylist(), strict=True)
    return dict(zip(keys, floats(table, "score").tolist(), strict=True))


def _pivot(run: Row) -> Values:
    return {key: float(behavior == "pivot") for key, behavior in _verdicts(run).items() if behavior != "excluded"}


def _verdicts(run: Row) -> dict[tuple[str, Any], str]:
    """The behavior of each item under the headline's rule."""
    if run["behaviors"] is None:
        return {}
    rows = run["behaviors"].select(["rule", "pair", "item", "behavior"]).to_pylist()
    return {(row["pair"], row["item"]): row["behavior"] for row in rows if row["rule"] == STRICT}


MEASURES: tuple[tuple[str, str, Callable[[Row], Values]], ...] = (
    ("Accuracy", "share of items", _accuracy),
    ("Contrastive score", "mean contrastive score (probability)", _score),
    ("Pivot", "share of the items that rule strict judges", _pivot),
)


def _mean(values: Values, run: Row) -> tuple[float, float, float]:
    found = bootstrap_mean(np.array(list(values.values())), concepts_of(run, list(values)))
    mean, low, high = (float(part) for part in found)
    return mean, low, high


def _measure(title: str, note: str, every: Runs, of_runs: Sequence[Values]) -> Row:
    dots, rows = {}, []
    for (name, run), values in zip(every, of_runs, strict=True):
        mean, low, high = _mean(values, run)
        dots[name] = [Dot("c-ink", "circle", mean, low, high, f"{name}: {number(mean)} {interval(low, high)}")]
        rows.append({"name": name, "n": len(values), "mean": number(mean), "interval": interval(low, high)})
    least = min([0.0, *(dot.low for marks in dots.values() for dot in marks if math.isfinite(dot.low))])
    return {"title": title, "rows": rows, "figure": figures.dot_plot(f"{title} by run", dots, (least, 1), note)}


def _differences(title: str, every: Runs, of_runs: Sequence[Values]) -> Row:
    """The mean difference from the first run over the items that both have, with an interval over concepts."""
    first, rows = of_runs[0], []
    for (name, run), other in zip(every[1:], of_runs[1:], strict=True):
        apart = {key: other[key] - value for key, value in first.items() if key in other}
        mean, low, high = _mean(apart, run)
        rows.append({"name": name, "n": len(apart), "mean": number(mean), "interval": interval(low, high)})
    return {"title": title, "rows": rows}


def _by_pair(title: str, run: Row, of_runs: Sequence[Values]) -> Row:
    """The mean of a measure by pair and run."""
    rows = []
    for code in sorted(set(run["items"]["pair"].to_pylist())):
        each = [[value for (pair, _), value in values.items() if pair == code] for values in of_runs]
        cells = [number(float(np.mean(own)) if own else None) for own in each]
        rows.append({"pair": arrow(code, run["languages"]), "cells": cells})
    return {"title": title, "rows": rows}


# ---- behaviors, curves, attribution, causes


def _behaviors(every: Runs) -> Row | None:
    counts = {name: Counter(_verdicts(run).values()) for name, run in every}
    counts = {name: found for name, found in counts.items() if found}
    if not counts:
        return None
    rows = []
    for name, run in every:
        judged, found = shares(run)
        cells = [f"{number(found[one][0])} {interval(*found[one][1:])}" if one in found else "–"
                 for one in BEHAVIORS[:-1]]  # fmt: skip
        rows.append({"name": name, "n": judged, "cells": cells})
    return {
        "figure": figures.behavior_bars(f"Behaviors under the rule {STRICT} by run", counts),
        "legend": legend(figures.behavior_keys()),
        "names": BEHAVIORS[:-1],
        "rows": rows,
        "validity": [
            (name, line) for name, run in every if run["behaviors"] is not None
            for line in validity_lines(run["behaviors"], run["languages"])
        ],
    }  # fmt: skip


def _changes(first: str, one: Row, name: str, other: Row) -> Row:
    """How many items of each behavior in the first run show which in another."""
    mine, theirs = _verdicts(one), _verdicts(other)
    found = Counter((behavior, theirs[key]) for key, behavior in mine.items() if key in theirs)
    rows = []
    for behavior in BEHAVIORS:
        own = [found[behavior, then] for then in BEHAVIORS]
        if sum(own):
            rows.append({"name": behavior, "cells": [(n, n / sum(own)) for n in own]})
    return {"first": first, "name": name, "columns": BEHAVIORS, "rows": rows}


def _curves(every: Runs, lines: dict[str, str]) -> list[Row]:
    """Every curve of all pairs, one line a run, by depth: the layer's number divided by the last one's."""
    found = [(name, curves) for name, run in every if (curves := pooled(run)) is not None]
    panels: list[Row] = []
    for kind, label, title in (
        ("series", "mean probability mass", "probability"),
        ("held_series", "share of items with a specific token", "contrast"),
    ):
        order = ("source", "target", "pivot") if kind == "series" else tuple(shown for shown, _ in CLASSES.values())
        sets = dict.fromkeys(curve["name"] for _, curves in found for curve in curves[kind])
        for one in sorted(sets, key=lambda one: (one not in order, order.index(one) if one in order else 0)):
            drawn, rows = [], []
            for name, curves in found:
                curve = next((curve for curve in curves[kind] if curve["name"] == one), None)
                if curve is None:
                    continue
                layers = curves["layers"]
                depth = [layer / max(layers[-1], 1) for layer in layers]
                mean, low, high = (curve[part].tolist() for part in ("mean", "low", "high"))
                drawn.append(Line(name, lines[name], list(zip(depth, mean, strict=True)), (low, high)))
                best = int(np.argmax(curve["mean"]))
                row = {"name": name, "n": curve["n"], "layer": layers[best], "of": layers[-1]}
                rows.append(row | {"mean": number(mean[best]), "interval": interval(low[best], high[best])})
            shown = named(one, every[0][1]["languages"]) if kind == "series" else one
            figure = figures.share_lines(f"{shown}, {title}, by depth", drawn, "depth (layer / last layer)", label)
            panels.append({"set": shown, "kind": title, "figure": figure, "rows": rows})
    return panels


def _areas(every: Runs) -> Row | None:
    """The AUC of every predictor over all pairs under the headline's rule."""
    found = {name: headline_areas(run) for name, run in every}
    if not any(found.values()):
        return None
    shown = list(dict.fromkeys(one for areas in found.values() for one in areas))
    dots, rows = {}, []
    for name, areas in found.items():
        dots[name] = [dot for area in areas.values() for dot in area.dot(name)]
        cells = [f"{number(areas[one].value)} {areas[one].interval or areas[one].reason}" if one in areas else "–"
                 for one in shown]  # fmt: skip
        rows.append({"name": name, "cells": cells})
    every_area = {one: area for areas in found.values() for one, area in areas.items()}
    keys = {one: Key(every_area[one].color, every_area[one].label, every_area[one].shape) for one in shown}
    return {
        "figure": figures.dot_plot("AUC by run", dots, (0, 1), "AUC (0.5 = no better than chance)", reference=0.5),
        "legend": legend(keys.values()),
        "predictors": [key.label for key in keys.values()],
        "rows": rows,
    }


def _causes(every: Runs) -> Row | None:
    """What removing the pivot does in each run and layer: its part that is neither word's first."""
    dots: dict[str, list[Dot]] = {}
    rows = []
    for name, run in every:
        for layer, controls in headline_rows(run).items():
            label = f"layer {layer}, {name}"
            dots[label] = []
            for control in ("orthogonal", "own", "other"):
                if control not in controls:
                    continue
                value, low, high = controls[control].estimate
                _, color, shape = CONTROLS[control]
                note = f"{label}, {control}: {number(value, 2)} {interval(low, high, 2)}"
                dots[label].append(Dot(color, shape, value, low, high, note, name=control))
            rows.append({"name": name, "layer": layer, "n": next(iter(controls.values())).concepts}
                        | {"cells": [controls[one].told if one in controls else "–"
                                     for one in ("orthogonal", "own", "other", "apart")]})  # fmt: skip
    if not rows:
        return None
    ends = [end for marks in dots.values() for dot in marks for end in dot[2:5] if math.isfinite(end)]
    span = (min([0.0, *ends]), max([0.0, *ends]))
    room = 0.04 * (span[1] - span[0]) or 1.0
    keys = [
        Key(CONTROLS[one][1], f"{one}: {CONTROLS[one][0]}", CONTROLS[one][2]) for one in ("orthogonal", "own", "other")
    ]
    return {
        "figure": figures.dot_plot("Change of the target's log-probability without the pivot, by run and layer", dots,
                                   (span[0] - room, span[1] + room), "change of the target's log-probability, nats",
                                   reference=0),
        "legend": legend(keys),
        "rows": rows,
    }  # fmt: skip

"""The section on causes: what the answer loses where a token's direction is changed, beside its controls."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from pivotkit.artifacts import table_metadata
from pivotkit.report import figures
from pivotkit.report.figures import Dot
from pivotkit.report.svg import Key, legend
from pivotkit.report.text import interval, number, visible

# What each control is, with its color and shape where the figure shows it; the headline first.
CONTROLS = {
    "orthogonal": ("the token's direction without source's and target's, removed", "c-ink", "diamond"),
    "orthogonal-equal": ("the same, reflected: as much is taken as by its own", "c-latent2", "triangle"),
    "own": ("the token's own direction", "c-pivot", "circle"),
    "other": ("another item's token", "c-latent1", "cross"),
    "matched": ("tokens as near to source and target, not shown", "c-latent0", "square"),
    "target": ("the target's own direction", "c-target", "triangle"),
    "source": ("the source's own direction", "c-source", "square"),
}
REST = {
    "random": "random directions, as much removed",
    "frequency": "tokens of about the same frequency, written alike",
    "shared": "the part shared with source and target alone",
    "own-reduced": "its own direction, as much removed as by the orthogonal part",
}
HEADLINE = {"intervention": "ablate", "direction": "unembedding", "mean": False}
CLASSES = ("pivot", "direct", "copy")
LEAST_CONCEPTS = 10  # of a layer from which something follows

Row = dict[str, Any]


def cause(run: dict[str, Any]) -> dict[str, Any] | None:
    """Return figures and tables of the causal test by layer and class, and what follows from them in words."""
    if run["effects"] is None:
        return None
    rows: list[Row] = run["effects"].to_pylist()
    told = [row for row in rows if _is(row, HEADLINE)]
    panels = [_panel(name, [row for row in told if row["class"] == name]) for name in _classes(told)]
    shown = [name for name in CONTROLS if any(row["control"] == name for row in told)]
    return {
        "words": _words([row for row in told if row["class"] == "pivot"]),
        "panels": panels,
        "legend": legend(Key(CONTROLS[name][1], f"{name}: {CONTROLS[name][0]}", CONTROLS[name][2]) for name in shown),
        "others": [table for table in map(lambda kind: _table(rows, *kind), _kinds(rows)) if table["rows"]],
        "swap": _swap_words(rows),
        "left_out": _left_out(run["causal"]),
    }


class Effect(NamedTuple):
    """A figure of the headline for pivots: its estimate with its interval, as numbers and as text; its concepts."""

    estimate: tuple[float, float, float]
    told: str
    concepts: int


def headline_rows(run: dict[str, Any]) -> dict[int, dict[str, Effect]]:
    """Return for each layer the figure of every control; ``apart`` is the orthogonal less another item's pivot."""
    rows = [] if run["effects"] is None else run["effects"].to_pylist()
    found: dict[int, dict[str, Effect]] = {}
    for row in sorted(rows, key=lambda row: row["layer"]):
        if not _is(row, HEADLINE) or row["class"] != "pivot":
            continue
        name = row["control"] if row["against"] is None else ""
        if (row["control"], row["against"]) == ("orthogonal", "other"):
            name = "apart"
        if name:
            found.setdefault(row["layer"], {})[name] = Effect(_estimate(row), _told(row), row["concepts"])
    return found


def conclusion(run: dict[str, Any]) -> str | None:
    """Return what follows for pivots from all layers tested, in one sentence; None without the test."""
    if run["effects"] is None:
        return None
    rows = [row for row in run["effects"].to_pylist() if _is(row, HEADLINE) and row["class"] == "pivot"]
    return _words(rows)[0]


def _is(row: Row, wanted: dict[str, Any]) -> bool:
    return all(row[name] == value for name, value in wanted.items())


def _classes(rows: Iterable[Row]) -> list[str]:
    found = {row["class"] for row in rows} - {None}
    return [name for name in CLASSES if name in found] + sorted(found - set(CLASSES))


def _plain(rows: Iterable[Row]) -> list[Row]:
    """The rows that are means, not differences from a control."""
    return [row for row in rows if row["against"] is None]


def _panel(name: str, rows: list[Row]) -> Row:
    """The figure and the table of one class of tokens."""
    plain = {(row["layer"], row["control"]): row for row in _plain(rows)}
    layers = sorted({layer for layer, _ in plain})
    dots = {}
    for layer in layers:
        own = [plain[layer, control] for control in CONTROLS if (layer, control) in plain]
        dots[f"layer {layer}"] = [
            Dot(
                *CONTROLS[row["control"]][1:], *_estimate(row), f"layer {layer}, {row['control']}: {_told(row)}",
                name=row["control"],
            )
            for row in own
        ]  # fmt: skip
    ends = [end for marks in dots.values() for mark in marks for end in (mark.value, mark.low, mark.high)]
    span = min([0.0, *filter(math.isfinite, ends)]), max([0.0, *filter(math.isfinite, ends)])
    room = 0.04 * (span[1] - span[0]) or 1.0
    figure = figures.dot_plot(
        f"Change of the target's log-probability by layer, {visible(name)} tokens", dots,
        (span[0] - room, span[1] + room), "change of the target's log-probability, nats", reference=0,
    )  # fmt: skip
    order = [*CONTROLS, *REST]
    listed = sorted(
        (row for row in _plain(rows)),
        key=lambda row: (row["layer"], order.index(row["control"]) if row["control"] in order else len(order)),
    )
    return {"class": visible(name), "figure": figure, "rows": [_listed(row, rows) for row in listed]}


def _estimate(row: Row) -> tuple[float, float, float]:
    value, low, high = (math.nan if row[name] is None else row[name] for name in ("delta_logprob", "low", "high"))
    return value, low, high


def _told(row: Row) -> str:
    value, low, high = _estimate(row)
    return number(value, 2) + (f" {interval(low, high, 2)}" if math.isfinite(low) else "")


def _listed(row: Row, rows: list[Row]) -> Row:
    against = _against(rows, row["layer"], row["control"])
    return {
        "layer": row["layer"],
        "control": visible(row["control"]),
        "headline": row["control"] in ("orthogonal", "orthogonal-equal"),
        "what": CONTROLS.get(row["control"], (REST.get(row["control"], ""),))[0],
        "n": row["items"],
        "concepts": row["concepts"],
        "effect": _told(row),
        "against": "–" if against is None else _told(against),
        "rank": number(row["delta_rank"], 1),
        "removed": number(row["removed"], 1),
    }


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def _against(rows: Iterable[Row], layer: int, control: str, other: str = "other") -> Row | None:
    """The paired difference of a control from another one."""
    found = (row for row in rows if (row["layer"], row["control"], row["against"]) == (layer, control, other))
    return next(found, None)


def _words(rows: list[Row]) -> list[str]:
    """What follows for pivots, layer by layer, and in all: from the orthogonal figures, the others beside them."""
    plain = {(row["layer"], row["control"]): row for row in _plain(rows)}
    layers = sorted({layer for layer, control in plain if control == "orthogonal"})
    if not layers:
        return ["No item that the model solves holds a pivot that could be tested."]
    told, own_part = [], []
    for layer in layers:
        part, differs = plain[layer, "orthogonal"], _against(rows, layer, "orthogonal")
        sentence = f"Layer {layer} ({_count(part['items'], 'item')}, {_count(part['concepts'], 'concept')}): "
        sentence += "removing the part of the pivot"
        sentence += f" that is neither source's nor target's changes the answer by {_told(part)} nats"
        if (layer, "own") in plain:
            own = plain[layer, "own"]
            sentence += f"; the pivot's whole direction, {_told(own)}{_share(part, own)}"
        verdict = None if differs is None else _verdict(differs)
        if differs is not None:
            sentence += f". Less what another item's pivot does, it is {_told(differs)}: {VERDICTS[verdict]}"
            own_part.append((layer, verdict))
        told.append(sentence + ".")
        reflected, moved = plain.get((layer, "orthogonal-equal")), _against(rows, layer, "orthogonal-equal")
        if reflected is not None:
            more = "" if moved is None else f", and {_told(moved)} less what another item's pivot does"
            told[-1] += (
                f" Reflected, so that as much is taken as by the whole direction, it changes the answer by "
                f"{_told(reflected)}{more}."
            )
    return [_conclusion(own_part), *told]


def _share(part: Row, own: Row) -> str:
    """How much of the whole direction's effect the part has, where both are losses."""
    lost, whole = part["delta_logprob"], own["delta_logprob"]
    return f", of which that is {lost / whole:.0%}" if lost <= 0 and whole < 0 else ""


VERDICTS = {
    "own": "a part of its own, beside the concept that it shares with the two words",
    "reading": "the interval holds 0, so no part of its own shows here",
    "against": "without it the answer gains, so it is no station on the way here",
    None: f"fewer than {LEAST_CONCEPTS} concepts, so nothing follows",
}


def _verdict(row: Row) -> str | None:
    _, low, high = _estimate(row)
    if row["concepts"] < LEAST_CONCEPTS or not (math.isfinite(low) and math.isfinite(high)):
        return None
    return "own" if high < 0 else "against" if low > 0 else "reading"


def _conclusion(verdicts: list[tuple[int, str | None]]) -> str:
    own = [str(layer) for layer, verdict in verdicts if verdict == "own"]
    none = [str(layer) for layer, verdict in verdicts if verdict in ("reading", "against")]
    if own and none:
        return (
            f"{_at(own)} the pivot is a station with a part of its own. {_at(none)} it is, as far as this shows, "
            "a reading of a concept that source and target share with it."
        )
    if own:
        return f"In every layer tested ({', '.join(own)}) the pivot is a station with a part of its own."
    if none:
        return (
            f"In no layer tested ({', '.join(none)}) does the pivot show a part of its own: what its direction carries "
            "is, as far as this shows, a concept that it shares with source and target."
        )
    return f"No layer tested has {LEAST_CONCEPTS} concepts whose pivot the test reaches, so nothing follows yet."


def _at(layers: list[str]) -> str:
    return f"At layer{'s' * (len(layers) > 1)} {', '.join(layers)}"


def _swap_words(rows: list[Row]) -> list[str]:
    """How far a swap moves the answer to the other item's translation."""
    wanted = HEADLINE | {"intervention": "swap"}
    found = [row for row in _plain(rows) if _is(row, wanted) and row["class"] == "pivot" and row["control"] in SWAPPED]
    return [
        f"Layer {row['layer']}, {SWAPPED[row['control']]}: the other item's translation changes by "
        f"{number(row['delta_other_logprob'], 2)} nats, the item's own by {_told(row)} "
        f"({_count(row['items'], 'item')})."
        for row in sorted(found, key=lambda row: (row["layer"], list(SWAPPED).index(row["control"])))
    ]


SWAPPED = {
    "own": "pivots exchanged",
    "orthogonal": "their parts exchanged that are neither source's nor target's",
    "random": "random directions exchanged",
}


def _kinds(rows: Iterable[Row]) -> list[tuple[str, str | None, bool]]:
    """The kinds of interventions beside the headline's."""
    kinds = dict.fromkeys((row["intervention"], row["direction"], bool(row["mean"])) for row in rows)
    return [kind for kind in kinds if kind != tuple(HEADLINE.values())]


def _table(rows: Iterable[Row], intervention: str, direction: str | None, mean: bool) -> Row:
    """Every figure of one kind of intervention."""
    own = {"intervention": intervention, "direction": direction, "mean": mean}
    found = [row for row in _plain(rows) if _is(row, own)]
    found.sort(key=lambda row: (row["layer"], str(row["class"]), row["strength"] or 0, str(row["control"])))
    listed = [
        {"layer": row["layer"], "class": visible(row["class"] or "–"), "control": visible(row["control"])}
        | {"strength": "–" if row["strength"] is None else number(row["strength"], 2), "n": row["items"]}
        | {"effect": _told(row), "other": number(row["delta_other_logprob"], 2), "rank": number(row["delta_rank"], 1)}
        for row in found
    ]
    title = intervention + ("" if direction is None else f", direction of the {direction}")
    title += ", towards the other items' mean" if mean else ""
    return {"title": visible(title), "rows": listed}


def _left_out(causal: Any) -> list[Row]:
    """What was left out and why: of how many items, and how many times."""
    ledger = [] if causal is None else table_metadata(causal).get("left_out", [])
    found: dict[tuple[str, str], list[Any]] = {}
    for entry in ledger:
        what = entry.get("what", "the item" if "layer" not in entry else "the token of a layer")
        found.setdefault((visible(what), visible(entry["reason"])), []).append(entry["item"])
    return [
        {"what": what, "why": why, "n": len(set(items)), "times": len(items)}
        for (what, why), items in sorted(found.items())
    ]

"""The experiment's figures as one small object: for the report, and to be recorded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pivotkit.testbed.experiment.arms import ARMS, BEFORE, GRID_ARMS
from pivotkit.testbed.experiment.statements import accuracy, interval, judged, less, per_concept

KINDS = ("pivot", "direct")


def summary(units: Mapping[str, Sequence[Mapping[str, Any]]], grid: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sum up the units of each pool and of the grid.

    Returns
    -------
    dict
        ``pools``: for each pool its ``seeds``, ``arms`` (accuracy by kind with intervals, loss by language, facts) and
        their ``order``, ``curves`` (mean accuracy by kind, arm and step), ``statements`` (`judged`), ``behaviors`` of
        the base and ``causal``. ``grid``: one row per share and budget with the gain over bilingual, by kind. All
        numbers are rounded to 4 places.
    """
    found = {
        "pools": {pool: _pool(list(own)) for pool, own in units.items() if own},
        "grid": _grid(grid),
        "cpu_seconds": {
            pool: [sum(unit["cpu_seconds"].values()) for unit in own] for pool, own in units.items() if own
        },
    }
    rounded: dict[str, Any] = _rounded(found)
    return rounded


def _pool(units: list[Mapping[str, Any]]) -> dict[str, Any]:
    arms = [BEFORE, *(arm for arm in ARMS if all(arm in unit["arms"] for unit in units))]
    steps = [point["step"] for point in units[0]["arms"][arms[-1]]["curve"]]
    return {
        "seeds": [unit["seed"] for unit in units],
        "order": arms,
        "arms": {arm: _arm(units, arm) for arm in arms},
        "steps": [0, *steps],
        "curves": {kind: {arm: _curve(units, arm, kind, len(steps)) for arm in arms[1:]} for kind in KINDS},
        "statements": judged(units),
        "behaviors": _behaviors(units),
        "causal": _causal(units),
    }


def _arm(units: list[Mapping[str, Any]], arm: str) -> dict[str, Any]:
    found: dict[str, Any] = {kind: asdict(interval(per_concept(units, arm, kind))) for kind in KINDS}
    found["loss"] = _mean([unit["arms"][arm]["curve"][-1]["loss"] for unit in units])
    if arm != BEFORE:
        found["facts"] = _mean([unit["arms"][arm]["facts"] for unit in units])
    return found


def _curve(units: list[Mapping[str, Any]], arm: str, kind: str, checkpoints: int) -> list[float]:
    """The mean accuracy before the training and at each checkpoint."""
    points = [per_concept(units, BEFORE, kind), *(per_concept(units, arm, kind, at) for at in range(checkpoints))]
    return [float(np.mean(np.concatenate(point))) for point in points]


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _behaviors(units: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """How many items of each kind of concept show which behavior on the base models."""
    found: dict[str, dict[str, int]] = {}
    for unit in units:
        for kind, counts in unit["behaviors"].items():
            for behavior, number in counts.items():
                found.setdefault(kind, {}).setdefault(behavior, 0)
                found[kind][behavior] += number
    return found


def _causal(units: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What removing the own pivot does beyond removing another's, in nats, and how much more than before the training.

    ``effect`` is over the concepts that the arm answers; ``more`` compares those that the base answers too.
    """
    found: dict[str, Any] = {}
    for arm in units[0]["causal"]:
        tested = [unit["causal"][arm]["concepts"] for unit in units]
        before = [unit["causal"][BEFORE]["concepts"] for unit in units]
        found[arm] = {"effect": asdict(interval([list(concepts.values()) for concepts in tested]))}
        if arm != BEFORE:
            apart = [
                [effect - base[at] for at, effect in concepts.items() if at in base]
                for concepts, base in zip(tested, before, strict=True)
            ]
            found[arm]["more"] = asdict(interval(apart))
    return found


def _grid(units: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The gain of pivot-aware over bilingual at each share and budget, with intervals."""
    places = [(cell["share"], cell["tokens"]) for cell in units[0]["cells"]] if units else []
    rows = []
    for at, (share, tokens) in enumerate(places):
        row: dict[str, Any] = {"share": share, "tokens": tokens, "seeds": len(units)}
        for kind in KINDS:
            rich, mixed = (
                [accuracy(unit["items"], unit["cells"][at]["arms"][arm]["correct"], kind) for unit in units]
                for arm in GRID_ARMS
            )
            row[kind] = {"gain": asdict(interval(less(rich, mixed)))} | {
                arm: float(np.mean(np.concatenate(values)))
                for arm, values in zip(GRID_ARMS, (rich, mixed), strict=True)
            }
        rows.append(row)
    return rows


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value

"""Made-up figures of the experiment, in the form of its summary: chance answers, more of them in later arms."""

from __future__ import annotations

from typing import Any

import numpy as np

from pivotkit.testbed.experiment.arms import ARMS, BEFORE, GRID_ARMS
from pivotkit.testbed.experiment.setting import POOLS
from pivotkit.testbed.experiment.summary import summary

ITEMS = [
    {"pair": pair, "concept": concept, "kind": ("direct", "pivot")[concept % 2]}
    for pair in ("a-b", "b-a")
    for concept in range(12)
]


def made_figures() -> dict[str, Any]:
    """Three seeds of both pools, and two of a grid of four cells."""
    random = np.random.default_rng(0)
    units = {pool: [_unit(random, seed) for seed in range(3)] for pool in POOLS}
    made = {"command": "pivotkit demo --full", "date": "2026-11-30", "machine": "a machine", "torch": "2.13.0"}
    return summary(units, [_grid_unit(random, seed) for seed in range(2)]) | {"made": made}


def _asked(random: np.random.Generator, share: float) -> dict[str, Any]:
    correct = "".join("1" if lucky else "0" for lucky in random.random(len(ITEMS)) < share)
    return {"correct": correct, "loss": {language: 3 + float(random.random()) for language in "pab"}}


def _unit(random: np.random.Generator, seed: int) -> dict[str, Any]:
    facts = {"documents": 100, "tokens": 1000, "parallel": 0.2, "with P": 0.3, "pivot tokens": 0.1}
    arms: dict[str, Any] = {BEFORE: {"curve": [{"step": 0} | _asked(random, 0.1)]}}
    for place, arm in enumerate(ARMS):
        curve = [{"step": step} | _asked(random, step * place / 200) for step in (5, 10)]
        arms[arm] = {"facts": facts, "curve": curve}
    tested = (BEFORE, "pivot-aware", "parallel", "bilingual")
    return {
        "seed": seed,
        "items": ITEMS,
        "arms": arms,
        "behaviors": {"direct": {"co-occurrence": 9, "unsolved": 3}, "pivot": {"pivot": 2, "unsolved": 10}},
        "causal": {arm: {"concepts": {str(at): float(-random.random()) for at in (1, 3, 5)}} for arm in tested},
        "cpu_seconds": {"base": 20.0, "arms": 100.0},
    }


def _grid_unit(random: np.random.Generator, seed: int) -> dict[str, Any]:
    cells = [
        {"share": share, "tokens": tokens, "arms": {arm: _asked(random, 0.5) for arm in GRID_ARMS}}
        for share in (0.1, 0.5)
        for tokens in (1000, 2000)
    ]
    return {"seed": seed, "items": ITEMS, "cells": cells}

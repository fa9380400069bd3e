"""One unit of the grid: pivot-aware beside bilingual, by the share of documents with pivots and by the budget."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pivotkit.testbed.experiment.arms import ARMS, BEFORE, GRID_ARMS, Chooser
from pivotkit.testbed.experiment.asking import Questions
from pivotkit.testbed.experiment.clock import Clock
from pivotkit.testbed.experiment.facts import facts
from pivotkit.testbed.experiment.pool import make_pool
from pivotkit.testbed.experiment.setting import Setting, grid_setting
from pivotkit.testbed.experiment.training import continue_on, train_base


def run_grid_unit(setting: Setting, seed: int, shares: Sequence[float], steps: Sequence[int]) -> dict[str, Any]:
    """Train one base on the world of ``setting``, and both arms in a pool of each share by each number of steps.

    Concepts, and so words and kinds, are those of the seed, whatever the shares of documents.

    Returns
    -------
    dict
        ``seed, items, cpu_seconds``; ``before``, what `Questions.ask` gives for the base; ``cells``, one for each share
        and budget: ``share, tokens``, and for each of `GRID_ARMS` what `Questions.ask` gives and the ``facts``.
    """
    clock = Clock()
    with tempfile.TemporaryDirectory(prefix="pivotkit-") as folder:
        first = make_pool(setting, seed, Path(folder))
        base = train_base(first, seed)
        questions = Questions.of(first, seed)
        clock.lap("base")
        cells = []
        for share in shares:
            pool = make_pool(grid_setting(setting, share), seed, Path(folder))
            clock.lap("pool")
            for number in steps:
                last = replace(pool.setting, steps=number)
                chooser = Chooser(pool, last.tokens, seed, {})
                asked = {}
                for arm in GRID_ARMS:
                    documents = ARMS[arm](chooser)
                    _, curve = continue_on(base, pool, documents, last, seed, questions.ask)
                    asked[arm] = curve[-1][1] | {"facts": facts(pool, documents)}
                cells.append({"share": share, "tokens": last.tokens, "arms": asked})
                clock.lap("arms")
    return {
        "seed": seed,
        "items": questions.described(),
        BEFORE: questions.ask(base),
        "cells": cells,
        "cpu_seconds": clock.laps,
    }

"""One unit of the experiment: the world, base and arms of one pool and seed, as one small file."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pivotkit.testbed.experiment.arms import ARMS, BEFORE, Chooser
from pivotkit.testbed.experiment.asking import Questions, behaviors, causal
from pivotkit.testbed.experiment.clock import Clock
from pivotkit.testbed.experiment.facts import facts
from pivotkit.testbed.experiment.pool import Pool, make_pool
from pivotkit.testbed.experiment.setting import Setting
from pivotkit.testbed.experiment.training import continue_on, train_base

CAUSAL = (BEFORE, "pivot-aware", "parallel", "bilingual")  # the arms whose last checkpoint takes the causal test


def run_unit(setting: Setting, seed: int, arms: Sequence[str] = tuple(ARMS)) -> dict[str, Any]:
    """Make the world of a seed, train its base and every arm, and ask every checkpoint.

    Returns
    -------
    dict
        ``seed``; ``items``, the pair, concept and kind of each; ``arms``, for each arm the ``facts`` of its
        selection and its ``curve``, one entry per checkpoint with ``step`` and what `Questions.ask` gives;
        ``behaviors``, how many items of each kind of concept show which on the base; ``causal``, what `causal` gives
        for the arms of `CAUSAL`; ``cpu_seconds`` of the parts.
    """
    clock = Clock()
    with tempfile.TemporaryDirectory(prefix="pivotkit-") as folder:
        pool = make_pool(setting, seed, Path(folder))
    questions = Questions.of(pool, seed)
    clock.lap("pool")
    base = train_base(pool, seed)
    clock.lap("base")
    seen = behaviors(base, pool.world)
    chooser = Chooser(pool, setting.tokens, seed, seen)
    found: dict[str, Any] = {BEFORE: {"curve": [{"step": 0} | questions.ask(base)]}}
    tested = {BEFORE: causal(base, pool.world, seed)}
    clock.lap("before")
    for arm in arms:
        documents = ARMS[arm](chooser)
        clock.lap("selection")
        model, curve = continue_on(base, pool, documents, setting, seed, questions.ask)
        found[arm] = {
            "facts": facts(pool, documents),
            "curve": [{"step": step} | answers for step, answers in curve],
        }
        clock.lap("arms")
        if arm in CAUSAL:
            tested[arm] = causal(model, pool.world, seed)
            clock.lap("causal")
    return {
        "seed": seed,
        "items": questions.described(),
        "arms": found,
        "behaviors": _by_kind(pool, seen),
        "causal": tested,
        "cpu_seconds": clock.laps,
    }


def _by_kind(pool: Pool, seen: dict[int, tuple[str, ...]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for concept, shown in seen.items():
        counts = found.setdefault(pool.world.concepts[concept].kind, {})
        for behavior in shown:
            counts[behavior] = counts.get(behavior, 0) + 1
    return found

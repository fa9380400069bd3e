"""The planted truth of a world, compared with what the stages recovered."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa

from pivotkit.corpus.tables.counts import Counts
from pivotkit.testbed.world import World

DIRECT, PIVOT = "direct", "pivot"
PLANTED = {"co-occurrence": DIRECT, "pivot": PIVOT}  # the kind of concept that should show a behavior


def compare(world: World, items: pa.Table, counts: Counts, pivots: pa.Table, behaviors: pa.Table) -> dict[str, Any]:
    """Compare counts and pivots of all concepts, translations and behaviors of the held-out ones, with the truth.

    Parameters
    ----------
    world : World
    items, counts, pivots, behaviors
        Artifacts of the stages, run on the world's lexicon and corpus and on a model of it.

    Returns
    -------
    dict
        ``counts``: document frequencies of words and pairs that were ``checked`` and that are ``equal``.
        ``pivots``: items that were ``checked`` and ``recovered``, with the planted pivot alone, or with none where none
        was planted. ``translated``: items of ``held_out`` concepts, and the ``correct`` ones. ``behaviors``: one entry
        per rule with ``checked``, ``agree`` and the ``confusion`` of planted by observed.
    """
    truth = {concept["concept"]: concept for concept in world.truth()["concepts"]}
    by_word = {word: concept for concept in truth.values() for word in concept["words"].values()}
    rows = {row["item"]: by_word[row["source"]] for row in items.select(["item", "source"]).to_pylist()}
    held_out = {item for item, concept in rows.items() if concept["held_out"]}
    return {
        "counts": _counts(truth.values(), counts),
        "pivots": _pivots(rows, pivots),
        "translated": _translated(held_out, behaviors),
        "behaviors": [_behaviors(rule, rows, held_out, behaviors) for rule in behaviors["rule"].unique().to_pylist()],
    }


def _counts(concepts: Any, counts: Counts) -> dict[str, int]:
    checked = equal = 0
    listed = {tuple(sorted(pair)) for pair in counts.pairs.tolist()}
    for concept in concepts:
        words = concept["words"]
        for code, word in words.items():
            row = counts.index(word)
            checked += 1
            equal += int(counts.df[row]) == concept["df"][code]
        for pair, planted in concept["df_both"].items():
            first, second = (words[code] for code in pair)
            if tuple(sorted((counts.index(first), counts.index(second)))) in listed:
                checked += 1
                equal += counts.pair(first, second) == planted
    return {"checked": checked, "equal": equal}


def _pivots(rows: dict[int, dict[str, Any]], pivots: pa.Table) -> dict[str, int]:
    found: dict[int, list[str]] = {}
    for row in pivots.select(["item", "token"]).to_pylist():
        found.setdefault(row["item"], []).append(row["token"].strip())
    planted = {item: [concept["pivot"]] if concept["pivot"] else [] for item, concept in rows.items()}
    recovered = sum(found.get(item, []) == expected for item, expected in planted.items())
    return {"checked": len(planted), "recovered": recovered}


def _translated(held_out: set[int], behaviors: pa.Table) -> dict[str, int]:
    correct = {row["item"]: row["correct"] for row in behaviors.select(["item", "correct"]).to_pylist()}
    return {"held_out": len(held_out), "correct": sum(correct[item] for item in held_out)}


def _behaviors(rule: str, rows: dict[int, dict[str, Any]], held_out: set[int], behaviors: pa.Table) -> dict[str, Any]:
    confusion: dict[str, Counter[str]] = {PIVOT: Counter(), DIRECT: Counter()}
    agree = 0
    for row in behaviors.select(["item", "rule", "behavior"]).to_pylist():
        if row["rule"] == rule and row["item"] in held_out:
            planted = rows[row["item"]]["kind"]
            confusion[planted][row["behavior"]] += 1
            agree += PLANTED.get(row["behavior"]) == planted
    return {
        "rule": rule,
        "checked": len(held_out),
        "agree": agree,
        "confusion": {planted: dict(seen) for planted, seen in confusion.items()},
    }

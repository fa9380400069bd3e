"""The tables of the study on a real model, from the units in results/.

    python benchmarks/study/pretrain_table.py --model smollm2-135m --tokens 200000 --precision mixed

Differences are paired by item, after the mean over seeds. Intervals are over 4000 resamples of concepts: the items of one
concept, in six pairs, are drawn together. How much seeds vary is not in them; so each seed's difference of scores stands beside
them. An effect that such a study finds in four of five tries is 2.8 standard errors.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pretrain_arms import ARMS

from pivotkit.artifacts import read_json
from pivotkit.bootstrap import estimate, mean_of_clusters

RESULTS = Path(__file__).parent / "results"
BEFORE = "before"
COMPARED = (
    *((arm, BEFORE) for arm in ARMS),
    ("pivot-aware", "bilingual"),
    ("pivot-aware", "parallel"),
    ("pivot-aware", "length-matched"),
    ("behavior-aware", "bilingual"),
    ("behavior-aware", "pivot-aware"),
)
POWER = 2.8  # standard errors: 1.96 for the interval and 0.84 for four of five
Unit = dict[str, Any]
# By seed and number of the item: its pair, concept and answer.
Scored = Mapping[int | None, Mapping[int, Mapping[str, Any]]]
ALL, WITHOUT_ENGLISH = "all pairs", "pairs without English"


def unit_file(model: str, tokens: int, precision: str, arm: str, seed: int | None) -> Path:
    return RESULTS / f"{model}-{tokens}-{precision}-{arm}{'' if seed is None else f'-{seed}'}.json"


def tables(model: str, tokens: int, precision: str) -> str:
    """Every finished arm, and its paired differences."""
    found = {}
    for arm in (BEFORE, *ARMS):
        stem = unit_file(model, tokens, precision, arm, None)
        files = [stem] if arm == BEFORE else sorted(RESULTS.glob(f"{stem.stem}-[0-9]*.json"))
        if units := [read_json(file) for file in files if file.exists()]:
            found[arm] = units
    return "\n".join([*_arms(found), "", *_differences(found, ALL), "", *_differences(found, WITHOUT_ENGLISH)])


def _arms(found: Mapping[str, Sequence[Unit]]) -> Iterator[str]:
    yield "| arm | seeds | accuracy | score | pivot behavior | held-out loss | chrF |"
    yield "|---|---|---|---|---|---|---|"
    for arm, units in found.items():
        shown = [_told(_mean(units, measure)) for measure in ("accuracy", "score", "pivot", "held-out loss")]
        shown.append(f"{_mean(units, 'chrF'):.1f}")
        yield f"| {arm} | {len(units)} | {' | '.join(shown)} |"


def _differences(found: Mapping[str, Sequence[Unit]], pairs: str) -> Iterator[str]:
    yield f"| {pairs} | score [95 %] | by seed | to be seen | accuracy [95 %] | to be seen |"
    yield "|---|---|---|---|---|---|"
    for one, other in COMPARED:
        if one in found and other in found:
            first, second = (_scored(found[arm], pairs) for arm in (one, other))
            score, seen = _paired(first, second, "score")
            cells = [score, _by_seed(first, second), seen, *_paired(first, second, "greedy")]
            yield f"| {one} less {other} | {' | '.join(cells)} |"


def _scored(units: Sequence[Unit], pairs: str) -> Scored:
    """The items that count, by seed. The model before has the seed None."""
    found = {}
    for unit in units:
        rows = (dict(zip(unit["items"]["columns"], row, strict=True)) for row in unit["items"]["rows"])
        found[unit.get("seed")] = {
            row["item"]: row
            for row in rows
            if not row["excluded"] and (pairs == ALL or "en" not in row["pair"].split("-"))
        }
    return found


def _by_seed(one: Scored, other: Scored) -> str:
    """The score's difference of each seed that both have."""
    apart = []
    for seed, rows in one.items():
        if own := other.get(seed, other.get(None)):
            apart.append(float(np.mean([row["score"] - own[item]["score"] for item, row in rows.items()])))
    return ", ".join(_told(difference, "+") for difference in apart)


def _paired(one: Scored, other: Scored, column: str) -> tuple[str, str]:
    """The mean difference with its interval, and the size of an effect that would have been seen."""
    concept_of = {item: row["concept"] for rows in one.values() for item, row in rows.items()}
    items = sorted(concept_of)
    first, second = (
        np.mean([[rows[item][column] for item in items] for rows in units.values()], axis=0) for units in (one, other)
    )
    apart = first - second
    names, concepts = np.unique([concept_of[item] for item in items], return_inverse=True)
    mean = mean_of_clusters(apart, concepts, len(names))
    made = estimate({"mean": mean}, len(names), resamples=4000, seed=0, key=column)["mean"]
    totals = np.bincount(concepts, weights=apart - apart.mean())
    error = np.sqrt((totals**2).sum()) / len(apart)
    return f"{_told(made.value, '+')} [{_told(made.low, '+')}, {_told(made.high, '+')}]", _told(POWER * error)


def _told(value: float, sign: str = "") -> str:
    """
    >>> _told(-0.0123, "+"), _told(3.1318)
    ('-.012', '3.132')
    """
    return f"{value:{sign}.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:{sign}.3f}"


def _mean(units: Sequence[Unit], measure: str) -> float:
    """A measure at the end, over all pairs where it is known for them, else the mean of pairs or languages."""
    values = []
    for unit in units:
        rows = [row for row in unit["measures"] if (row["measure"], row["step"]) == (measure, unit["step"])]
        rows = [row for row in rows if row["of"] == "all"] or rows
        values.append(np.mean([row["value"] for row in rows]) if rows else np.nan)
    return float(np.mean(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--tokens", type=int, default=200_000)
    parser.add_argument("--precision", default="float32", choices=("float32", "mixed", "bfloat16"))
    given = parser.parse_args()
    print(tables(given.model, given.tokens, given.precision))


if __name__ == "__main__":
    main()

"""What the experiment says: means and paired differences of arms, with intervals over seeds and concepts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

RESAMPLES = 2000
LEAST_LOSS = 0.05  # nats per token: a rise of the loss below this is called none


@dataclass(frozen=True)
class Interval:
    """A mean over seeds, with the 2.5th and 97.5th percentile of its bootstrap. ``seeds`` are above 0."""

    value: float
    low: float
    high: float
    seeds_above: int
    seeds: int


@dataclass(frozen=True)
class Statement:
    """What is said of the difference of two arms, ``first`` less ``second``."""

    key: str
    text: str
    first: str
    second: str
    measure: str  # a kind of concept, or "loss"


def _above(first: str, second: str, kind: str, key: str = "") -> Statement:
    return Statement(key, f"{first} is above {second} on {kind} concepts", first, second, kind)


def _same_loss(first: str, second: str, key: str = "") -> Statement:
    text = f"{first} leaves the loss on monolingual documents no higher than {second}"
    return Statement(key, text, first, second, "loss")


# Those with a key are the questions of the experiment.
STATEMENTS = (
    _above("pivot-aware", "language-matched", "pivot", "a"),
    _above("parallel", "pivot-aware", "direct", "b"),
    _above("pivot-aware", "bilingual", "pivot", "c"),
    _above("pivot-aware", "pivot-shuffled", "pivot", "d"),
    _above("pivot-aware", "length-matched", "pivot", "e"),
    _same_loss("pivot-aware", "language-matched", "f"),
    _same_loss("pivot-aware", "bilingual"),
    _above("pivot-aware", "bilingual", "direct"),
    _above("pivot-aware", "others' pivots", "pivot"),
    _above("pivot-aware", "frequency-matched", "pivot"),
    _above("pivot-aware", "code-switched", "pivot"),
    *(
        _above(first, second, kind)
        for first, second in (
            ("half and half", "bilingual"),
            ("behavior-aware", "half and half"),
            ("behavior-aware", "bilingual"),
        )
        for kind in ("pivot", "direct")
    ),
)


def interval(values: Sequence[Sequence[float]], *, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """The mean over all concepts of all seeds, over resampled seeds and, within each that is drawn, resampled concepts.

    ``values`` has one sequence per seed, with one value per concept. Every seed has its own world, so concepts of two
    seeds have nothing to do with each other. Without a value, NaN.

    >>> interval([[0.5, 0.5], [0.5]])
    Interval(value=0.5, low=0.5, high=0.5, seeds_above=2, seeds=2)
    """
    rows = [np.asarray(row, dtype=np.float64) for row in values if len(row)]
    if not rows:
        return Interval(math.nan, math.nan, math.nan, 0, 0)
    sizes = np.array([len(row) for row in rows])
    padded = np.zeros((len(rows), sizes.max()))
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    random = np.random.default_rng(seed)
    drawn = random.integers(len(rows), size=(resamples, len(rows)))
    size = sizes[drawn][:, :, None]
    within = (random.random((resamples, len(rows), sizes.max())) * size).astype(np.int64)
    kept = np.arange(sizes.max()) < size
    means = (padded[drawn[:, :, None], within] * kept).sum(axis=(1, 2)) / kept.sum(axis=(1, 2))
    low, high = np.percentile(means, [2.5, 97.5])
    above = sum(bool(row.mean() > 0) for row in rows)
    return Interval(float(padded.sum() / sizes.sum()), float(low), float(high), above, len(rows))


def accuracy(items: Sequence[Mapping[str, Any]], correct: str, kind: str) -> list[float]:
    """The share of right answers of each concept of a kind, over its directions; ``correct`` has a digit per item."""
    right: dict[int, list[int]] = {}
    for item, given in zip(items, correct, strict=True):
        if item["kind"] == kind:
            right.setdefault(item["concept"], []).append(int(given))
    return [float(np.mean(found)) for _, found in sorted(right.items())]


def per_concept(units: Sequence[Mapping[str, Any]], arm: str, measure: str, at: int = -1) -> list[list[float]]:
    """One list per unit: the accuracy of each concept of a kind; for "loss" one number, the mean over languages."""
    curves = [unit["arms"][arm]["curve"] for unit in units]
    if measure == "loss":
        return [[float(np.mean(list(curve[at]["loss"].values())))] for curve in curves]
    return [accuracy(unit["items"], curve[at]["correct"], measure) for unit, curve in zip(units, curves, strict=True)]


def less(first: list[list[float]], second: list[list[float]]) -> list[list[float]]:
    """The paired differences."""
    return [np.subtract(*both).tolist() for both in zip(first, second, strict=True)]


def judged(units: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every statement on the units of one pool: the paired difference with its interval, and whether it ``holds``.

    It holds where the whole interval is above 0, for the loss where it is below `LEAST_LOSS`. Where the whole interval
    is below 0, the opposite holds; else the seeds do not tell.
    """
    found = []
    for said in STATEMENTS:
        first, second = (per_concept(units, arm, said.measure) for arm in (said.first, said.second))
        apart = interval(less(first, second))
        if said.measure == "loss":
            verdict = "holds" if apart.high < LEAST_LOSS else "fails" if apart.low > LEAST_LOSS else "open"
        else:
            verdict = "holds" if apart.low > 0 else "fails" if apart.high < 0 else "open"
        found.append(asdict(said) | asdict(apart) | {"verdict": verdict})
    return found

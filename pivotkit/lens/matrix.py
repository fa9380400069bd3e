"""The scores of a task by pair of languages, with bootstrap intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.artifacts import require_columns
from pivotkit.bootstrap import estimate, mean_of

POOLED = "all"  # the name of the pairs pooled

# Each measure is the mean over items of a column of the scores; accuracy that of whether no distractor beats the gold.
MEASURES = {"score": "score", "accuracy": "gold_rank", "greedy": "greedy", "reciprocal_rank": "reciprocal_rank"}

MATRIX = pa.schema(
    [("pair", pa.string()), ("items", pa.int32()), ("excluded", pa.int32()),
     *((measure + end, pa.float64()) for measure in MEASURES for end in ("", "_low", "_high"))]
)  # fmt: skip


def score_matrix(scores: pa.Table, *, resamples: int = 1000, level: float = 0.95, seed: int = 0) -> pa.Table:
    """Average the scores of every pair of languages, with percentile bootstrap intervals over items.

    Equivalent to ``scipy.stats.bootstrap((values,), np.mean, method="percentile")`` for each pair and measure.

    Parameters
    ----------
    scores : pyarrow.Table
        What `score` returns. ``excluded`` items are counted and left out.
    resamples : int, default 1000
        0 for no intervals.
    level : float, default 0.95
        Of the intervals, between 0 and 1.
    seed : int, default 0
        With the pair, it determines the resamples; all measures of a pair share them.

    Returns
    -------
    pyarrow.Table
        ``pair`` ("all" for the pairs pooled, the last row), the numbers of ``items`` that count and are ``excluded``, and
        with ``_low`` and ``_high`` each: ``score``, the mean contrastive score; ``accuracy``, the share of items whose
        gold source no distractor beats; ``greedy``, the share of contexts in which greedy decoding gives the target;
        ``reciprocal_rank``, the mean of 1 / (1 + rank) of the target's first token. Null where no item counts, or
        where ``scores`` come from a version without the column.

    Raises
    ------
    TypeError
        ``scores`` is no table.
    ValueError
        ``scores`` lack ``pair`` or ``score`` or hold no number where one is needed; ``resamples`` is negative;
        ``level`` is not between 0 and 1.

    Notes
    -----
    A concept's items in several pairs are not independent, so the interval of "all" is narrower than one over concepts.
    """
    require_columns("score_matrix", "scores", scores, ("pair", "score"))
    if resamples < 0:
        raise ValueError(f"score_matrix: resamples must be at least 0; got {resamples}")
    if not 0 < level < 1:
        raise ValueError(f"score_matrix: level must be between 0 and 1; got {level}")
    told = "excluded" in scores.column_names
    excluded = np.asarray(scores["excluded"].to_pylist() if told else [False] * scores.num_rows, dtype=bool)
    pairs = np.asarray(scores["pair"].to_pylist(), dtype=object)
    values = {name: _values(scores, name, ~excluded) for name in MEASURES if MEASURES[name] in scores.column_names}
    rows = []
    for pair in (*dict.fromkeys(pairs.tolist()), POOLED):
        mine = np.ones(len(pairs), dtype=bool) if pair == POOLED else pairs == pair
        counted = mine & ~excluded
        found = estimate(
            {name: mean_of(numbers[counted]) for name, numbers in values.items()}, int(counted.sum()),
            resamples=resamples, seed=seed, key=pair, level=level,
        )  # fmt: skip
        row: dict[str, Any] = {
            "pair": pair,
            "items": counted.sum(),
            "excluded": (mine & excluded).sum() if told else None,
        }
        for name, one in found.items():
            row |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=MATRIX)


def _values(scores: pa.Table, measure: str, counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """A measure of every item."""
    column = MEASURES[measure]
    numbers = np.asarray(scores[column].cast(pa.float64()).to_numpy(), dtype=np.float64)
    if np.isnan(numbers[counted]).any():
        raise ValueError(f"score_matrix: scores must have a number in {column} of every item that counts; got none")
    return (numbers == 0).astype(np.float64) if measure == "accuracy" else numbers

"""Mean scores per language pair, with bootstrap intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.artifacts import require_columns
from pivotkit.bootstrap import estimate, mean_of

POOLED = "all"  # names the row of all pairs together

# Each measure is the mean of a column over items; accuracy is the share of items whose gold rank is 0.
MEASURES = {"score": "score", "accuracy": "gold_rank", "greedy": "greedy", "reciprocal_rank": "reciprocal_rank"}

MATRIX = pa.schema(
    [("pair", pa.string()), ("items", pa.int32()), ("excluded", pa.int32()),
     *((measure + end, pa.float64()) for measure in MEASURES for end in ("", "_low", "_high"))]
)  # fmt: skip


def score_matrix(scores: pa.Table, *, resamples: int = 1000, level: float = 0.95, seed: int = 0) -> pa.Table:
    """Average the scores of every language pair, with percentile bootstrap intervals over items.

    Equivalent to ``scipy.stats.bootstrap((values,), np.mean, method="percentile")`` for each pair and measure.

    Parameters
    ----------
    scores : pyarrow.Table
        The result of `score`. Means leave out ``excluded`` items.
    resamples : int, default 1000
        Resamples per pair; 0 gives no intervals.
    level : float, default 0.95
        Level of the intervals, between 0 and 1.
    seed : int, default 0
        Seeds the resamples together with the pair; all measures of a pair share them.

    Returns
    -------
    pyarrow.Table
        One row per pair, and a last row "all" for all pairs together. Columns ``pair``; ``items`` and ``excluded``, the
        numbers of items that count and that do not; and four measures, each with its interval in ``<measure>_low`` and
        ``<measure>_high``: ``score``, the mean contrastive score; ``accuracy``, the share of items in which no
        distractor makes the target more likely than the gold source does; ``greedy``, the share of contexts in which
        greedy decoding gives the target; ``reciprocal_rank``, the mean of 1 / (1 + rank) of the target's first token
        that tells it apart. A measure is null if no item counts or ``scores`` lacks its column.

    Raises
    ------
    TypeError
        ``scores`` is no table.
    ValueError
        ``scores`` lacks ``pair`` or ``score``, or a number of an item that counts; ``resamples`` is negative; ``level``
        is not between 0 and 1.

    Notes
    -----
    The items of one concept in several pairs are not independent, so the interval of "all" is narrower than an interval
    over concepts would be.
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
    """The values of a measure, one per item."""
    column = MEASURES[measure]
    numbers = np.asarray(scores[column].cast(pa.float64()).to_numpy(), dtype=np.float64)
    if np.isnan(numbers[counted]).any():
        raise ValueError(f"score_matrix: scores must have a number in {column} of every item that counts; got none")
    return (numbers == 0).astype(np.float64) if measure == "accuracy" else numbers

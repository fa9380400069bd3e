"""Does the co-occurrence of two words in the corpus predict how the model translates? AUC and correlation."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pivotkit.arguments import check_int
from pivotkit.artifacts import require_columns
from pivotkit.attribution.statistics import auc_of_clusters, pearson_of_clusters
from pivotkit.bootstrap import estimate
from pivotkit.corpus.matching.normal_form import normalize

BEHAVIORS = ("co-occurrence", "pivot", "copy", "other", "excluded")
PREDICTORS = ("log_df_both", "log_df_source", "log_df_target", "log_min_df", "pmi")
POOLED = "all"
MOST_RESAMPLES = 1_000_000
SMOOTHING = 0.5  # documents added to every count before the logarithm of pmi


def attribute(
    behaviors: pa.Table,
    pairs: pa.Table,
    *,
    items: pa.Table,
    scores: pa.Table | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure how well corpus counts tell co-occurrence behavior from pivot behavior, and predict translation scores.

    Parameters
    ----------
    behaviors : pyarrow.Table
        ``item, pair, rule, behavior``. Items with another behavior are counted and left out.
    pairs : pyarrow.Table
        ``source, target, df_source, df_target, df_both``: documents with each word and with both. Words are matched in
        their normalized form, in either direction.
    items : pyarrow.Table
        ``item, pair, concept, source, target``: the words of each item.
    scores : pyarrow.Table, optional
        ``item, pair, score``. Adds the correlation of log co-occurrence and score.
    bootstrap : int, default 1000
        Resamples per interval; 0 gives no intervals.
    seed : int, default 0
        Seed of the resamples.

    Returns
    -------
    dict
        ``auc``: one entry per rule, pair and predictor, with ``rule, pair, predictor, auc, low, high, n_co_occurrence,
        n_pivot, n_left_out, reason``; the pair "all" pools the pairs. Above 0.5, the predictor is larger for
        co-occurrence. Where a class is empty, the AUC is None and ``reason`` says so.
        ``correlation``: one entry per pair, with ``pair, predictor, r, low, high, n, reason``; r is Pearson's.
        ``settings``: how the numbers were computed. Items whose two words have one spelling co-occur with themselves;
        they are left out, and their number stands here.

    Raises
    ------
    TypeError
        An argument is of another kind.
    ValueError
        A column is missing; an item, or the counts of its words, are not there; an item stands twice under one rule; a
        count is negative or contradicts another; a behavior is unknown.

    Notes
    -----
    Predictors: ``log_df_both``, ``log_df_source``, ``log_df_target`` and ``log_min_df`` are log(1 + x); the published
    code gives 0 for no co-occurrence and for one. ``pmi`` is log((df_both + 1/2) / ((df_source + 1/2)
    (df_target + 1/2))), pointwise mutual information up to a constant, which changes neither AUC nor r.
    Intervals are the 2.5th and 97.5th percentiles over resamples of *concepts* with replacement, because a concept's
    items in several pairs are not independent. Resamples without one of the classes are left out.

    Source: arXiv 2505.16385, section on attribution.
    """
    require_columns("attribute", "behaviors", behaviors, ("item", "pair", "rule", "behavior"))
    require_columns("attribute", "pairs", pairs, ("source", "target", "df_source", "df_target", "df_both"))
    require_columns("attribute", "items", items, ("item", "pair", "concept", "source", "target"))
    if scores is not None:
        require_columns("attribute", "scores", scores, ("item", "pair", "score"))
    check_int("attribute", "bootstrap", bootstrap, 0, MOST_RESAMPLES)
    check_int("attribute", "seed", seed, 0)
    joined = _Joined(items, pairs)
    one_spelling = {key for key, row in joined.rows.items() if len(set(map(_normal, joined.words[row]))) == 1}
    behaviors = _without(behaviors, one_spelling)
    scores = None if scores is None else _without(scores, one_spelling)
    return {
        "auc": _all_aucs(behaviors, joined, bootstrap, seed),
        "correlation": [] if scores is None else _all_correlations(scores, joined, bootstrap, seed),
        "settings": {
            "bootstrap": bootstrap,
            "seed": seed,
            "left_out_as_one_spelling": len(one_spelling),
            "interval": "percentiles 2.5 and 97.5 over resampled concepts",
            "counts": "log(1 + x)",
            "pmi": f"log((df_both + {SMOOTHING}) / ((df_source + {SMOOTHING}) (df_target + {SMOOTHING})))",
        },
    }


def _all_aucs(behaviors: pa.Table, joined: _Joined, bootstrap: int, seed: int) -> list[dict[str, Any]]:
    entries = []
    for rule in dict.fromkeys(behaviors["rule"].to_pylist()):
        ruled = behaviors.filter(pc.equal(behaviors["rule"], rule))
        keys = _keys(ruled)
        if len(set(keys)) != len(keys):
            raise ValueError(
                f"attribute: behaviors must hold one row per item and rule; got two for an item under {rule!r}"
            )
        seen = np.asarray(ruled["behavior"].to_pylist(), dtype=object)
        unknown = sorted({str(behavior) for behavior in seen} - set(BEHAVIORS))
        if unknown:
            raise ValueError(f"attribute: behavior must be one of {', '.join(BEHAVIORS)}; got {unknown[0]!r}")
        kept = (seen == "co-occurrence") | (seen == "pivot")
        predictors, concepts = joined.predict(ruled.filter(pa.array(kept)), "behaviors")
        direct = seen[kept] == "co-occurrence"
        for pair, chosen in _groups(ruled):
            mine = chosen[kept]
            number, clusters = _numbered(concepts[mine])
            statistics = {
                name: auc_of_clusters(values[mine], direct[mine], clusters) for name, values in predictors.items()
            }
            areas = estimate(statistics, number, resamples=bootstrap, seed=seed, key=f"{rule}\0{pair}")
            sizes = {"co-occurrence": int(direct[mine].sum()), "pivot": int((~direct[mine]).sum())}
            reason = next((f"no item shows {name} behavior" for name, size in sizes.items() if not size), None)
            for predictor, area in areas.items():
                entries.append(
                    {
                        "rule": rule,
                        "pair": pair,
                        "predictor": predictor,
                        "auc": area.value,
                        "low": area.low,
                        "high": area.high,
                        "n_co_occurrence": sizes["co-occurrence"],
                        "n_pivot": sizes["pivot"],
                        "n_left_out": int(chosen.sum() - mine.sum()),
                        "reason": reason,
                    }
                )
    return entries


def _all_correlations(scores: pa.Table, joined: _Joined, bootstrap: int, seed: int) -> list[dict[str, Any]]:
    score = scores["score"].to_numpy().astype(np.float64)
    if not np.isfinite(score).all():
        raise ValueError("attribute: scores must be finite; got NaN or infinity")
    predictors, concepts = joined.predict(scores, "scores")
    entries = []
    for pair, mine in _groups(scores):
        number, clusters = _numbered(concepts[mine])
        statistics = {"log_df_both": pearson_of_clusters(predictors["log_df_both"][mine], score[mine], clusters)}
        for predictor, r in estimate(statistics, number, resamples=bootstrap, seed=seed, key=f"score\0{pair}").items():
            entries.append(
                {
                    "pair": pair,
                    "predictor": predictor,
                    "r": r.value,
                    "low": r.low,
                    "high": r.high,
                    "n": int(mine.sum()),
                    "reason": "co-occurrence or score does not vary" if r.value is None else None,
                }
            )
    return entries


def _groups(table: pa.Table) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield each pair with a mask of its rows, then `POOLED` with all rows."""
    pairs = np.asarray(table["pair"].to_pylist(), dtype=object)
    for pair in dict.fromkeys(pairs.tolist()):
        yield pair, pairs == pair
    yield POOLED, np.ones(len(pairs), dtype=bool)


def _numbered(concepts: NDArray[np.int64]) -> tuple[int, NDArray[np.int64]]:
    """Return the number of concepts, and each row's concept numbered from 0."""
    names, numbers = np.unique(concepts, return_inverse=True)
    return len(names), numbers


class _Joined:
    """The corpus counts of items, by the normalized form of their words."""

    def __init__(self, items: pa.Table, pairs: pa.Table) -> None:
        self.rows = {key: row for row, key in enumerate(_keys(items))}
        self.words = list(zip(items["source"].to_pylist(), items["target"].to_pylist(), strict=True))
        self.concepts = np.unique([str(concept) for concept in items["concept"].to_pylist()], return_inverse=True)[1]
        self.counts = _counts(pairs)

    def predict(self, table: pa.Table, argument: str) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.int64]]:
        """Return the predictors and concepts of a table's items, in its order."""
        keys = _keys(table)
        unknown = next((key for key in keys if key not in self.rows), None)
        if unknown is not None:
            raise ValueError(f"attribute: items must hold every item of {argument}; got none for {unknown}")
        places = [self.rows[key] for key in keys]
        counts = [_look_up(self.counts, *self.words[place]) for place in places]
        return _predictors(counts), self.concepts[places]


def _keys(table: pa.Table) -> list[tuple[Hashable, str]]:
    return list(zip(table["item"].to_pylist(), table["pair"].to_pylist(), strict=True))


def _without(table: pa.Table, keys: set[tuple[Hashable, str]]) -> pa.Table:
    return table.filter(pa.array([key not in keys for key in _keys(table)], pa.bool_())) if keys else table


def _normal(word: str) -> str:
    """Return ``word`` as a watch list keeps it."""
    return " ".join(normalize(word).split())


def _counts(pairs: pa.Table) -> dict[tuple[str, str], tuple[int, int, int]]:
    counts = {}
    for row in pairs.select(["source", "target", "df_source", "df_target", "df_both"]).to_pylist():
        source, target, df_source, df_target, df_both = row.values()
        if not 0 <= df_both <= min(df_source, df_target):
            raise ValueError(
                f"attribute: df_both must be between 0 and the documents of either word; got {df_both} for "
                f"{source!r} ({df_source}) and {target!r} ({df_target})"
            )
        counts[_normal(source), _normal(target)] = (df_source, df_target, df_both)
    return counts


def _look_up(counts: dict[tuple[str, str], tuple[int, int, int]], source: str, target: str) -> tuple[int, int, int]:
    a, b = _normal(source), _normal(target)
    if (a, b) in counts:
        return counts[a, b]
    if (b, a) in counts:
        df_target, df_source, df_both = counts[b, a]
        return df_source, df_target, df_both
    raise ValueError(f"attribute: pairs must hold the words of every item; got none for {source!r} and {target!r}")


def _predictors(counts: list[tuple[int, int, int]]) -> dict[str, NDArray[np.float64]]:
    source, target, both = np.asarray(counts, dtype=np.float64).reshape(-1, 3).T
    pmi = np.log(both + SMOOTHING) - np.log(source + SMOOTHING) - np.log(target + SMOOTHING)
    logs = (np.log1p(both), np.log1p(source), np.log1p(target), np.log1p(np.minimum(source, target)))
    return dict(zip(PREDICTORS, (*logs, pmi), strict=True))

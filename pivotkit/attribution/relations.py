"""How the score of a translation follows co-occurrence: correlations, linear fits, and the points themselves."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.attribution.areas import LEAST_ITEMS, Row, by_pair, few_concepts, hardly_varies, numbered
from pivotkit.attribution.item_counts import ItemCounts, Key, item_keys
from pivotkit.attribution.item_means import POOLED
from pivotkit.attribution.predictors import (
    CO_OCCURRENCE,
    PARTIAL,
    given_frequencies,
    group_names,
    item_groups,
    predictors,
    with_partial,
)
from pivotkit.attribution.statistics import least_squares_of_clusters, pearson_of_clusters
from pivotkit.bootstrap import Estimate, estimate

PIVOT_TERM = "log_pivots"
NOT_VARIED = "co-occurrence or score does not vary"


class Scored:
    """The scores of items beside their predictors."""

    def __init__(self, scores: pa.Table, known: ItemCounts, pivots: pa.Table | None) -> None:
        self.score = scores["score"].to_numpy().astype(np.float64)
        if not np.isfinite(self.score).all():
            raise ValueError("attribute: scores must be finite; got NaN or infinity")
        places = known.places(scores, "scores")
        self.keys = item_keys(scores)
        self.pairs = np.asarray(scores["pair"].to_pylist(), dtype=object)
        self.concepts = known.concepts[places]
        words = [known.words[place] for place in places]
        counts = known.counts(places)
        self.values = predictors(counts, words, known.tokens(places))
        self.groups = item_groups(counts, words)
        self.pivots = None if pivots is None else _pivot_term(pivots, self.keys, counts)


def correlations(scored: Scored, bootstrap: int, seed: int) -> list[Row]:
    """Pearson's r per pair for log co-occurrence, plain and given the frequencies; for all pairs, every predictor."""
    rows = []
    for pair, mine in by_pair(scored.pairs, scored.pairs):
        only = () if pair == POOLED else (CO_OCCURRENCE, PARTIAL)
        rows += [{"pair": pair} | row for row in _correlated(scored, mine, pair, bootstrap, seed, only)]
    return rows


def correlations_by_group(scored: Scored, bootstrap: int, seed: int) -> list[Row]:
    """Pearson's r of log co-occurrence in groups of all pairs' items: by frequency and by script."""
    rows = []
    for by, groups in scored.groups.items():
        for group in group_names(groups):
            key = f"{by}\0{group}"
            found = _correlated(scored, groups == group, key, bootstrap, seed, (CO_OCCURRENCE, PARTIAL))
            rows += [{"pair": POOLED, "by": by, "group": group} | row for row in found]
    return rows


def _correlated(
    scored: Scored, mine: NDArray[np.bool_], key: str, bootstrap: int, seed: int, only: tuple[str, ...]
) -> list[Row]:
    score, pairs = scored.score[mine], scored.pairs[mine]
    values = with_partial({name: column[mine] for name, column in scored.values.items()}, pairs)
    number, clusters = numbered(scored.concepts[mine])
    told = [name for name in values if not only or name in only]
    few = _too_few(int(mine.sum())) or few_concepts(number)
    reasons = {name: few or hardly_varies(values[name]) for name in told}
    # The partial correlation: what the frequencies explain is taken out of the score too.
    against = {name: score for name in told} | {PARTIAL: given_frequencies(score, values, pairs)}
    statistics = {name: pearson_of_clusters(values[name], against[name], clusters)
                  for name in told if reasons[name] is None}  # fmt: skip
    found = estimate(statistics, number, resamples=bootstrap, seed=seed, key=f"score\0{key}")
    rows = []
    for name in told:
        r = found.get(name, Estimate(None, None, None))
        row = {"predictor": name, "r": r.value, "low": r.low, "high": r.high, "n": int(mine.sum())}
        rows.append(row | {"reason": reasons[name] or (NOT_VARIED if r.value is None else None)})
    return rows


def _too_few(items: int) -> str | None:
    return f"only {items} items have scores; {LEAST_ITEMS} are needed" if items < LEAST_ITEMS else None


def fits(scored: Scored, bootstrap: int, seed: int) -> list[Row]:
    """Linear fits of the score: on log co-occurrence, and with the paper's second term where pivots are known."""
    rows = []
    for pair, mine in by_pair(scored.pairs, scored.pairs):
        number, clusters = numbered(scored.concepts[mine])
        first = {CO_OCCURRENCE: scored.values[CO_OCCURRENCE][mine]}
        models = [first] if scored.pivots is None else [first, first | {PIVOT_TERM: scored.pivots[mine]}]
        for terms in models:
            statistics = least_squares_of_clusters(terms, scored.score[mine], clusters)
            reason = few_concepts(number) or next(
                (f"{name}: {why}" for name in terms if (why := hardly_varies(terms[name]))), None
            )
            told = {} if reason else statistics
            found = estimate(told, number, resamples=bootstrap, seed=seed, key=f"fit\0{pair}")
            for term in statistics:
                row = {"pair": pair, "model": " + ".join(terms), "term": term} | dict.fromkeys(("value", "low", "high"))
                if term in found:
                    row |= {"value": found[term].value, "low": found[term].low, "high": found[term].high}
                row |= {"n": int(mine.sum())}
                why = reason or "the terms are linearly dependent, or the score does not vary"
                rows.append(row | {"reason": why if row["value"] is None else None})
    return rows


def points(scored: Scored, behaviors: pa.Table, rule: str) -> list[Row]:
    """One row per scored item: log co-occurrence, score and the behavior under ``rule``."""
    keys, rules, seen = item_keys(behaviors), behaviors["rule"].to_pylist(), behaviors["behavior"].to_pylist()
    shown = {key: behavior for key, own, behavior in zip(keys, rules, seen, strict=True) if own == rule}
    together = scored.values[CO_OCCURRENCE].tolist()
    return [
        {"item": key[0], "pair": key[1], CO_OCCURRENCE: x, "score": y, "behavior": shown.get(key)}
        for key, x, y in zip(scored.keys, together, scored.score.tolist(), strict=True)
    ]


def _pivot_term(pivots: pa.Table, keys: list[Key], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each item the sum over its pivots of log(min(documents with source and pivot, with target and pivot)).

    ``df_given_source`` is the share of the source's documents that hold the pivot; ``counts`` has these documents.
    """
    places = {key: place for place, key in enumerate(keys)}
    shares = zip(pivots["df_given_source"].to_pylist(), pivots["df_given_target"].to_pylist(), strict=True)
    terms = np.zeros(len(keys))
    for key, (of_source, of_target) in zip(item_keys(pivots), shares, strict=True):
        if (place := places.get(key)) is not None:  # items of one spelling have pivots, too
            source, target, _ = counts[:, place]
            terms[place] += np.log(max(min(of_source * source, of_target * target), 1.0))
    return terms

"""Does the co-occurrence of two words in the corpus predict how the model translates? AUC, correlations, fits."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pivotkit.arguments import check_int
from pivotkit.artifacts import require_columns
from pivotkit.attribution.areas import (
    LEAST_ITEMS,
    STRICTLY,
    WITH_COPY,
    areas_by_group,
    areas_by_pair,
    permuted_by_pair,
    samples,
)
from pivotkit.attribution.item_counts import ItemCounts, Key, item_keys
from pivotkit.attribution.predictors import SMOOTHING
from pivotkit.attribution.relations import Scored, correlations, correlations_by_group, fits, points
from pivotkit.bootstrap import MOST_RESAMPLES
from pivotkit.lens.behavior import STRICT


def attribute(
    behaviors: pa.Table,
    pairs: pa.Table,
    *,
    items: pa.Table,
    scores: pa.Table | None = None,
    pivots: pa.Table | None = None,
    traces: pa.Table | None = None,
    bootstrap: int = 1000,
    permutations: int = 1000,
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
        ``item, pair, score``. Adds what relates log co-occurrence and score.
    pivots : pyarrow.Table, optional
        ``item, pair, df_given_source, df_given_target``, the result of `find_pivots`. Adds the second term of the fit.
    traces : pyarrow.Table, optional
        ``item, pair, source_pieces, target_pieces``, as `trace` gives them. Adds the numbers of tokens of the two words
        to the predictors.
    bootstrap : int, default 1000
        Resamples per interval; 0 gives no intervals.
    permutations : int, default 1000
        Permutations of co-occurrence within the pairs; 0 gives no such interval.
    seed : int, default 0
        Seed of the resamples and permutations.

    Returns
    -------
    dict
        Lists of rows. Each has the size of its sample, ``low`` and ``high`` (95 %), and a ``reason`` where a number is
        None. The pair "all" pools the pairs.

        ``auc``: one row per rule, pair and predictor, with ``rule, pair, positive, predictor, auc, low, high, n,
        n_concepts, n_co_occurrence, n_copy, n_pivot, n_left_out, reason``. Above 0.5, the predictor is larger for
        co-occurrence.
        ``auc_with_copy``: the same where *copy* counts as co-occurrence (``positive`` says which).
        ``auc_by_group``: ``auc`` of log co-occurrence, plain and partial, in groups (``by, group``) of all pairs'
        items: by the documents with the rarer word, and by the scripts of source, of target, and of both.
        ``permutation``: per rule, ``positive`` and pair, the AUC of log co-occurrence beside the ``mean`` and the
        interval that it has where co-occurrence is permuted within the pairs, and ``p``, the share of permutations as
        far from that mean.
        ``correlation``: one row per pair and predictor, with ``pair, predictor, r, low, high, n, reason``; r is
        Pearson's. A pair has log co-occurrence, plain and partial; "all" has every predictor.
        ``correlation_by_group``: the same of log co-occurrence, in the groups of ``auc_by_group``.
        ``fits``: one row per pair, model and term, with ``value``: least squares of the score on log co-occurrence, and
        on log co-occurrence and pivots; the terms are coefficients, ``constant`` and ``r_squared``.
        ``points``: one row per scored item: ``item, pair, log_df_both, score, behavior`` (of the rule "strict").
        ``settings``: how the numbers were computed. Items whose two words have one spelling co-occur with themselves;
        they are left out, and their number stands here.

    Raises
    ------
    TypeError
        An argument is of another kind.
    ValueError
        A column is missing; an item, or the counts of its words, are not there, or it has other words in ``scores``; an
        item stands twice under one rule; a count is negative or contradicts another; a behavior is unknown.

    Notes
    -----
    *Predictors.* ``log_df_both``, ``log_df_source``, ``log_df_target`` and ``log_min_df`` are log(1 + x); the published
    code gives 0 for no co-occurrence and for one. ``pmi`` is log((df_both + 1/2) / ((df_source + 1/2)
    (df_target + 1/2))), pointwise mutual information up to a constant, which changes neither AUC nor r.
    ``log_df_both_given_df`` is the partial one: the residual of ``log_df_both`` in a linear regression on
    ``log_df_source``, ``log_df_target`` and a constant per pair, made once from all items of the group; its r takes the
    same out of the score. ``similarity`` is that of the two spellings, 1 - edit distance / longer length.
    ``tokens_source`` and ``tokens_target`` count tokens of a word behind a space.

    *No AUC* is given for fewer than 10 items of a class, nor for fewer than 10 concepts, nor where fewer than 10 items
    differ from the predictor's commonest value; a correlation needs 10 items, and it and a fit need the last two.

    *Intervals* are the 2.5th and 97.5th percentiles over resamples of *concepts* with replacement, because a concept's
    items in several pairs are not independent. Resamples without one of the classes are left out. A permutation moves
    concepts alike in all pairs, for the same reason. Where pairs differ, the mean of permutations is the AUC that the
    pairs alone give.

    *The paper's fit* has two terms: log co-occurrence, and the sum over pivots of log(min(documents with source and
    pivot, documents with target and pivot)), ``log_pivots``.

    Source: arXiv 2505.16385, section on attribution, and its published code.
    """
    require_columns("attribute", "behaviors", behaviors, ("item", "pair", "rule", "behavior"))
    require_columns("attribute", "pairs", pairs, ("source", "target", "df_source", "df_target", "df_both"))
    require_columns("attribute", "items", items, ("item", "pair", "concept", "source", "target"))
    if scores is not None:
        require_columns("attribute", "scores", scores, ("item", "pair", "score"))
    if pivots is not None:
        require_columns("attribute", "pivots", pivots, ("item", "pair", "df_given_source", "df_given_target"))
    if traces is not None:
        require_columns("attribute", "traces", traces, ("item", "pair", "source_pieces", "target_pieces"))
    check_int("attribute", "bootstrap", bootstrap, 0, MOST_RESAMPLES)
    check_int("attribute", "permutations", permutations, 0, MOST_RESAMPLES)
    check_int("attribute", "seed", seed, 0)
    known = ItemCounts(items, pairs, traces)
    one_spelling = known.one_spelling()
    behaviors = _without(behaviors, one_spelling)
    found = list(samples(behaviors, known))
    scored = None if scores is None else Scored(_without(scores, one_spelling), known, pivots)
    auc = {
        positive: [row for one in found if one.positive == positive for row in areas_by_pair(one, bootstrap, seed)]
        for positive in (STRICTLY, WITH_COPY)
    }
    return {
        "auc": auc[STRICTLY],
        "auc_with_copy": auc[WITH_COPY],
        "auc_by_group": [row for one in found for row in areas_by_group(one, bootstrap, seed)],
        "permutation": [row for one in found for row in permuted_by_pair(one, permutations, seed)],
        "correlation": [] if scored is None else correlations(scored, bootstrap, seed),
        "correlation_by_group": [] if scored is None else correlations_by_group(scored, bootstrap, seed),
        "fits": [] if scored is None else fits(scored, bootstrap, seed),
        "points": [] if scored is None else points(scored, behaviors, STRICT),
        "settings": {
            "bootstrap": bootstrap,
            "permutations": permutations,
            "seed": seed,
            "left_out_as_one_spelling": len(one_spelling),
            "least_items": LEAST_ITEMS,
            "interval": "percentiles 2.5 and 97.5 over resampled concepts",
            "counts": "log(1 + x)",
            "pmi": f"log((df_both + {SMOOTHING}) / ((df_source + {SMOOTHING}) (df_target + {SMOOTHING})))",
        },
    }


def _without(table: pa.Table, keys: set[Key]) -> pa.Table:
    return table.filter(pa.array([key not in keys for key in item_keys(table)], pa.bool_())) if keys else table

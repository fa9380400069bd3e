"""Hub pivots: the tokens that tie many words to each other."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pivotkit.arguments import check_int
from pivotkit.artifacts import require_columns, table_metadata, with_metadata

SHARES = {"least": 0.0, "25%": 0.25, "50%": 0.5, "75%": 0.75, "90%": 0.9, "99%": 0.99, "most": 1.0}


def hub_pivots(pivots: pa.Table, k: int) -> pa.Table:
    """Find the k tokens that are pivots of the most words.

    Formula: ``words(t)`` is the number of distinct words, sources and targets together, that have t among their pivots;
    ``score(t)`` is the sum of t's scores over its rows. Hubs are ranked by ``words``, then by ``score``, then by the
    smaller token id.

    Parameters
    ----------
    pivots : pyarrow.Table
        The result of `find_pivots` under one rule; columns ``source, target, token_id, token, score``.
    k : int
        The most hubs.

    Returns
    -------
    pyarrow.Table
        One row per hub, best first; columns ``token_id int32, token string, words int64, score float64``. The metadata
        has ``tokens``, the distinct pivots of which these are the hubs, and ``words_of_tokens``, the least, the
        quartiles, the 90th and 99th percentile and the most words of a pivot. Where hubs are nearly all pivots, they
        say nothing about hubs.

    Raises
    ------
    TypeError
        ``pivots`` is no table, or ``k`` no int.
    ValueError
        ``pivots`` lacks a column, or ``k`` is below 1.

    Notes
    -----
    Words are distinguished by spelling, so one spelling in two languages is one word. A small ``k`` of `find_pivots`
    hides tokens that are weakly tied to very many words.

    Source: arXiv 2505.16385 describes the pivot set as the tokens that co-occur with many tokens, and publishes neither
    code nor a threshold for it. This definition is pivotkit's.

    Examples
    --------
    >>> pivots = pa.table({"source": ["chat", "chien"], "target": ["katze", "hund"], "token_id": [7, 7],
    ...     "token": ["pet", "pet"], "score": [0.25, 0.5]})
    >>> hub_pivots(pivots, 1).to_pylist()
    [{'token_id': 7, 'token': 'pet', 'words': 4, 'score': 0.75}]
    """
    require_columns("hub_pivots", "pivots", pivots, ("source", "target", "token_id", "token", "score"))
    check_int("hub_pivots", "k", k, 1)
    tokens = pc.cast(pivots["token_id"], pa.int32())
    ties = pa.concat_tables(
        [pa.table({"token_id": tokens, "word": pivots[side].cast(pa.string())}) for side in ("source", "target")]
    )
    # A single thread adds in the order of the rows, so that the last bit of a score is the same in every run.
    words = ties.group_by("token_id", use_threads=False).aggregate([("word", "count_distinct")])
    scores = pa.table({"token_id": tokens, "token": pivots["token"].cast(pa.string()), "score": pivots["score"]})
    totals = scores.group_by("token_id", use_threads=False).aggregate([("token", "min"), ("score", "sum")])
    hubs = totals.join(words, "token_id").sort_by(
        [("word_count_distinct", "descending"), ("score_sum", "descending"), ("token_id", "ascending")]
    )
    degrees = hubs["word_count_distinct"].to_numpy()
    hubs = hubs.select(["token_id", "token_min", "word_count_distinct", "score_sum"])
    hubs = hubs.rename_columns(["token_id", "token", "words", "score"]).slice(0, k).combine_chunks()
    spread = {name: float(np.quantile(degrees, share)) for name, share in SHARES.items()} if len(degrees) else {}
    metadata = {
        "k": k,
        "tokens": totals.num_rows,
        "words_of_tokens": spread,
        "rule": table_metadata(pivots).get("rule"),
    }
    return with_metadata(hubs, metadata)

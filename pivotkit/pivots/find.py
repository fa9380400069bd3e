"""Semantic pivots of word pairs: the tokens that keep company with both words."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pivotkit.artifacts import require_columns, with_metadata
from pivotkit.pivots import association
from pivotkit.pivots.controls import FrequencyMatched
from pivotkit.pivots.similarity import similar
from pivotkit.progress import track

RULES = {"paper": "delta", "npmi": "npmi", "g2": "log_likelihood"}

Measure = Callable[..., NDArray[np.float64]]


class ContextCounts(Protocol):
    """What `find_pivots` reads of `pivotkit.corpus.tables.counts.Counts`."""

    @property
    def words(self) -> list[str]: ...
    @property
    def df(self) -> NDArray[np.int64]: ...
    @property
    def documents(self) -> int: ...
    @property
    def context(self) -> csr_array | None: ...
    @property
    def background(self) -> NDArray[np.int64] | None: ...
    def index(self, word: str) -> int: ...


class Families(Protocol):
    """What `find_pivots` reads of `pivotkit.words.token_sets.TokenSets`."""

    def family(self, word: str) -> Collection[int]: ...


def find_pivots(
    counts: ContextCounts,
    items: pa.Table,
    rule: str | Measure = "paper",
    k: int = 50,
    *,
    token_sets: Families,
    tokenizer: Any = None,
    embedding: Any = None,
    min_similarity: float | None = None,
    min_df: int = 2,
    min_score: float = 0.0,
    seed: int = 0,
) -> pa.Table:
    """Rank, for each word pair, the tokens associated with both words.

    Formula: ``score(t) = min(f(t, source), f(t, target))``, with f of the 2x2 table of document counts.

    Parameters
    ----------
    counts : pivotkit.corpus.tables.counts.Counts
        With ``context`` (documents that hold word w and token t, (W, V)) and ``background`` (documents that hold t).
    items : pyarrow.Table
        Columns ``item, pair, source, target``.
    rule : {"paper", "npmi", "g2"} or function, default "paper"
        f: "paper" is ``df(t|w) / df(w) - df(t) / N``; "npmi" and "g2" are those of `pivotkit.pivots.association`; a
        function of arrays ``(n11, n1_, n_1, n)``, such as `pivotkit.pivots.association.measure` makes, is used as it is.
    k : int, default 50
        Pivots per pair at most.
    token_sets : pivotkit.words.token_sets.TokenSets
        ``family(word)``: the tokens of the word's own spellings. Those of source and target are never pivots.
    tokenizer : default None
        ``decode([id])`` gives the columns ``token`` and ``control_token``, which are null without it.
    embedding : (V, D) array or tensor, default None
        The model's input embedding, for the semantic filter.
    min_similarity : float, default None
        With ``embedding``: a pivot's cosine to the mean of the two words' embeddings is at least this, where a word's
        embedding is the mean over its family.
    min_df : int, default 2
        Documents that a pivot shares with each word, at least; of a sampled context the estimates of them.
    min_score : float, default 0
        A pivot's score is above it.
    seed : int, default 0
        Of the random controls.

    Returns
    -------
    pyarrow.Table
        One row per pivot, in the order of ``items`` and then of ``rank`` (from 1): ``item, pair, source, target, rank,
        token_id, token, score, df_given_source, df_given_target, background`` (shares of documents), ``control_id,
        control_token``: a random token as frequent as the pivot, none of the pair's pivots or families, distinct within
        the pair; null where no token is left. The table's metadata say how many items have no pivots and why, and name
        the words that never occur.

    Raises
    ------
    TypeError
        When ``items`` is no table.
    ValueError
        When ``counts`` has no context, contradicts itself or is not of a word of ``items``, or an argument is out of
        range.

    Notes
    -----
    Equal scores go to the smaller token id. Only tokens with a positive score are pivots: the published code fills up to
    k with whatever is left, down to tokens that avoid the words. It also takes raw counts of 2,000 sampled documents per
    word where this takes shares of all of them. Cost: one pass over two rows of ``context`` per pair.

    Source: arXiv 2505.16385, section on semantic pivots and its published code.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from scipy.sparse import csr_array
    >>> words = {"chat": 0, "katze": 1}  # tokens: 0 chat, 1 katze, 2 cat and 3 the, which is in all ten documents
    >>> counts = SimpleNamespace(words=list(words), df=np.array([4, 4]), documents=10, index=words.__getitem__,
    ...     context=csr_array([[4, 0, 3, 4], [0, 4, 2, 4]]), background=np.array([4, 4, 4, 10]))
    >>> items = pa.table({"item": [0], "pair": ["fr-de"], "source": ["chat"], "target": ["katze"]})
    >>> families = SimpleNamespace(family=lambda word: [words[word]])
    >>> find_pivots(counts, items, token_sets=families)["token_id"].to_pylist()
    [2]
    """
    require_columns("find_pivots", "items", items, ("item", "pair", "source", "target"))
    context, background = _checked(counts)
    score_of = _measure(rule)
    if k < 1:
        raise ValueError(f"find_pivots: k must be at least 1; got {k}")
    if min_df < 1:
        raise ValueError(f"find_pivots: min_df must be at least 1; got {min_df}")
    if not min_score >= 0:
        raise ValueError(f"find_pivots: min_score must not be negative; got {min_score}")
    if (embedding is None) != (min_similarity is None):
        raise ValueError("find_pivots: embedding and min_similarity must be given together; got one of them")
    if embedding is not None and embedding.shape[0] < len(background):
        raise ValueError(
            f"find_pivots: embedding must have a row for each of the {len(background)} tokens; got {embedding.shape[0]}"
        )
    controls = FrequencyMatched(background, seed)
    sources, targets = items["source"].to_pylist(), items["target"].to_pylist()
    absent: set[str] = set()
    barren = 0  # items whose words both occur and that have no pivots all the same
    lost = 0
    which: list[NDArray[np.int64]] = []
    found: list[tuple[NDArray, ...]] = []
    control_ids: list[int | None] = []
    for item, (source, target) in enumerate(track(list(zip(sources, targets, strict=True)), "finding pivots")):
        rows = [_index(counts, word) for word in (source, target)]
        missing = [word for word, row in zip((source, target), rows, strict=True) if not counts.df[row]]
        if missing:
            absent.update(missing)
            lost += 1
            continue
        families = [np.unique(np.asarray(list(token_sets.family(word)), dtype=np.int64)) for word in (source, target)]
        tokens, given_source, given_target = _shared(context, rows[0], rows[1], families, min_df)
        frequency = background[tokens]
        if getattr(counts, "approximation", None) is not None:
            # Estimates of rare tokens go beyond what the exact margins allow.
            most = [np.minimum(counts.df[row], frequency) for row in rows]
            least = [np.maximum(0, counts.df[row] + frequency - counts.documents) for row in rows]
            given_source = np.clip(given_source, least[0], most[0])
            given_target = np.clip(given_target, least[1], most[1])
        tables = [
            (given, int(counts.df[row]), frequency, counts.documents)
            for given, row in zip((given_source, given_target), rows, strict=True)
        ]
        for word, table in zip((source, target), tables, strict=True):
            _check_table(word, *table)
        score = np.minimum(score_of(*tables[0]), score_of(*tables[1]))
        best = np.flatnonzero(score > min_score)
        best = best[np.lexsort((tokens[best], -score[best]))]
        if embedding is not None:
            best = best[similar(tokens[best], embedding, families, float(min_similarity or 0.0), k)]
        best = best[:k]
        barren += not len(best)
        chosen = tokens[best]
        taken = {*chosen.tolist(), *families[0].tolist(), *families[1].tolist()}
        control_ids.extend(controls.draw(chosen.tolist(), taken, f"{source}\0{target}"))
        which.append(np.full(len(best), item))
        found.append(
            (
                np.arange(1, len(best) + 1),
                chosen,
                score[best],
                given_source[best] / counts.df[rows[0]],
                given_target[best] / counts.df[rows[1]],
                frequency[best] / counts.documents,
            )
        )
    return with_metadata(
        _table(items, which, found, control_ids, tokenizer),
        {
            "rule": rule if isinstance(rule, str) else getattr(rule, "__name__", repr(rule)),
            "k": k,
            "min_df": min_df,
            "min_score": min_score,
            "min_similarity": min_similarity,
            "seed": seed,
            "documents": counts.documents,
            "items": items.num_rows,
            "items_without_pivots": {"a word never occurs": lost, "no token is tied to both words": barren},
            "absent_words": sorted(absent),
            "pivots_without_control": control_ids.count(None),
        },
    )


def _checked(counts: ContextCounts) -> tuple[csr_array, NDArray[np.int64]]:
    context, background = counts.context, counts.background
    if context is None or background is None:
        raise ValueError("find_pivots: counts must have context and background; got counts made without context")
    if context.shape != (len(counts.words), len(background)):
        raise ValueError(
            f"find_pivots: counts.context must be ({len(counts.words)}, {len(background)}) to match its words and "
            f"background; got {context.shape}"
        )
    if not context.has_canonical_format:  # a token twice in a row would count once
        context = context.copy()
        context.sum_duplicates()
    return context, background


def _check_table(word: str, n11: NDArray[np.int64], n1_: int, n_1: NDArray[np.int64], n: int) -> None:
    if ((n11 > np.minimum(n1_, n_1)) | (n1_ + n_1 - n11 > n)).any():
        raise ValueError(
            f"find_pivots: counts must fit together; got tokens in more documents with {word!r} than either occurs in, "
            "or margins beyond all documents"
        )


def _measure(rule: str | Measure) -> Measure:
    if callable(rule):
        return rule
    if rule not in RULES:
        raise ValueError(f"find_pivots: rule must be one of {', '.join(RULES)} or a function; got {rule!r}")
    measure: Measure = getattr(association, RULES[rule])
    return measure


def _index(counts: ContextCounts, word: str) -> int:
    try:
        return counts.index(word)
    except ValueError:
        raise ValueError(f"find_pivots: counts must be of every word of items; got none of {word!r}") from None


def _shared(
    context: csr_array, source: int, target: int, families: list[NDArray[np.int64]], min_df: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Tokens of neither family that share ``min_df`` documents with each word, and how many they share."""
    a, b = (slice(context.indptr[row], context.indptr[row + 1]) for row in (source, target))
    with_source = np.zeros(context.shape[1], context.dtype)  # one look-up table is faster than merging two rows
    with_source[context.indices[a]] = context.data[a]
    for family in families:
        with_source[family] = 0
    tokens, given_target = context.indices[b].astype(np.int64), context.data[b]
    given_source = with_source[tokens]
    keep = (given_source >= min_df) & (given_target >= min_df)
    return tokens[keep], given_source[keep], given_target[keep]


def _table(
    items: pa.Table,
    which: list[NDArray[np.int64]],
    found: list[tuple[NDArray, ...]],
    control_ids: list[int | None],
    tokenizer: Any,
) -> pa.Table:
    kinds = (np.int32, np.int32, np.float64, np.float64, np.float64, np.float64)
    columns = [
        np.concatenate([np.empty(0, kind), *(part[column] for part in found)]).astype(kind)
        for column, kind in enumerate(kinds)
    ]
    rank, token_ids, score, given_source, given_target, share = columns
    table = items.select(["item", "pair", "source", "target"])
    table = table.take(pa.array(np.concatenate([np.empty(0, np.int64), *which]).astype(np.int64)))
    values = {
        "rank": pa.array(rank),
        "token_id": pa.array(token_ids),
        "token": _texts(token_ids.tolist(), tokenizer),
        "score": pa.array(score),
        "df_given_source": pa.array(given_source),
        "df_given_target": pa.array(given_target),
        "background": pa.array(share),
        "control_id": pa.array(control_ids, pa.int32()),
        "control_token": _texts(control_ids, tokenizer),
    }
    for name, value in values.items():
        table = table.append_column(name, value)
    return table.replace_schema_metadata(None)


def _texts(ids: list[int | None], tokenizer: Any) -> pa.Array:
    known = {} if tokenizer is None else {token: tokenizer.decode([token]) for token in set(ids) if token is not None}
    return pa.array([None if token is None else known.get(token) for token in ids], pa.string())

"""Semantic pivots of word pairs: the tokens that co-occur with both words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pivotkit.arguments import check_int, check_number, refuse, refuse_kind
from pivotkit.artifacts import require_columns, with_metadata
from pivotkit.pivots.hub_penalty import mean_of_best_words
from pivotkit.pivots.item_controls import CONTROLS, ItemControls, conditions, look_alikes_of
from pivotkit.pivots.item_pivots import ContextCounts, ItemPivots, PivotSearch, WordFamilies
from pivotkit.pivots.rules import FEW_DOCUMENTS, Measure, candidate_filter, pivot_rule
from pivotkit.pivots.served import check_strata
from pivotkit.pivots.word_rows import WordRows
from pivotkit.progress import track


def find_pivots(
    counts: ContextCounts,
    items: pa.Table,
    rule: str | Measure = "stratified",
    k: int = 50,
    *,
    word_tokens: WordFamilies,
    measure: str | Measure | None = None,
    combine: str | None = None,
    candidates: str | None = None,
    without: Sequence[str] = (),
    tokenizer: Any = None,
    embedding: Any = None,
    min_similarity: float | None = None,
    min_df: int = 2,
    min_word_df: int | None = None,
    min_score: float = 0.0,
    hub_penalty: float = 0.0,
    seed: int = 0,
) -> pa.Table:
    """Rank, for each word pair, the tokens associated with both words.

    Formula: ``score(t) = sqrt(max(f(t, source), 0) * max(f(t, target), 0))``, where
    ``f(t, w) = log((n11 + 1) / (E + 1)) - 1 / sqrt(n11 + 1)``, n11 the documents with w and t, and
    ``E = sum over strata s of df_s(w) df_s(t) / n_s`` what they would share by chance; for rules of one background
    ``score(t) = min(f(t, source), f(t, target))``, where f is a measure of the 2x2 table of document counts.

    Parameters
    ----------
    counts : pivotkit.corpus.tables.counts.Counts
        Needs ``context``, the documents that contain word w and token t, (W, V), and ``background``, the documents that
        contain t; for "stratified" also ``strata``. Words that are counted in a language are read in those of the pair
        for "stratified"; the other rules read the word of all documents where there is one.
    items : pyarrow.Table
        Columns ``item, pair, source, target``.
    rule : {"stratified", "npmi", "g2", "paper"} or function, default "stratified"
        "stratified" compares with documents of the same languages and length, by ``measure``. The others know one
        background for all languages, so that a language's function words pass for company: "paper" is
        ``df(t|w) / df(w) - df(t) / N``; "npmi" and "g2" are those of `pivotkit.pivots.association`. A function of four
        arrays ``(n11, n1_, n_1, n)``, or of five with E, such as `pivotkit.pivots.association.measure` makes, is used
        directly.
    k : int, default 50
        The most pivots per pair.
    word_tokens : pivotkit.words.word_tokens.WordTokens
        Its ``family(word)`` gives the tokens of the word's own spellings. Tokens of source and target are never pivots.
        With ``candidates="words"`` its ``whole_word(token)`` and ``variant(token, word)`` decide.
    measure : {"lower_ratio", "log_ratio", "npmi", "deviance", "poisson", "delta"} or function of five arrays, optional
        The f of "stratified" (`pivotkit.pivots.expected_association`), by default "lower_ratio".
    combine : {"geometric", "min"}, optional
        Whether the score is the geometric mean of the two f or their minimum. By default "geometric" for measures with
        an expected count, and "min" for the others.
    candidates : {"words", "all"}, optional
        "words" leaves out pieces of words, numbers and signs, and every casing, spelling or inflection-like variant of
        either word. By default "words" for measures with an expected count, and "all" for the others.
    without : sequence of str, default ()
        Whose look-alikes (``word_tokens.variant``) are neither pivots nor controls: ``"source"``, ``"target"``, and
        languages, for the concept's word in them, from the column ``words`` of ``items``.
    tokenizer : Hugging Face tokenizer, optional
        Its ``decode([id])`` fills the columns of texts, which are null without it.
    embedding : (V, D) array or tensor, optional
        The model's input embedding, for the semantic filter.
    min_similarity : float, optional
        The least cosine of a pivot to the mean of the two words' embeddings. A word's embedding is the mean over its
        family. Given together with ``embedding``.
    min_df : int, default 2
        The least number of documents that a pivot shares with each word; for a sampled context, of its estimate.
    min_word_df : int, optional
        The least number of documents of either word; a pair with fewer has no pivots and is counted in the metadata. By
        default 20 for measures with an expected count, since company cannot be told from chance below; 1 for others.
    min_score : float, default 0
        A pivot's score must be above it.
    hub_penalty : float, default 0
        What is taken off a token's score: so many times the mean of its measure with the 20 words of ``items`` that it
        is most tied to. Against tokens that keep company with everything.
    seed : int, default 0
        Seeds the controls.

    Returns
    -------
    pyarrow.Table
        One row per pivot, in the order of ``items`` and then of ``rank``, which starts at 1. Columns ``item, pair,
        source, target, rank, token_id, token, score``; ``df_given_source, df_given_target, background``, which are
        shares of documents; ``expected_source, expected_target``, the documents that chance would give with each word;
        ``log_p``, the log of the probability that chance gives as many (Poisson), of the two words the greater;
        ``df_source, df_target``, the documents of each word, and ``reached``, how many tokens share ``min_df``
        documents with each; and three controls of every pivot, each a token and its text: ``control_id,
        control_token``, a random token about as frequent; ``matched_id, matched_token``, one about as frequent and of
        the same form (leading space, letters, script, capital), which needs ``word_tokens.text``; ``other_id,
        other_token``, a pivot of another item of the pair of languages, at the same rank where there is one and else at
        the nearest. The last one tells: whatever all items of a pair share, the others' pivots have too. A control is
        no pivot of the item, in neither family, and occurs once per item and kind; matched tokens and others' pivots
        also meet ``candidates``. It is null where there is none; the metadata counts why in ``controls_absent``. It
        also counts the items without pivots by reason and lists the words that never occur, and for strata of languages
        those of the pairs that no document has (``absent_languages``).

    Raises
    ------
    TypeError
        ``items`` is no table, or another argument is of another kind.
    ValueError
        ``counts`` has no context, contradicts itself or lacks a word of ``items``, or an argument is out of range. For
        "stratified": no strata, no set of languages with 150 documents, or no pair with documents in both languages.

    Notes
    -----
    Equal scores: the smaller token id comes first. Only tokens with a positive score are pivots. The published code
    fills up to k with other tokens, even those that avoid the words; it also takes raw counts of 2,000 sampled
    documents per word, where this function takes shares of all documents. Cost: one pass over two rows of ``context``
    per pair.

    Source: arXiv 2505.16385, section on semantic pivots, and its published code.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from scipy.sparse import csr_array
    >>> words = {"chat": 0, "katze": 1}  # tokens: 0 chat, 1 katze, 2 cat and 3 the, which is in all ten documents
    >>> counts = SimpleNamespace(words=list(words), df=np.array([4, 4]), documents=10, index=words.__getitem__,
    ...     context=csr_array([[4, 0, 3, 4], [0, 4, 2, 4]]), background=np.array([4, 4, 4, 10]))
    >>> items = pa.table({"item": [0], "pair": ["fr-de"], "source": ["chat"], "target": ["katze"]})
    >>> families = SimpleNamespace(family=lambda word: [words[word]])
    >>> find_pivots(counts, items, "paper", word_tokens=families)["token_id"].to_pylist()
    [2]
    """
    for name, value, parts in (
        ("counts", counts, ("words", "df", "documents", "context", "background", "index")),
        ("word_tokens", word_tokens, ("family",)),
        ("tokenizer", tokenizer, ("decode",)),
    ):
        optional = name == "tokenizer" and value is None
        if not optional and (isinstance(value, type | bytes) or not all(hasattr(value, part) for part in parts)):
            refuse_kind("find_pivots", name, f"have {', '.join(parts)}, as those of pivotkit have", value)
    require_columns("find_pivots", "items", items, ("item", "pair", "source", "target"))
    context, background = _context_of(counts)
    chosen = pivot_rule(rule, measure, combine)
    if chosen.stratified and getattr(counts, "strata", None) is None:
        wanted = f"have strata for the rule {chosen.name} (count(..., strata=Strata()), pivotkit count --strata both)"
        raise ValueError(f"find_pivots: counts must {wanted}; got counts without; rule='paper' needs none")
    allowed = candidate_filter(candidates, chosen, word_tokens)
    _check_conditions(k, min_df, min_word_df, min_score, hub_penalty)
    least = min_word_df or (FEW_DOCUMENTS if chosen.stratified else 1)
    check_int("find_pivots", "seed", seed, 0)
    _check_embedding(embedding, min_similarity, len(background))
    left_out = look_alikes_of("find_pivots", without, items, word_tokens)
    search = PivotSearch(
        counts, context, background, chosen, word_tokens, k, min_df, min_score, embedding,
        float(min_similarity or 0.0),
    )  # fmt: skip
    asked = list(zip(*(items[name].to_pylist() for name in ("pair", "source", "target")), strict=True))
    word_rows = WordRows(counts, "find_pivots", chosen.stratified)
    told = check_strata(counts.strata, (word_rows.languages(pair) for pair, _, _ in asked)) if chosen.stratified else {}
    places = [word_rows.of(*words) for words in asked]
    if hub_penalty:
        every = (row for rows in places for row in rows)
        means = mean_of_best_words(counts, context, background, chosen, every)
        search = replace(search, penalty=hub_penalty * means)
    controls = ItemControls(background, getattr(word_tokens, "text", None), seed)
    found: list[tuple[int, ItemPivots]] = []
    absent_words: set[str] = set()
    items_of_absent_words = items_of_rare_words = 0
    for item, (pair, source, target) in enumerate(track(asked, "finding pivots")):
        rows = places[item]
        df = counts.df[[*rows]]
        absent = [word for word, own in zip((source, target), df, strict=True) if not own]
        if absent:
            absent_words.update(absent)
            items_of_absent_words += 1
            continue
        if df.min() < least:
            items_of_rare_words += 1
            continue
        meets, foreign = conditions(word_tokens, allowed, source, target, left_out[item])
        pivots = search.find(source, target, rows, meets)
        controls.add(pair, f"{source}\0{target}", pivots, meets, foreign)
        found.append((item, pivots))
    control_ids, controls_absent = controls.finish()
    metadata = {
        "rule": chosen.name,
        "combine": chosen.combine,
        "candidates": "all" if allowed is None else "words",
        "without": list(without),
        "min_word_df": least,
        "hub_penalty": hub_penalty,
        "k": k,
        "min_df": min_df,
        "min_score": min_score,
        "min_similarity": min_similarity,
        "seed": seed,
        "documents": counts.documents,
        "items": items.num_rows,
        "items_without_pivots": {
            "a word never occurs": items_of_absent_words,
            "a word is in too few documents": items_of_rare_words,
            "no token is tied to both words": sum(not len(pivots.token_ids) for _, pivots in found),
        },
        "absent_words": sorted(absent_words),
        "controls_absent": controls_absent,
        **told,
    }
    return with_metadata(_table(items, found, control_ids, tokenizer), metadata)


def _check_conditions(k: int, min_df: int, min_word_df: int | None, min_score: float, hub_penalty: float) -> None:
    check_int("find_pivots", "k", k, 1)
    check_int("find_pivots", "min_df", min_df, 1)
    check_int("find_pivots", "min_word_df", min_word_df, 1, none=True)
    check_number("find_pivots", "min_score", min_score)
    if min_score < 0:
        refuse("find_pivots", "min_score", "not be negative", min_score)
    check_number("find_pivots", "hub_penalty", hub_penalty, 0, 1)


def _check_embedding(embedding: Any, min_similarity: float | None, tokens: int) -> None:
    if embedding is not None and len(getattr(embedding, "shape", ())) != 2:
        refuse_kind("find_pivots", "embedding", "be a (V, D) array or tensor, or None", embedding)
    check_number("find_pivots", "min_similarity", min_similarity, -1, 1, none=True)
    if (embedding is None) != (min_similarity is None):
        raise ValueError("find_pivots: embedding and min_similarity must be given together; got one of them")
    if embedding is not None and embedding.shape[0] < tokens:
        raise ValueError(
            f"find_pivots: embedding must have a row for each of the {tokens} tokens; got {embedding.shape[0]}"
        )


def _context_of(counts: ContextCounts) -> tuple[csr_array, NDArray[np.int64]]:
    """The context table, each token once per row, and the background."""
    context, background = counts.context, counts.background
    if context is None or background is None:
        raise ValueError("find_pivots: counts must have context and background; got counts made without context")
    if context.shape != (len(counts.words), len(background)):
        raise ValueError(
            f"find_pivots: counts.context must be ({len(counts.words)}, {len(background)}) to match its words and "
            f"background; got {context.shape}"
        )
    if not context.has_canonical_format:  # of a token that is twice in a row, only one entry would count
        context = context.copy()
        context.sum_duplicates()
    return context, background


def _table(
    items: pa.Table, found: list[tuple[int, ItemPivots]], controls: Mapping[str, list[int | None]], tokenizer: Any
) -> pa.Table:
    """One row per pivot."""

    def joined(parts: list[NDArray[Any]], dtype: type) -> NDArray[Any]:
        return np.concatenate([np.empty(0, dtype), *parts]).astype(dtype)

    lines = joined([np.full(len(pivots.token_ids), item) for item, pivots in found], np.int64)
    token_ids = joined([pivots.token_ids for _, pivots in found], np.int32)
    values = {
        "rank": pa.array(joined([np.arange(1, len(pivots.token_ids) + 1) for _, pivots in found], np.int32)),
        "token_id": pa.array(token_ids),
        "token": _texts(token_ids.tolist(), tokenizer),
        "score": pa.array(joined([pivots.scores for _, pivots in found], np.float64)),
        "df_given_source": pa.array(joined([pivots.df_given_source for _, pivots in found], np.float64)),
        "df_given_target": pa.array(joined([pivots.df_given_target for _, pivots in found], np.float64)),
        "background": pa.array(joined([pivots.background for _, pivots in found], np.float64)),
        "expected_source": pa.array(joined([pivots.expected_source for _, pivots in found], np.float64)),
        "expected_target": pa.array(joined([pivots.expected_target for _, pivots in found], np.float64)),
        "log_p": pa.array(joined([pivots.log_p for _, pivots in found], np.float64)),
        "df_source": pa.array(joined([_each(pivots, pivots.df[0]) for _, pivots in found], np.int64)),
        "df_target": pa.array(joined([_each(pivots, pivots.df[1]) for _, pivots in found], np.int64)),
        "reached": pa.array(joined([_each(pivots, pivots.reached) for _, pivots in found], np.int32)),
    }
    for name in CONTROLS:
        values |= {
            f"{name}_id": pa.array(controls[name], pa.int32()), f"{name}_token": _texts(controls[name], tokenizer)
        }  # fmt: skip
    table = items.select(["item", "pair", "source", "target"]).take(pa.array(lines))
    for name, value in values.items():
        table = table.append_column(name, value)
    return table.replace_schema_metadata(None)


def _each(pivots: ItemPivots, value: int) -> NDArray[np.int64]:
    """The same number for every pivot of an item."""
    return np.full(len(pivots.token_ids), value)


def _texts(ids: list[int | None], tokenizer: Any) -> pa.Array:
    """The text of every id; null without a tokenizer."""
    known = {} if tokenizer is None else {token: tokenizer.decode([token]) for token in set(ids) if token is not None}
    return pa.array([None if token is None else known.get(token) for token in ids], pa.string())

"""Pivots that are words: the counted words of any language that co-occur with both words of an item."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pivotkit.arguments import check_int, check_number, check_strings, refuse, refuse_kind
from pivotkit.artifacts import require_columns, with_metadata
from pivotkit.pivots.rules import FEW_DOCUMENTS, Measure, PivotRule, pivot_rule
from pivotkit.pivots.word_rows import WordRows
from pivotkit.progress import track
from pivotkit.words.token_classes import SEPARATOR, alike, folded

WORD_PIVOTS = pa.schema(
    [("rank", pa.int32()), ("word", pa.string()), ("language", pa.string()), ("score", pa.float64()),
     ("token_ids", pa.list_(pa.int32())), ("df_given_source", pa.float64()), ("df_given_target", pa.float64()),
     ("background", pa.float64()), ("expected_source", pa.float64()), ("expected_target", pa.float64())]
)  # fmt: skip


def word_pivots(
    counts: Any,
    items: pa.Table,
    rule: str | Measure = "stratified",
    k: int = 50,
    *,
    word_tokens: Any = None,
    languages: Sequence[str] | None = None,
    measure: str | Measure | None = None,
    combine: str | None = None,
    min_df: int = 2,
    min_word_df: int | None = None,
    min_score: float = 0.0,
) -> pa.Table:
    """Rank, for each word pair, the counted words of any language that are associated with both words.

    Formula: that of `find_pivots`, with a word u in the place of the token: n11 the documents with w and u, and
    ``E = sum over strata s of df_s(w) df_s(u) / n_s`` what they would share by chance.

    Parameters
    ----------
    counts : pivotkit.corpus.tables.counts.Counts
        Needs postings (a folder of `count`), and for "stratified" also ``strata``. Its words are those of the watch
        list: a word can be a pivot only if it was counted.
    items : pyarrow.Table
        Columns ``item, pair, source, target``.
    rule, measure, combine
        As in `find_pivots`.
    k : int, default 50
        The most pivots per pair.
    word_tokens : pivotkit.words.word_tokens.WordTokens, optional
        Gives ``token_ids``, which are null without it.
    languages : sequence of str, optional
        Only words of these; by default all counted words.
    min_df : int, default 2
        The least number of documents that a pivot shares with each word.
    min_word_df : int, optional
        The least number of documents of either word; by default 20 for measures with an expected count, else 1.
    min_score : float, default 0
        A pivot's score must be above it.

    Returns
    -------
    pyarrow.Table
        One row per pivot, in the order of ``items`` and then of ``rank``, which starts at 1. Columns ``item, pair,
        source, target, rank, word`` (normalized, as it was counted), ``language`` (several joined by "|", null where
        none is known), ``score``; ``token_ids``, the tokens that spell the whole word, ascending, which join it to the
        pivots of `find_pivots`: none where every spelling takes several; ``df_given_source, df_given_target,
        background``, which are shares of documents; ``expected_source, expected_target``, the documents that chance
        would give. The metadata counts the items without pivots by reason.

    Raises
    ------
    TypeError
        ``items`` is no table, or another argument is of another kind.
    ValueError
        ``counts`` has no postings, or lacks a word of ``items`` or every word of a language; or an argument is out of
        range.
    InputError
        The files of the postings are gone or damaged.

    Notes
    -----
    Source, target and what looks like either (`alike`: spellings, inflections, beginnings, in any language) are no
    pivots. A word that was counted in a language is found in documents of that language alone, and an English word
    beside French ones stands in a French document. So count the candidates in all documents, too: of a spelling that
    was counted in all documents that row is the candidate, and the languages that it was counted in are its
    ``language``. Other spellings are candidates in each of their languages, and can be pivots only in documents of
    several. Counts are exact. Equal scores: the word that was counted first. Cost: one product of sparse matrices per
    work unit, and the documents that the words of items share with every counted word, in memory.

    Examples
    --------
    >>> import tempfile, pivotkit as pk
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> lines = ["chat cat"] * 3 + ["Katze cat"] * 3 + ["chat", "Katze", "dog", "dog"]
    >>> _ = (folder / "corpus.txt").write_text("\\n".join(lines))
    >>> counts = pk.count(folder / "corpus.txt", ["chat", "Katze", "cat", "dog"], out=folder / "counts", workers=1)
    >>> items = pa.table({"item": [0], "pair": ["fr-de"], "source": ["chat"], "target": ["Katze"]})
    >>> pk.word_pivots(counts, items, "paper").select(["word", "score"]).to_pylist()
    [{'word': 'cat', 'score': 0.15000000000000002}]
    """
    parts = ("words", "df", "documents", "index", "postings")
    if isinstance(counts, type) or not all(hasattr(counts, part) for part in parts):
        refuse_kind("word_pivots", "counts", f"have {', '.join(parts)}, as those of pivotkit have", counts)
    if word_tokens is not None and not all(hasattr(word_tokens, part) for part in ("family", "text")):
        refuse_kind("word_pivots", "word_tokens", "have family, text, as WordTokens has, or be None", word_tokens)
    require_columns("word_pivots", "items", items, ("item", "pair", "source", "target"))
    chosen = pivot_rule(rule, measure, combine, "word_pivots")
    check_int("word_pivots", "k", k, 1)
    check_int("word_pivots", "min_df", min_df, 1)
    check_int("word_pivots", "min_word_df", min_word_df, 1, none=True)
    check_number("word_pivots", "min_score", min_score, 0)
    codes = [None] * len(counts.words) if getattr(counts, "languages", None) is None else list(counts.languages)
    labels = _languages(counts.words, codes)
    candidates = _candidates(counts.words, codes, labels, languages)
    few = min_word_df or (FEW_DOCUMENTS if chosen.stratified else 1)
    if counts.postings is None:
        raise ValueError(
            "word_pivots: counts must be kept in a folder (count(..., out=...)); got counts without postings"
        )
    if chosen.stratified and getattr(counts, "strata", None) is None:
        raise ValueError(f"word_pivots: counts must have strata for the rule {chosen.name}; got counts without")
    rows = WordRows(counts, "word_pivots", chosen.stratified)
    asked = list(zip(*(items[name].to_pylist() for name in ("pair", "source", "target")), strict=True))
    ends = [rows.of(*one) for one in asked]
    queried = sorted({row for pair in ends for row in pair})
    shared = counts.postings.shared(queried, len(counts.words))
    search = _Search(counts, dict(zip(queried, range(len(queried)), strict=True)), shared, candidates, chosen)
    found: list[dict[str, Any]] = []
    lines: list[int] = []
    without: Counter[str] = Counter()
    for item, ((_, source, target), both) in enumerate(zip(track(asked, "finding word pivots"), ends, strict=True)):
        least = min(int(counts.df[row]) for row in both)
        if least < few:
            without["a word is in too few documents" if least else "a word never occurs"] += 1
            continue
        best = search.best(both, (source, target), k, min_df, min_score)
        if not best:
            without["no word is tied to both words"] += 1
        lines += [item] * len(best)
        for row in best:
            found.append(row | {"language": labels[row["place"]], "token_ids": _spelled(row["word"], word_tokens)})
    table = items.select(["item", "pair", "source", "target"]).take(pa.array(lines, pa.int64()))
    own = pa.Table.from_pylist(found, schema=WORD_PIVOTS)
    for name in own.column_names:
        table = table.append_column(name, own[name])
    metadata = {
        "rule": chosen.name, "combine": chosen.combine, "k": k, "min_df": min_df, "min_word_df": few,
        "min_score": min_score, "languages": languages and list(languages), "documents": counts.documents,
        "items": items.num_rows, "items_without_pivots": dict(without),
    }  # fmt: skip
    return with_metadata(table.replace_schema_metadata(None), metadata)


class _Search:
    """What the search of every item reads."""

    def __init__(
        self, counts: Any, place: dict[int, int], shared: csr_array, candidates: NDArray[np.bool_], rule: PivotRule
    ) -> None:
        self.counts = counts
        self.place = place  # of a word's row in ``shared``
        self.shared = shared
        self.candidates = candidates
        self.rule = rule

    def best(
        self, ends: tuple[int, int], words: tuple[str, str], k: int, min_df: int, min_score: float
    ) -> list[dict[str, Any]]:
        """The pivots of two words, best first."""
        counts = self.counts
        both = [self.shared[[self.place[row]]].toarray()[0] for row in ends]
        kept = np.flatnonzero((both[0] >= min_df) & (both[1] >= min_df) & self.candidates)
        tables: list[tuple[Any, ...]] = [
            (own[kept], int(counts.df[row]), counts.df[kept], counts.documents)
            for own, row in zip(both, ends, strict=True)
        ]
        if self.rule.stratified:
            chance = [counts.strata.expected_words(row)[kept] for row in ends]
            score = self.rule.score([(*table, one) for table, one in zip(tables, chance, strict=True)])
        else:
            chance = [counts.df[row] * (counts.df[kept] / counts.documents) for row in ends]
            score = self.rule.score(tables)
        order = np.lexsort((kept, -score))
        passed = (
            at for at in order[score[order] > min_score].tolist()
            if kept[at] not in ends and not any(alike(folded(counts.words[kept[at]]), word) for word in words)
        )  # fmt: skip
        return [
            {
                "rank": rank, "place": int(kept[at]), "word": counts.words[kept[at]], "score": float(score[at]),
                "df_given_source": tables[0][0][at] / counts.df[ends[0]],
                "df_given_target": tables[1][0][at] / counts.df[ends[1]],
                "background": counts.df[kept[at]] / counts.documents,
                "expected_source": chance[0][at], "expected_target": chance[1][at],
            }
            for rank, at in enumerate(itertools.islice(passed, k), 1)
        ]  # fmt: skip


def _languages(words: Sequence[str], codes: Sequence[str | None]) -> list[str | None]:
    """The language of each counted word: the one that it was counted in, or those that its spelling was."""
    known: dict[str, set[str]] = defaultdict(set)
    for word, code in zip(words, codes, strict=True):
        if code is not None:
            known[word].add(code)
    joined = {word: SEPARATOR.join(sorted(some)) for word, some in known.items()}
    return [joined.get(word) if code is None else code for word, code in zip(words, codes, strict=True)]


def _candidates(
    words: Sequence[str], codes: Sequence[str | None], labels: Sequence[str | None], languages: Sequence[str] | None
) -> NDArray[np.bool_]:
    """Which counted words may be pivots: of each spelling the one of all documents, else those of languages."""
    everywhere = {word for word, code in zip(words, codes, strict=True) if code is None}
    once = [code is None or word not in everywhere for word, code in zip(words, codes, strict=True)]
    if languages is None:
        return np.array(once, bool)
    wanted = check_strings("word_pivots", "languages", languages, "a sequence of strings or None")
    for code in wanted:
        if code not in codes:
            refuse("word_pivots", "languages", "be languages of counted words", code)
    told = [not set(wanted).isdisjoint((label or "").split(SEPARATOR)) for label in labels]
    return np.logical_and(once, told)


def _spelled(word: str, word_tokens: Any) -> list[int] | None:
    """The tokens that spell the whole word."""
    if word_tokens is None:
        return None
    return sorted(token for token in word_tokens.family(word) if folded(word_tokens.text(token)) == folded(word))

"""The pivots of one item: tokens that co-occur with both of its words."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pivotkit.arguments import refuse
from pivotkit.pivots import expected_association
from pivotkit.pivots.controls import Condition
from pivotkit.pivots.rules import PivotRule
from pivotkit.pivots.similarity import similar


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
    @property
    def strata(self) -> Any: ...
    def index(self, word: str, language: str | None = None) -> int: ...


class WordFamilies(Protocol):
    """What `find_pivots` reads of `pivotkit.words.word_tokens.WordTokens`: the tokens of a word's own spellings."""

    def family(self, word: str) -> Collection[int]: ...


@dataclass(frozen=True)
class PivotSearch:
    """What the search of every item reads, and the conditions that a pivot must meet; see `find_pivots`."""

    counts: ContextCounts
    context: csr_array
    background: NDArray[np.int64]
    rule: PivotRule
    word_tokens: WordFamilies
    k: int
    min_df: int
    min_score: float
    embedding: Any | None
    min_similarity: float
    penalty: NDArray[np.float64] | None = None  # of each token, taken off its score

    def find(self, source: str, target: str, rows: tuple[int, int], allowed: Condition | None = None) -> ItemPivots:
        """The pivots of two words that both occur, best first; ``allowed`` tells which tokens may be."""
        counts = self.counts
        families = [
            np.unique(np.asarray(list(self.word_tokens.family(word)), dtype=np.int64)) for word in (source, target)
        ]
        for family in families:
            if len(family) and family[-1] >= len(self.background):
                rule = f"be of the tokenizer of counts, with ids below {len(self.background)}"
                refuse("find_pivots", "word_tokens", rule, family[-1])
        tokens, *shared = _shared_tokens(self.context, rows, families, self.min_df)
        frequency = self.background[tokens]
        if getattr(counts, "approximation", None) is not None:
            shared = [_clipped(counts, row, own, frequency) for row, own in zip(rows, shared, strict=True)]
        tables = [
            (own, int(counts.df[row]), frequency, counts.documents) for own, row in zip(shared, rows, strict=True)
        ]
        for word, table in zip((source, target), tables, strict=True):
            _check_table(word, *table)
        if self.rule.stratified:
            expected = [counts.strata.expected(row)[tokens] for row in rows]
        else:
            expected = [counts.df[row] * (frequency / counts.documents) for row in rows]
        with_chance = [(*table, chance) for table, chance in zip(tables, expected, strict=True)]
        score = self.rule.score(with_chance if self.rule.stratified else tables)
        if self.penalty is not None:
            score = score - self.penalty[tokens]
        best = np.flatnonzero(score > self.min_score)
        best = best[np.lexsort((tokens[best], -score[best]))]
        if allowed is not None:
            best = self._allowed(tokens, best, allowed)
        if self.embedding is not None:
            best = best[similar(tokens[best], self.embedding, families, self.min_similarity, self.k)]
        best = best[: self.k]
        return ItemPivots(
            token_ids=tokens[best],
            scores=score[best],
            df_given_source=shared[0][best] / counts.df[rows[0]],
            df_given_target=shared[1][best] / counts.df[rows[1]],
            background=frequency[best] / counts.documents,
            expected_source=expected[0][best],
            expected_target=expected[1][best],
            log_p=-np.minimum(
                *(expected_association.poisson(*(_of(part, best) for part in table)) for table in with_chance)
            ),
            family=frozenset(families[0].tolist()).union(families[1].tolist()),
            df=(int(counts.df[rows[0]]), int(counts.df[rows[1]])),
            reached=len(tokens),
        )

    def _allowed(self, tokens: NDArray[np.int64], best: NDArray[np.int64], allowed: Condition) -> NDArray[np.int64]:
        """Those of ``best`` that may be pivots; without a filter after this one, the first k of them."""
        most = self.k if self.embedding is None else len(best)
        passed = (place for place in best.tolist() if allowed(int(tokens[place])))
        return np.fromiter(itertools.islice(passed, most), np.int64)


@dataclass(frozen=True)
class ItemPivots:
    """The pivots of one item, best first; frequencies are shares of documents.

    Attributes
    ----------
    token_ids : (n,) int64
    scores : (n,) float64
    df_given_source, df_given_target : (n,) float64
        The share of the word's documents that contain the pivot.
    background : (n,) float64
        The share of all documents that contain the pivot.
    expected_source, expected_target : (n,) float64
        The documents that the pivot would share with each word by chance.
    log_p : (n,) float64
        The log of the probability that chance gives as many or more with the word that it is less tied to, in nats.
    family : frozenset of int
        The tokens of the two words' own spellings.
    df : (int, int)
        The documents of each word.
    reached : int
        How many tokens of neither family share ``min_df`` documents with each word.
    """

    token_ids: NDArray[np.int64]
    scores: NDArray[np.float64]
    df_given_source: NDArray[np.float64]
    df_given_target: NDArray[np.float64]
    background: NDArray[np.float64]
    expected_source: NDArray[np.float64]
    expected_target: NDArray[np.float64]
    log_p: NDArray[np.float64]
    family: frozenset[int]
    df: tuple[int, int]
    reached: int


def _of(part: Any, places: NDArray[np.int64]) -> Any:
    """The numbers of some tokens, or the one number of all."""
    return part[places] if isinstance(part, np.ndarray) else part


def _shared_tokens(
    context: csr_array, rows: tuple[int, int], families: list[NDArray[np.int64]], min_df: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Tokens of neither family that share ``min_df`` documents with each word, and how many they share with each."""
    a, b = (slice(context.indptr[row], context.indptr[row + 1]) for row in rows)
    with_source = np.zeros(context.shape[1], context.dtype)  # one look-up table is faster than merging two rows
    with_source[context.indices[a]] = context.data[a]
    for family in families:
        with_source[family] = 0
    tokens, with_target = context.indices[b].astype(np.int64), context.data[b]
    found = with_source[tokens]
    keep = (found >= min_df) & (with_target >= min_df)
    return tokens[keep], found[keep], with_target[keep]


def _clipped(
    counts: ContextCounts, row: int, shared: NDArray[np.int64], frequency: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Sampled estimates, kept within what the exact margins allow: estimates of rare tokens exceed it."""
    least = np.maximum(0, counts.df[row] + frequency - counts.documents)
    return np.clip(shared, least, np.minimum(counts.df[row], frequency))


def _check_table(word: str, n11: NDArray[np.int64], n1_: int, n_1: NDArray[np.int64], n: int) -> None:
    if ((n11 > np.minimum(n1_, n_1)) | (n1_ + n_1 - n11 > n)).any():
        raise ValueError(
            f"find_pivots: counts must fit together; got tokens in more documents with {word!r} than either occurs in, "
            "or margins beyond all documents"
        )

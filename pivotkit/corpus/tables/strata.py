"""Strata: classes of documents by their set of languages and their length, and the counts of each.

A word and a token that have nothing to do with each other still share documents: those of their language, and long
ones. What two of them are expected to share is therefore counted stratum by stratum (`StratumCounts.expected`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from pivotkit.corpus.matching.word_languages import LanguageSet
from pivotkit.corpus.reading.amounts import amount

LEAST_DOCUMENTS = 150  # of a cell, before a share of documents means something
_BELOW = 1 << 48  # documents are shorter


@dataclass(frozen=True)
class StratumList:
    """The strata of a count, fixed before the scan: a set of languages, and a range of lengths.

    Attributes
    ----------
    sets : tuple of language sets
        The last one is None, for documents of every other set.
    edges : tuple of tuples of int
        For each set, ascending lengths; n of them make n + 1 strata. A document as long as an edge is in the stratum
        that begins with it.

    Examples
    --------
    >>> strata = StratumList((("fr",), None), ((100,), ()))
    >>> strata.assign(strata.places([("fr",), ("de",)]), np.array([0, 0, 1]), np.array([99, 100, 7])).tolist()
    [0, 1, 2]
    """

    sets: tuple[LanguageSet | None, ...]
    edges: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return sum(len(some) + 1 for some in self.edges)

    def __repr__(self) -> str:
        return f"StratumList({len(self):,} strata, {amount(len(self.sets), 'language set')})"

    def places(self, sets: Sequence[LanguageSet]) -> npt.NDArray[np.int64]:
        """The place of each of ``sets`` in this list, that of the others where it is not listed."""
        place = {some: number for number, some in enumerate(self.sets)}
        return np.array([place.get(some, len(self.sets) - 1) for some in sets], np.int64)

    def assign(
        self, places: npt.NDArray[np.int64], documents: npt.NDArray[np.integer], lengths: npt.NDArray[np.integer]
    ) -> npt.NDArray[np.int32]:
        """The stratum of each document, from ``places[documents]``, the place of its set, and its length."""
        own = places[documents]
        passed = np.searchsorted(self._edge_keys, own * _BELOW + lengths, "right")  # edges of earlier sets, too
        return np.asarray(passed + own, np.int32)

    @functools.cached_property
    def _edge_keys(self) -> npt.NDArray[np.int64]:
        keys = [place * _BELOW + edge for place, some in enumerate(self.edges) for edge in some]
        return np.array(keys, np.int64)

    def of_sets(self) -> npt.NDArray[np.int64]:
        """The place of the set of each stratum, int64 (S,)."""
        return np.repeat(np.arange(len(self.sets)), [len(some) + 1 for some in self.edges])

    def to_json(self) -> list[Any]:
        return [
            [None if some is None else list(some), list(edges)]
            for some, edges in zip(self.sets, self.edges, strict=True)
        ]

    @classmethod
    def from_json(cls, listed: list[Any]) -> StratumList:
        return cls(
            tuple(None if some is None else tuple(some) for some, _ in listed),
            tuple(tuple(edges) for _, edges in listed),
        )


@dataclass(frozen=True, eq=False)
class StratumCounts:
    """Documents of each stratum that contain each word and each token. S strata, W words, V token ids.

    Attributes
    ----------
    strata : StratumList
    vocabulary : int
        V; 0 where documents come without tokens.
    table : csr_array, int64 (S, V + W + 1)
        ``background``, ``df`` and ``documents`` side by side, as they are stored.
    """

    strata: StratumList
    vocabulary: int
    table: scipy.sparse.csr_array

    def __repr__(self) -> str:
        return (
            f"StratumCounts({len(self.strata):,} strata, {amount(self.table.shape[1] - self.vocabulary - 1, 'word')})"
        )

    def __add__(self, other: StratumCounts) -> StratumCounts:
        """The counts of both, which have the same strata, words and vocabulary."""
        return replace(self, table=scipy.sparse.csr_array(self.table + other.table))

    @functools.cached_property
    def documents(self) -> npt.NDArray[np.int64]:
        """Documents of each stratum, int64 (S,)."""
        return np.asarray(self.table[:, [-1]].toarray()[:, 0], np.int64)

    @functools.cached_property
    def df(self) -> npt.NDArray[np.int64]:
        """Documents of each stratum that contain each word, int64 (W, S)."""
        return np.asarray(self.table[:, self.vocabulary : -1].toarray().T, np.int64)

    @functools.cached_property
    def background(self) -> scipy.sparse.csr_array:
        """Documents of each stratum that contain each token, csr_array int64 (S, V)."""
        return scipy.sparse.csr_array(self.table[:, : self.vocabulary])

    def groups(self) -> npt.NDArray[np.int64]:
        """The cell of each stratum, int64 (S,): strata that are joined until a cell has 150 documents.

        Neighbours in length are joined within a set of languages, from the shortest on; a rest joins the cell before
        it. Sets that have fewer documents in all make one cell together.
        """
        sets, sizes = self.strata.of_sets(), self.documents
        rare = np.bincount(sets, sizes, len(self.strata.sets)) < LEAST_DOCUMENTS
        cells = np.zeros(len(sizes), np.int64)
        cell = 0  # that of the rare sets
        for place in np.flatnonzero(~rare):
            own = np.flatnonzero(sets == place)
            left = sizes[own][::-1].cumsum()[::-1]  # documents of each stratum and those behind it
            cell, held = cell + 1, 0
            for stratum, rest in zip(own, left, strict=True):
                if held >= LEAST_DOCUMENTS and rest >= LEAST_DOCUMENTS:
                    cell, held = cell + 1, 0
                cells[stratum] = cell
                held += sizes[stratum]
        return cells

    def expected(self, word: int) -> npt.NDArray[np.float64]:
        """``sum over cells g of df_g(word) df_g(t) / n_g`` for each token t, float64 (V,)."""
        shares, background, _ = self._cells
        return np.asarray(shares[word] @ background, np.float64)

    def expected_words(self, word: int) -> npt.NDArray[np.float64]:
        """``sum over cells g of df_g(word) df_g(u) / n_g`` for each word u, float64 (W,)."""
        shares, _, sizes = self._cells
        return np.asarray(shares @ (shares[word] * sizes), np.float64)

    @functools.cached_property
    def _cells(self) -> tuple[npt.NDArray[np.float64], scipy.sparse.csr_array, npt.NDArray[np.int64]]:
        """Per word the share of each cell's documents that contain it; the background of the cells, and their sizes."""
        groups = self.groups()
        join = scipy.sparse.csr_array(
            (np.ones(len(groups)), (groups, np.arange(len(groups)))), shape=(groups.max() + 1, len(groups))
        )
        sizes = np.maximum(join @ self.documents, 1)
        return self.df @ join.T / sizes, scipy.sparse.csr_array(join @ self.background), sizes

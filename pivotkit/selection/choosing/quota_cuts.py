"""Where the budget of each quota is reached in the ranking, found from histograms of fixed size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.selection.choosing.ranking import Keys

BINS = 1 << 22  # of all quotas together, 32 bytes each
MOST_BITS = 16  # of the bins of one quota
HELD = 1 << 20  # documents that are sorted in memory, of all quotas together
HIGHEST = np.uint64(2**64 - 1)
NO_UNITS = pa.array([], pa.string())

Quotas: TypeAlias = NDArray[np.int32]
Tokens: TypeAlias = NDArray[np.int64]
HashesOf: TypeAlias = Callable[[NDArray[np.intp]], Keys]  # the hashes of these documents of a batch


class Cells(NamedTuple):
    """What a batch adds to the histograms: the cell of each document, its tokens, and the key it was put there by."""

    places: NDArray[np.int64]
    tokens: Tokens
    keys: Keys


class Candidates(NamedTuple):
    """Documents among which a quota's budget is reached."""

    quotas: Quotas
    keys: Keys
    hashes: Keys
    units: pa.Array
    rows: NDArray[np.int64]
    tokens: Tokens

    @staticmethod
    def joined(parts: Sequence[Candidates]) -> Candidates:
        if not parts:
            none = np.zeros(0, np.int64)
            return Candidates(none.astype(np.int32), none.view(np.uint64), none.view(np.uint64), NO_UNITS, none, none)
        quotas, keys, hashes, units, rows, tokens = zip(*parts, strict=True)
        every = pa.chunked_array(units).combine_chunks()
        join = np.concatenate
        return Candidates(join(quotas), join(keys), join(hashes), every, join(rows), join(tokens))


class QuotaCuts:
    """For each of Q groups the stretch of the ranking in which its budget is reached, and what is taken before it.

    A document is taken while the tokens before it are below the budget. `narrow` makes a stretch one bin of the
    histogram of the stretch before, first by key and, once all keys in it are equal, by hash.

    Attributes
    ----------
    budgets : int64 (Q,)
    available, documents, tokens : int64 (Q,)
        All tokens of the group; how many documents and tokens are taken, once `resolve` was called.
    """

    def __init__(self, budgets: Tokens | None, size: int, *, all_equal: bool) -> None:
        """Without ``budgets``, `share_out` gives them."""
        self.budgets = np.zeros(size, np.int64) if budgets is None else budgets
        self.available = np.zeros(size, np.int64)
        self.documents, self.tokens = np.zeros(size, np.int64), np.zeros(size, np.int64)  # before the stretch
        self._bits = max(1, min(MOST_BITS, (BINS // size).bit_length() - 1))
        self._is_whole = np.zeros(size, np.bool_)  # all documents are taken
        self._excess = np.zeros(size, np.int64)  # the tokens of the last document that are beyond the budget
        self._held = np.full(size, np.iinfo(np.int64).max)
        self._by_hash = np.full(size, all_equal)
        # The first and last key of the stretch, and the first and last hash, which count where the two keys are one.
        self._first_key, self._last_key = np.zeros(size, np.uint64), np.full(size, HIGHEST)
        self._first_hash, self._last_hash = np.zeros(size, np.uint64), np.full(size, HIGHEST)
        self._cut_units: list[str] = [""] * size
        self._cut_rows = np.full(size, -1)
        self._begin()

    def _begin(self) -> None:
        shape = len(self.budgets), 1 << self._bits
        # Pages of the arrays that no document falls in are never touched.
        self._cell_tokens, self._cell_documents = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self._highest, self._lowest_flipped = np.zeros(shape, np.uint64), np.zeros(shape, np.uint64)
        self._first = np.where(self._by_hash, self._first_hash, self._first_key)
        last = np.where(self._by_hash, self._last_hash, self._last_key)
        widths = [int(end) - int(begin) for begin, end in zip(self._first, last, strict=True)]
        self._shift = np.array([max(0, width.bit_length() - self._bits) for width in widths], np.uint64)

    @property
    def _is_empty(self) -> NDArray[np.bool_]:
        return self.budgets <= 0

    def share_out(self, budgets_of: Callable[[Tokens], Tokens]) -> None:
        """Set the budgets by the tokens that each group has: between the first reading and `narrow`."""
        self.budgets = budgets_of(self._cell_tokens.sum(axis=1))

    @property
    def is_wide(self) -> bool:
        """Whether the stretches hold more documents than are sorted in memory, and can be narrowed."""
        can = self._first_hash < self._last_hash
        return int(self._held[can].sum()) > HELD

    @property
    def needs_hashes(self) -> bool:
        """Whether `cells` asks for hashes."""
        return bool(self._by_hash.any())

    def inside(self, quotas: Quotas, keys: Keys, hashes_of: HashesOf) -> tuple[NDArray[np.intp], Keys]:
        """The documents that are in the stretches of their quotas, and the hashes of those that are there by hash."""
        rows = np.flatnonzero((keys >= self._first_key[quotas]) & (keys <= self._last_key[quotas]))
        hashes = np.zeros(len(rows), np.uint64)
        tied = np.flatnonzero(self._by_hash[quotas[rows]])
        if len(tied):
            hashes[tied] = hashes_of(rows[tied])
            mine = quotas[rows]
            keep = (hashes >= self._first_hash[mine]) & (hashes <= self._last_hash[mine])
            keep |= ~self._by_hash[mine]
            rows, hashes = rows[keep], hashes[keep]
        return rows, hashes

    def cells(self, quotas: Quotas, keys: Keys, tokens: Tokens, hashes_of: HashesOf) -> Cells:
        """What these documents add to the histograms; may be called from several threads."""
        rows, hashes = self.inside(quotas, keys, hashes_of)
        mine = quotas[rows]
        used = np.where(self._by_hash[mine], hashes, keys[rows])
        bins = (used - self._first[mine]) >> self._shift[mine]
        return Cells((mine.astype(np.int64) << self._bits) + bins.astype(np.int64), tokens[rows], used)

    def add(self, cells: Cells) -> None:
        np.add.at(self._cell_tokens.reshape(-1), cells.places, cells.tokens)
        np.add.at(self._cell_documents.reshape(-1), cells.places, 1)
        np.maximum.at(self._highest.reshape(-1), cells.places, cells.keys)
        np.maximum.at(self._lowest_flipped.reshape(-1), cells.places, ~cells.keys)

    def narrow(self) -> None:
        """Make each stretch the bin in which its budget is reached."""
        for quota, budget in enumerate(self.budgets.tolist()):
            tokens, documents = self._cell_tokens[quota], self._cell_documents[quota]
            reached = np.cumsum(tokens) + self.tokens[quota]
            if self._held[quota] == np.iinfo(np.int64).max:  # the first time
                self.available[quota] = reached[-1]
                self._is_whole[quota] = budget > reached[-1]
                if self._is_whole[quota]:
                    self.documents[quota], self.tokens[quota] = documents.sum(), reached[-1]
                if self._is_whole[quota] or budget <= 0:
                    self._held[quota] = 0
                    self._first_key[quota], self._last_key[quota] = 1, 0
            if self._is_whole[quota] or budget <= 0:
                continue
            place = int(np.searchsorted(reached, budget))
            if place == len(reached):
                raise ChangedScores
            self.tokens[quota] = reached[place] - tokens[place]
            self.documents[quota] += documents[:place].sum()
            self._held[quota] = documents[place]
            first, last = ~self._lowest_flipped[quota, place], self._highest[quota, place]
            if self._by_hash[quota]:
                self._first_hash[quota], self._last_hash[quota] = first, last
            else:
                self._first_key[quota], self._last_key[quota] = first, last
                self._by_hash[quota] = first == last
        self._begin()

    def resolve(self, candidates: Candidates) -> None:
        """Find the last document that each quota takes, from all documents of the stretches."""
        listed = candidates.units.dictionary_encode()
        names = np.array([*listed.dictionary.to_pylist(), ""], np.object_)
        ranks = np.argsort(np.argsort(names))[np.asarray(listed.indices)]
        order = np.lexsort((candidates.rows, ranks, candidates.hashes, candidates.keys, candidates.quotas))
        bounds = np.searchsorted(candidates.quotas[order], np.arange(len(self.budgets) + 1))
        for quota in np.flatnonzero(~self._is_whole & ~self._is_empty).tolist():
            mine = order[bounds[quota] : bounds[quota + 1]]
            reached = np.cumsum(candidates.tokens[mine]) + self.tokens[quota]
            count = int(np.searchsorted(reached, self.budgets[quota])) + 1
            if count > len(mine):
                raise ChangedScores
            last = mine[count - 1]
            self.documents[quota] += count
            self.tokens[quota] = reached[count - 1]
            self._excess[quota] = reached[count - 1] - self.budgets[quota]
            self._last_key[quota], self._last_hash[quota] = candidates.keys[last], candidates.hashes[last]
            self._cut_units[quota], self._cut_rows[quota] = (
                str(names[listed.indices[int(last)].as_py()]),
                candidates.rows[last],
            )

    def taken(
        self, quotas: Quotas, keys: Keys, hashes_of: HashesOf, place_of: Callable[[int], tuple[str, int]]
    ) -> tuple[NDArray[np.bool_], dict[int, int]]:
        """Which documents are taken; ``place_of`` gives the unit and row of one. After `resolve`.

        With the tokens that the last document of a group has beyond the budget, by its place in the batch.
        """
        cut, excess = ~self._is_whole & ~self._is_empty, dict[int, int]()
        taken = self._is_whole[quotas] | (cut[quotas] & (keys < self._last_key[quotas]))
        tied = np.flatnonzero(cut[quotas] & (keys == self._last_key[quotas]))
        if len(tied):
            hashes, last = hashes_of(tied), self._last_hash[quotas[tied]]
            taken[tied] = hashes < last
            for one in tied[hashes == last].tolist():
                quota, place = quotas[one], place_of(one)
                last_place = self._cut_units[quota], self._cut_rows[quota]
                taken[one] = place <= last_place
                if place == last_place:
                    excess[one] = int(self._excess[quota])
        return taken, excess


class ChangedScores(Exception):
    """The documents are not those that were ranked before."""

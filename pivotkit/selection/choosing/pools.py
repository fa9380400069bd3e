"""Which documents of a batch may be taken, and what each step of a choice leaves of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.selection.choosing.dropped import Dropped
from pivotkit.selection.choosing.quota_cuts import HashesOf, QuotaCuts, Tokens
from pivotkit.selection.choosing.ranking import Keys, Ranking


class Pool(NamedTuple):
    """Documents of a batch: their places in it, and what they are ranked by."""

    places: NDArray[np.intp]
    quotas: NDArray[np.int32]
    keys: Keys
    hashes_of: HashesOf

    def part(self, chosen: NDArray[np.intp]) -> Pool:
        if len(chosen) == len(self.places):  # `chosen` ascends
            return self
        hashes_of: HashesOf = lambda some: self.hashes_of(chosen[some])  # noqa: E731
        return Pool(self.places[chosen], self.quotas[chosen], self.keys[chosen], hashes_of)


class Step(NamedTuple):
    """Cuts of groups of documents.

    Attributes
    ----------
    cuts : QuotaCuts
    group_of : function of a batch and a pool
        The group of each document; -1 for one that the step does not limit.
    budgets_of : function or None
        The budgets of the groups by the tokens that they have; None where the cuts know them.
    keeps_rest : bool
        Whether documents that are not limited are kept.
    """

    cuts: QuotaCuts
    group_of: Callable[[pa.RecordBatch, Pool], NDArray[np.int32]]
    budgets_of: Callable[[Tokens], Tokens] | None = None
    keeps_rest: bool = False


class Pools:
    """What may be taken of each batch, after the steps that are ``done``.

    What the steps of the pools ``before`` leave is taken already, and is in no pool here.
    """

    def __init__(self, ranking: Ranking, dropped: Dropped, before: Pools | None = None) -> None:
        self._ranking, self._dropped, self._before = ranking, dropped, before
        self.done: list[Step] = []

    def of(self, batch: pa.RecordBatch, quotas: NDArray[np.int32] | None = None) -> tuple[Pool, dict[int, int]]:
        """The pool of a batch, whose ``quotas`` may be known.

        With the tokens that documents have beyond the budgets at which the last step cuts, by their places in the pool.
        """
        pool, excess = self._all(batch, self._ranking.quota(batch) if quotas is None else quotas), dict[int, int]()
        for step in self.done:
            pool, excess = _below(step, batch, pool)
        return pool, excess

    def limited(self, batch: pa.RecordBatch, step: Step, quotas: NDArray[np.int32] | None = None) -> Pool:
        """What a step limits of the pool of a batch, with the groups in place of the quotas."""
        pool, _ = self.of(batch, quotas)
        groups = step.group_of(batch, pool)
        limited = np.flatnonzero(groups >= 0)
        return pool.part(limited)._replace(quotas=groups[limited])

    def _all(self, batch: pa.RecordBatch, quotas: NDArray[np.int32]) -> Pool:
        """The documents that may be taken at all: those of a quota that have tokens and are not dropped."""
        may = (quotas >= 0) & (tokens_of(batch) > 0) & self._ranking.rule.takes(batch)
        if self._dropped:
            may &= ~self._dropped.mask(batch)
        if self._before is not None:
            may[self._before.of(batch)[0].places] = False
        places = np.flatnonzero(may)
        every = self._ranking.hashes(batch) if self._ranking.temperature else None

        def hashes_of(some: NDArray[np.intp]) -> Keys:
            if every is not None:
                return every[places[some]]
            return self._ranking.hashes(batch if len(some) == len(batch) else batch.take(pa.array(places[some])))

        return Pool(places, quotas[places], self._ranking.keys(batch, every)[places], hashes_of)


def _below(step: Step, batch: pa.RecordBatch, pool: Pool) -> tuple[Pool, dict[int, int]]:
    """What a step leaves of a pool, and the excess of the documents at which it cuts, by their places there."""
    groups = step.group_of(batch, pool)
    limited = np.flatnonzero(groups >= 0)
    some = pool.part(limited)

    def place_of(document: int) -> tuple[str, int]:
        at = int(some.places[document])
        return str(batch["unit"][at].as_py()), int(batch["row"][at].as_py())

    keep = np.full(len(groups), step.keeps_rest)
    keep[limited], excess = step.cuts.taken(groups[limited], some.keys, some.hashes_of, place_of)
    kept = np.flatnonzero(keep)
    return pool.part(kept), {int(np.searchsorted(kept, limited[one])): beyond for one, beyond in excess.items()}


def tokens_of(batch: pa.RecordBatch) -> NDArray[np.int64]:
    column = batch["tokens"]
    if column.null_count:  # refused elsewhere
        column = column.fill_null(0)
    return np.asarray(column.to_numpy(zero_copy_only=False)).astype(np.int64)

"""The readings of scores that find where each budget is reached, and the one that takes what is before that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.corpus.reading.text_block import UNKNOWN
from pivotkit.errors import InputError
from pivotkit.selection.choosing.dropped import Dropped
from pivotkit.selection.choosing.groups import places_of, plain_text
from pivotkit.selection.choosing.pools import Pool, Pools, Step, tokens_of
from pivotkit.selection.choosing.quota_cuts import Candidates, Cells, ChangedScores, QuotaCuts, Tokens
from pivotkit.selection.choosing.ranking import Ranking
from pivotkit.selection.choosing.rules import PAIR
from pivotkit.selection.choosing.score_checks import Look, ScoreChecks, look_at
from pivotkit.selection.choosing.score_shards import ScoreShards

TAKE = "take"  # the column that tells how many tokens of a document are taken
RANKED, SHOWN = "Ranking documents", 20
Sums: TypeAlias = Counter[tuple[int, str]]  # the tokens of each quota and name


class Choice:
    """The documents within the budgets of Q quotas: each source is cut at its cap, then each quota at its budget.

    A choice ``after`` another one takes documents that the other left. `find`, `take` and `told` are of both.

    Attributes
    ----------
    budgets, available, documents, tokens : int64 (Q,)
        What each quota asks for, has below the caps, and gets, without the choice before. After `find`.
    schema : pyarrow.Schema
        That of the rows that are taken.
    """

    def __init__(
        self, shards: ScoreShards, ranking: Ranking, budgets: Tokens, caps: Tokens | None, dropped: Dropped, *,
        exact: bool, after: Choice | None = None,
    ) -> None:  # fmt: skip
        self._shards, self._ranking, self._dropped, self._exact = shards, ranking, dropped, exact
        self._after = after
        self.budgets, self._caps = budgets, caps
        self.schema = shards.schema.append(pa.field(TAKE, pa.int32())) if exact else shards.schema
        self._capped, self._pairs = list[str](), list[str]()
        self._pools: Pools = Pools(ranking, dropped, None if after is None else after._pools)
        self._spoken, self._left_out = Counter[str](), Counter[str]()

    def find(self) -> None:
        """Check the scores, and make the cuts exact."""
        if self._after is not None:
            self._after.find()
        try:
            if self._caps is None and not self._ranking.rule.by_pair:
                step = self._last_step()
                self._read_checked(lambda batch, quotas: self._cells(batch, step, quotas), step.cuts.add)
                self._narrow(step)
                return
            sources, pairs = Sums(), Sums()
            self._read_checked(self._sums, lambda sums: (sources.update(sums[0]), pairs.update(sums[1])))
            if self._caps is not None:
                self._cut_sources(self._caps, sources)
            self._pairs = sorted({name for _, name in pairs})
            self._find(self._last_step())
        except ChangedScores:
            self._refuse_change()

    def take(self) -> Iterator[pa.RecordBatch]:
        """The rows that are taken, with all columns. After `find`."""
        tokens = documents = 0
        for _, (batch, spoken) in self._shards.each(None, self._taken, "Selecting documents"):
            documents += len(batch)
            tokens += spoken.total()
            self._spoken.update(spoken)
            if len(batch):
                yield batch
        if (tokens, documents) != self._totals():
            self._refuse_change()

    @property
    def available(self) -> Tokens:
        return self._by_quota(self._cuts.available)

    @property
    def documents(self) -> Tokens:
        return self._by_quota(self._cuts.documents)

    @property
    def tokens(self) -> Tokens:
        return self._by_quota(self._group_tokens())

    def told(self) -> dict[str, Any]:
        """What the summary says beside the quotas. After `take`."""
        told: dict[str, Any] = {"tokens_by_language": dict(sorted(self._spoken.items()))}
        if self._dropped:
            told["dropped"] = dict(self._left_out)
        if self._caps is not None:
            told["capped"] = self._every_capped()
        if self._pairs:
            by_pair = self._group_tokens().reshape(len(self.budgets), -1).sum(axis=0)
            told["tokens_by_pair"] = dict(zip(self._pairs, by_pair.tolist(), strict=True))
        return told

    def _every_capped(self) -> list[str]:
        before = [] if self._after is None else self._after._every_capped()
        return sorted({*before, *self._capped})

    def _totals(self) -> tuple[int, int]:
        """The tokens and documents that are taken in all."""
        tokens, documents = (0, 0) if self._after is None else self._after._totals()
        return tokens + int(self.tokens.sum()), documents + int(self.documents.sum())

    @property
    def _columns(self) -> list[str]:
        """The columns by which it is known which documents are taken."""
        before = [] if self._after is None else self._after._columns
        return list(dict.fromkeys([*before, *self._ranking.columns]))

    @property
    def _cuts(self) -> QuotaCuts:
        return self._pools.done[-1].cuts

    def _group_tokens(self) -> Tokens:
        return np.minimum(self._cuts.tokens, self._cuts.budgets) if self._exact else self._cuts.tokens

    def _by_quota(self, groups: Tokens) -> Tokens:
        return np.asarray(groups.reshape(len(self.budgets), -1).sum(axis=1))

    # The steps, and how each is found.

    def _cut_sources(self, caps: Tokens, sources: Sums) -> None:
        """The step of the sources that have more than their caps."""
        over = sorted(place for place, tokens in sources.items() if tokens > caps[place[0]])
        self._capped = sorted({name for _, name in over})
        cap_by, codes = self._ranking.cap_by, {name: place for place, name in enumerate(self._capped)}
        groups = np.full((len(caps), len(codes) + 1), -1, np.int32)  # the last for those that are not capped
        for group, (quota, name) in enumerate(over):
            groups[quota, codes[name]] = group

        def group_of(batch: pa.RecordBatch, pool: Pool) -> NDArray[np.int32]:
            assert cap_by is not None
            return groups[pool.quotas, places_of(cap_by.texts(batch), self._capped)[pool.places]]

        if over:
            cuts = QuotaCuts(caps[[quota for quota, _ in over]], len(over), all_equal=self._ranking.all_equal)
            self._find(Step(cuts, group_of, keeps_rest=True))

    def _last_step(self) -> Step:
        """The step of the quotas, or where pairs share them, of each quota's pairs."""
        size, all_equal = len(self.budgets), self._ranking.all_equal
        if not self._ranking.rule.by_pair:
            return Step(QuotaCuts(self.budgets, size, all_equal=all_equal), lambda _, pool: pool.quotas)
        pairs = max(1, len(self._pairs))

        def group_of(batch: pa.RecordBatch, pool: Pool) -> NDArray[np.int32]:
            found = places_of(plain_text(batch[PAIR]), self._pairs)[pool.places]
            return np.where(found >= 0, pool.quotas * pairs + found, -1).astype(np.int32)

        def budgets_of(available: Tokens) -> Tokens:
            rows = zip(self.budgets.tolist(), available.reshape(size, -1), strict=True)
            return np.concatenate([equal_parts(budget, row) for budget, row in rows])

        return Step(QuotaCuts(None, size * pairs, all_equal=all_equal), group_of, budgets_of)

    def _find(self, step: Step) -> None:
        for _, cells in self._shards.each(self._columns, lambda batch: self._cells(batch, step), RANKED):
            step.cuts.add(cells)
        if step.budgets_of is not None:
            step.cuts.share_out(step.budgets_of)
        self._narrow(step)

    def _narrow(self, step: Step) -> None:
        step.cuts.narrow()
        while step.cuts.is_wide:
            needs_all = step.cuts.needs_hashes or self._pools.done or self._dropped or self._after
            columns = self._columns if needs_all else self._ranking.key_columns
            for _, cells in self._shards.each(columns, lambda batch: self._cells(batch, step), RANKED):
                step.cuts.add(cells)
            step.cuts.narrow()
        near = self._shards.each(self._columns, lambda batch: self._near(batch, step), RANKED)
        step.cuts.resolve(Candidates.joined([part for _, part in near]))
        self._pools.done.append(step)

    def _read_checked(
        self, function: Callable[[pa.RecordBatch, NDArray[np.int32]], Any], add: Callable[[Any], object]
    ) -> None:
        """Give ``add`` the function of each batch and its quotas, and check all scores."""
        checks = ScoreChecks(self._ranking)

        def both(batch: pa.RecordBatch) -> tuple[Look, Any]:
            quotas = self._ranking.quota(batch)
            look = look_at(batch, self._ranking, quotas, self._dropped)
            return look, None if look.is_wrong else function(batch, quotas)

        for path, (look, found) in self._shards.each(self._columns, both, RANKED):
            checks.add(path, look)
            self._left_out.update({"documents": sum(look.dropped.values()), "tokens": look.dropped_tokens})
            if found is not None:
                add(found)
        checks.finish()
        if absent := checks.absent():
            raise ValueError(f"select: quotas must name {self._known()}; got {', '.join(absent)}")
        self._dropped.check(checks.dropped)

    # What is asked of each batch, in threads.

    def _sums(self, batch: pa.RecordBatch, quotas: NDArray[np.int32]) -> tuple[Sums, Sums]:
        """The tokens of each quota by source and by pair."""
        pool, _ = self._pools.of(batch, quotas)
        tokens, cap_by = tokens_of(batch)[pool.places], self._ranking.cap_by
        columns = [
            cap_by.texts(batch) if cap_by else None,
            plain_text(batch[PAIR]) if self._ranking.rule.by_pair else None,
        ]
        sources, pairs = (Sums() if texts is None else sums_by(texts, pool, tokens) for texts in columns)
        return sources, pairs

    def _cells(self, batch: pa.RecordBatch, step: Step, quotas: NDArray[np.int32] | None = None) -> Cells:
        pool = self._pools.limited(batch, step, quotas)
        return step.cuts.cells(pool.quotas, pool.keys, tokens_of(batch)[pool.places], pool.hashes_of)

    def _near(self, batch: pa.RecordBatch, step: Step) -> Candidates:
        """The documents of the stretches in which the budgets are reached."""
        pool = self._pools.limited(batch, step)
        inside, _ = step.cuts.inside(pool.quotas, pool.keys, pool.hashes_of)
        near, hashes = pool.part(inside), pool.hashes_of(inside)
        units, rows = plain_text(batch["unit"]).take(pa.array(near.places)), batch["row"].to_numpy()[near.places]
        return Candidates(near.quotas, near.keys, hashes, units, rows, tokens_of(batch)[near.places])

    def _taken(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, Counter[str]]:
        """The taken rows, and their tokens by language."""
        places, tokens = self._places(batch)
        taken = batch.take(pa.array(places))
        if self._exact:
            taken = pa.RecordBatch.from_arrays([*taken.columns, pa.array(tokens.astype(np.int32))], schema=self.schema)
        langs = plain_text(taken["lang"]).fill_null(UNKNOWN)
        spoken = pa.table({"lang": langs, "tokens": tokens}).group_by("lang").aggregate([("tokens", "sum")])
        return taken, Counter(dict(zip(spoken["lang"].to_pylist(), spoken["tokens_sum"].to_pylist(), strict=True)))

    def _places(self, batch: pa.RecordBatch) -> tuple[NDArray[np.intp], Tokens]:
        """The places of the taken rows, in order, and how many tokens of each are taken."""
        pool, excess = self._pools.of(batch)
        places, tokens = pool.places, tokens_of(batch)[pool.places]
        if self._exact:
            tokens[list(excess)] -= np.array(list(excess.values()), np.int64)
        if self._after is None:
            return places, tokens
        before = self._after._places(batch)
        places, tokens = np.concatenate([before[0], places]), np.concatenate([before[1], tokens])
        order = np.argsort(places)
        return places[order], tokens[order]

    # Refusals.

    def _known(self) -> str:
        """What quotas may name."""
        quotas = self._ranking.quotas
        if quotas is None or quotas.column is None:
            return "lengths of the documents"
        column, counts = quotas.column, Counter[str]()

        def count(batch: pa.RecordBatch) -> Counter[str]:
            found = column.texts(batch).drop_null().value_counts()
            return Counter(dict(zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True)))

        for _, found in self._shards.each([column.name], count, "Reading names"):
            counts.update(found)
        listed = [f"{name}: {number}" for name, number in sorted(counts.items())]
        told = ", ".join(listed[:SHOWN] + ["..."] * (len(listed) > SHOWN))
        return f"values of {column.name} that documents have ({told})"

    def _refuse_change(self) -> None:
        where: Path | str = self._shards.place
        raise InputError(where, "", "must stay as it was when select began; it has other documents now")


def sums_by(texts: pa.Array, pool: Pool, tokens: Tokens) -> Sums:
    """The tokens of a pool's documents by quota and text of the batch."""
    texts = texts.take(pa.array(pool.places))
    rows = pa.table({"quota": pool.quotas, "text": texts, "tokens": tokens}).drop_null()
    found = rows.group_by(["quota", "text"]).aggregate([("tokens", "sum")])
    places = zip(found["quota"].to_pylist(), found["text"].to_pylist(), strict=True)
    return Counter(dict(zip(places, found["tokens_sum"].to_pylist(), strict=True)))


def equal_parts(budget: int, available: Tokens) -> Tokens:
    """A budget in parts as equal as they can be where none exceeds what is available; who has least comes first.

    >>> equal_parts(100, np.array([60, 10, 90])).tolist()
    [45, 10, 45]
    >>> equal_parts(200, np.array([60, 10, 90])).tolist()
    [60, 10, 90]
    """
    parts = np.zeros(len(available), np.int64)
    order = np.argsort(available, kind="stable")
    for done, place in enumerate(order.tolist()):
        parts[place] = min(int(available[place]), budget // (len(order) - done))
        budget -= int(parts[place])
    return parts

"""The readings of scores that find where each budget is reached, and the one that takes what is before that."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.corpus.reading.text_block import UNKNOWN
from pivotkit.errors import InputError
from pivotkit.selection.choosing.quota_cuts import Candidates, Cells, ChangedScores, HashesOf, QuotaCuts
from pivotkit.selection.choosing.ranking import Keys, Ranking, plain_text
from pivotkit.selection.choosing.score_checks import Look, ScoreChecks, look_at
from pivotkit.selection.choosing.score_shards import ScoreShards

Ranked = tuple[NDArray[np.intp], NDArray[np.int32], Keys, HashesOf]  # places in the batch, and what they are ranked by


class Choice:
    """The documents within the budgets of ``cuts``."""

    def __init__(self, shards: ScoreShards, ranking: Ranking, cuts: QuotaCuts) -> None:
        self._shards, self._ranking, self._cuts = shards, ranking, cuts
        self._spoken: dict[str, int] = {}

    def find(self) -> None:
        """Check the scores, and make the cuts exact."""
        checks = ScoreChecks(self._ranking)
        for path, (look, cells) in self._shards.each(self._ranking.columns, self._look, "Ranking documents"):
            checks.add(path, look)
            self._cuts.add(cells)
        checks.finish()
        if absent := checks.absent():
            known = ", ".join(sorted(self._languages()))
            rule = f"name languages of the documents ({known})"
            raise ValueError(f"select: language_quotas must {rule}; got {', '.join(absent)}")
        try:
            self._cuts.narrow()
            while self._cuts.is_wide:
                columns = self._ranking.columns if self._cuts.needs_hashes else self._ranking.key_columns
                for _, cells in self._shards.each(columns, self._cells, "Ranking documents"):
                    self._cuts.add(cells)
                self._cuts.narrow()
            found = [part for _, part in self._shards.each(self._ranking.columns, self._near, "Ranking documents")]
            self._cuts.resolve(Candidates.joined(found))
        except ChangedScores:
            self._refuse_change()

    def take(self) -> Iterator[pa.RecordBatch]:
        """The rows that are taken, with all columns. After `find`."""
        tokens = documents = 0
        for _, (batch, spoken) in self._shards.each(None, self._taken, "Selecting documents"):
            documents += len(batch)
            tokens += sum(spoken.values())
            for lang, number in spoken.items():
                self._spoken[lang] = self._spoken.get(lang, 0) + number
            if len(batch):
                yield batch
        if (tokens, documents) != (int(self._cuts.tokens.sum()), int(self._cuts.documents.sum())):
            self._refuse_change()

    def tokens_by_language(self) -> dict[str, int]:
        """How many tokens were taken. After `take`."""
        return dict(sorted(self._spoken.items()))

    def _ranked(self, batch: pa.RecordBatch, quotas: NDArray[np.int32] | None = None) -> Ranked:
        """The documents that may be taken at all: those of a quota that have tokens."""
        quotas = self._ranking.quota(batch) if quotas is None else quotas
        places = np.flatnonzero((quotas >= 0) & (tokens_of(batch) > 0))
        whole = len(places) == len(batch)

        def hashes_of(some: NDArray[np.intp]) -> Keys:
            all_of_them = whole and len(some) == len(batch)
            return self._ranking.hashes(batch if all_of_them else batch.take(pa.array(places[some])))

        return places, quotas[places], self._ranking.keys(batch)[places], hashes_of

    def _look(self, batch: pa.RecordBatch) -> tuple[Look, Cells]:
        quotas = self._ranking.quota(batch)
        return look_at(batch, self._ranking, quotas), self._cells(batch, quotas)

    def _cells(self, batch: pa.RecordBatch, found: NDArray[np.int32] | None = None) -> Cells:
        places, quotas, keys, hashes_of = self._ranked(batch, found)
        return self._cuts.cells(quotas, keys, tokens_of(batch)[places], hashes_of)

    def _near(self, batch: pa.RecordBatch) -> Candidates:
        """The documents of the stretches in which the budgets are reached."""
        places, quotas, keys, hashes_of = self._ranked(batch)
        inside, _ = self._cuts.inside(quotas, keys, hashes_of)
        at = places[inside]
        units, rows = plain_text(batch["unit"]).take(pa.array(at)), batch["row"].to_numpy()[at]
        return Candidates(quotas[inside], keys[inside], hashes_of(inside), units, rows, tokens_of(batch)[at])

    def _taken(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, dict[str, int]]:
        """The taken rows, and their tokens by language."""
        places, quotas, keys, hashes_of = self._ranked(batch)

        def place_of(document: int) -> tuple[str, int]:
            at = int(places[document])
            return str(batch["unit"][at].as_py()), int(batch["row"][at].as_py())

        taken = batch.take(pa.array(places[self._cuts.taken(quotas, keys, hashes_of, place_of)]))
        langs = plain_text(taken["lang"]).fill_null(UNKNOWN)
        spoken = pa.table({"lang": langs, "tokens": tokens_of(taken)}).group_by("lang").aggregate([("tokens", "sum")])
        return taken, dict(zip(spoken["lang"].to_pylist(), spoken["tokens_sum"].to_pylist(), strict=True))

    def _languages(self) -> set[str]:
        read: Callable[[pa.RecordBatch], pa.Array] = lambda batch: plain_text(batch["lang"]).unique()  # noqa: E731
        found = self._shards.each(["lang"], read, "Reading languages")
        return {lang for _, langs in found for lang in langs.to_pylist()}

    def _refuse_change(self) -> None:
        where = self._shards.place
        raise InputError(where, "", "must stay as it was when select began; it has other documents now")


def tokens_of(batch: pa.RecordBatch) -> NDArray[np.int64]:
    column = batch["tokens"]
    if column.null_count:  # refused elsewhere
        column = column.fill_null(0)
    return np.asarray(column.to_numpy(zero_copy_only=False)).astype(np.int64)

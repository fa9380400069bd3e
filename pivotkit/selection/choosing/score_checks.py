"""Whether scores can be selected from: every document once, with what ranks it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.errors import InputError
from pivotkit.selection.choosing.dropped import Dropped
from pivotkit.selection.choosing.groups import plain_text
from pivotkit.selection.choosing.pools import tokens_of
from pivotkit.selection.choosing.ranking import Ranking
from pivotkit.selection.choosing.score_shards import runs

HINTS = {
    "id": " (or in none, and the names of the files as score_documents tells them)",
    "lang": " (token files tell no language: put one into each row, or select without quotas)",
}


class Look(NamedTuple):
    """What a batch tells.

    Attributes
    ----------
    rows : int
    nulls : dict of str to int
        How many rows have none, by column.
    units : list of (str, int, int)
        The unit of each stretch of rows, its first row and its last.
    wrong : (str, int, int) or None
        A unit and two of its rows, one behind the other, that do not ascend.
    nans, negatives : int
        How many merits are NaN or null, and how many are below 0.
    short : int
        How many documents have fewer than 0 tokens.
    quotas : int64 (Q,)
        How many documents each quota has.
    dropped : dict of str to int
        How many documents are dropped, by unit.
    dropped_tokens : int
    """

    rows: int
    nulls: dict[str, int]
    units: list[tuple[str, int, int]]
    wrong: tuple[str, int, int] | None
    nans: int
    negatives: int
    short: int
    quotas: NDArray[np.int64]
    dropped: dict[str, int]
    dropped_tokens: int

    @property
    def is_wrong(self) -> bool:
        """Whether nothing can be made of the batch."""
        bad = self.wrong is not None or self.nans > 0 or self.short > 0
        return bad or any(self.nulls[name] for name in ("unit", "row", "tokens"))


def look_at(batch: pa.RecordBatch, ranking: Ranking, quotas: NDArray[np.int32], dropped: Dropped) -> Look:
    nulls: dict[str, int] = {name: batch[name].null_count for name in required(ranking)}
    units: list[tuple[str, int, int]] = []
    wrong = None
    is_placed = not nulls["unit"] and not nulls["row"]
    if is_placed:
        rows = batch["row"].to_numpy()
        for unit, begin, end in runs(plain_text(batch["unit"])):
            part = rows[begin:end]
            units.append((unit, int(part[0]), int(part[-1])))
            back = np.flatnonzero(part[1:] <= part[:-1])
            if len(back) and wrong is None:
                wrong = unit, int(part[back[0]]), int(part[back[0] + 1])
    values = ranking.rule.values(batch)
    size = 1 if ranking.quotas is None else len(ranking.quotas.names)
    counted = np.bincount(quotas[quotas >= 0], minlength=size)
    gone, gone_tokens = _dropped(batch, dropped) if dropped and is_placed else ({}, 0)
    nans, negatives = int(np.isnan(values).sum()), int((values < 0).sum())
    short = int((tokens_of(batch) < 0).sum())
    return Look(len(batch), nulls, units, wrong, nans, negatives, short, counted, gone, gone_tokens)


def required(ranking: Ranking) -> list[str]:
    """The columns that must have a value in every row."""
    names = ["unit", "row", "id", "tokens", *(ranking.quotas.columns if ranking.quotas is not None else [])]
    return list(dict.fromkeys([*names, *([] if ranking.cap_by is None else [ranking.cap_by.name])]))


def _dropped(batch: pa.RecordBatch, dropped: Dropped) -> tuple[dict[str, int], int]:
    mask = dropped.mask(batch)
    units = plain_text(batch["unit"]).filter(pa.array(mask)).value_counts()
    counts = dict(zip(units.field(0).to_pylist(), units.field(1).to_pylist(), strict=True))
    return counts, int(tokens_of(batch)[mask].sum())


class ScoreChecks:
    """Collects what the batches tell, in order. What grows is the set of units."""

    def __init__(self, ranking: Ranking) -> None:
        self._ranking = ranking
        self._rows = self._nans = self._negatives = self._short = 0
        self._nulls: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._quotas = np.zeros(1 if ranking.quotas is None else len(ranking.quotas.names), np.int64)
        self._held: dict[str, Path | None] = {}  # the file of each unit
        self._last: tuple[Path | None, str, int] = (None, "", -1)

    def add(self, path: Path | None, look: Look) -> None:
        """Refuses a document that is there twice, and rows out of order."""
        self._rows += look.rows
        self._nans += look.nans
        self._negatives += look.negatives
        self._short += look.short
        self._quotas += look.quotas
        self._nulls.update(look.nulls)
        self.dropped.update(look.dropped)
        for unit, first, last in look.units:
            path_before, unit_before, row_before = self._last
            if unit not in self._held:
                self._held[unit] = path
            elif (path_before, unit_before) == (path, unit):
                _check_order(path, unit, row_before, first)
            elif self._held[unit] == path:
                raise InputError(
                    str(path), "", f"must hold the rows of a unit together; got unit {unit} in several places"
                )
            else:
                raise InputError(
                    str(path), "", f"must hold units of its own; got unit {unit}, which {self._held[unit]} has"
                )
            self._last = path, unit, last
        if look.wrong is not None:
            _check_order(path, *look.wrong)

    def finish(self) -> None:
        """Refuses rows without what ranks them."""
        for name, count in self._nulls.items():
            if name == "id" and count == self._rows and self._held.keys() <= self._ranking.files.keys():
                continue  # file and row tell them apart
            if count:
                raise ValueError(
                    f"select: documents must have {name} in every row; got {count} nulls{HINTS.get(name, '')}"
                )
        if self._short:
            told = f"got fewer for {self._short} of {self._rows}"
            raise ValueError(f"select: documents must have 0 or more tokens each; {told}")
        merit = "number of rule" if self._ranking.rule.function else self._ranking.rule.told
        if self._nans:
            raise ValueError(
                f"select: documents must have a {merit} each; got NaN or null for {self._nans} of {self._rows}"
            )
        if self._negatives and self._ranking.temperature:
            told = f"{self._negatives} of {self._rows} below 0"
            raise ValueError(f"select: documents must have a {merit} of at least 0 with temperature; got {told}")

    def absent(self) -> list[str]:
        """The quotas that have no document."""
        names = [] if self._ranking.quotas is None else self._ranking.quotas.names
        return [name for name, count in zip(names, self._quotas.tolist(), strict=False) if not count]


def _check_order(path: Path | None, unit: str, row: int, next_row: int) -> None:
    if row == next_row:
        where = "" if path is None else f" in {path}"
        raise ValueError(f"select: documents must hold each document once; got row {row} of unit {unit} twice{where}")
    if row > next_row:
        raise InputError(
            str(path), "", f"must hold the rows of a unit in order; got row {next_row} of {unit} after {row}"
        )

"""Whether scores can be selected from: every document once, with what ranks it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.errors import InputError
from pivotkit.selection.choosing.ranking import Ranking, plain_text
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
    is_nan : bool
        Whether a merit is NaN or null.
    quotas : int64 (Q,)
        How many documents each quota has.
    """

    rows: int
    nulls: dict[str, int]
    units: list[tuple[str, int, int]]
    wrong: tuple[str, int, int] | None
    is_nan: bool
    quotas: NDArray[np.int64]


def look_at(batch: pa.RecordBatch, ranking: Ranking, quotas: NDArray[np.int32]) -> Look:
    nulls: dict[str, int] = {
        name: batch[name].null_count for name in ("unit", "row", "id", "tokens", "lang") if name in ranking.columns
    }
    units: list[tuple[str, int, int]] = []
    wrong = None
    if not nulls["unit"] and not nulls["row"]:
        rows = batch["row"].to_numpy()
        for unit, begin, end in runs(plain_text(batch["unit"])):
            part = rows[begin:end]
            units.append((unit, int(part[0]), int(part[-1])))
            back = np.flatnonzero(part[1:] <= part[:-1])
            if len(back) and wrong is None:
                wrong = unit, int(part[back[0]]), int(part[back[0] + 1])
    is_nan = bool(np.isnan(ranking.values(batch)).any())
    size = 1 if ranking.quotas is None else len(ranking.quotas)
    return Look(len(batch), nulls, units, wrong, is_nan, np.bincount(quotas[quotas >= 0], minlength=size))


class ScoreChecks:
    """Collects what the batches tell, in order. What grows is the set of units."""

    def __init__(self, ranking: Ranking) -> None:
        self._ranking = ranking
        self._rows = 0
        self._nulls: dict[str, int] = {}
        self._is_nan = False
        self._quotas = np.zeros(1 if ranking.quotas is None else len(ranking.quotas), np.int64)
        self._held: dict[str, Path | None] = {}  # the file of each unit
        self._last: tuple[Path | None, str, int] = (None, "", -1)

    def add(self, path: Path | None, look: Look) -> None:
        """Refuses a document that is there twice, and rows out of order."""
        self._rows += look.rows
        self._is_nan |= look.is_nan
        self._quotas += look.quotas
        for name, count in look.nulls.items():
            self._nulls[name] = self._nulls.get(name, 0) + count
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
        """Refuses rows without what ranks them, and quotas of languages that no document has."""
        for name, count in self._nulls.items():
            if name == "id" and count == self._rows and self._held.keys() <= self._ranking.files.keys():
                continue  # file and row tell them apart
            if count:
                raise ValueError(
                    f"select: documents must have {name} in every row; got {count} nulls{HINTS.get(name, '')}"
                )
        if self._is_nan:
            raise ValueError(f"select: documents must have a {self._ranking.merit} each; got NaN")

    def absent(self) -> list[str]:
        """The quotas that have no document."""
        names = self._ranking.quotas or []
        return [name for name, count in zip(names, self._quotas.tolist(), strict=False) if not count]


def _check_order(path: Path | None, unit: str, row: int, next_row: int) -> None:
    if row == next_row:
        where = "" if path is None else f" in {path}"
        raise ValueError(f"select: documents must hold each document once; got row {row} of unit {unit} twice{where}")
    if row > next_row:
        raise InputError(
            str(path), "", f"must hold the rows of a unit in order; got row {next_row} of {unit} after {row}"
        )

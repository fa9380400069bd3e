"""Which documents of a corpus a selection wants, and the rows that tell where they went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pivotkit.corpus.reading.units import Unit
from pivotkit.errors import CorpusError
from pivotkit.selection.choosing.selection_folder import Selection


class WantedRows:
    """The selected rows of one unit, given once and in order."""

    def __init__(self, selection: Selection, unit: Unit) -> None:
        self._unit = unit
        self._batches = selection.batches(unit.name)
        self._held = selection.schema.empty_table()
        self._last = -1  # the row that was read last
        self.left = selection.units[unit.name]

    def below(self, row: int) -> pa.Table:
        """Those before ``row`` that were not given yet. ValueError for a document that is listed twice."""
        parts = []
        while True:
            rows = self._held["row"].to_numpy()
            count = int(np.searchsorted(rows, row))
            parts.append(self._held.slice(0, count))
            self._held = self._held.slice(count)
            if count < len(rows) or (batch := next(self._batches, None)) is None:
                break
            self._held = batch
            self._check(batch["row"].to_numpy())
        self.left -= sum(map(len, parts))
        return pa.concat_tables(parts)

    def _check(self, rows: Any) -> None:
        step = np.diff(rows, prepend=self._last)
        if (step <= 0).any():
            row = int(rows[int(np.flatnonzero(step <= 0)[0])])
            raise ValueError(
                f"write_selection: selection must hold each document once, in order; got row {row} of unit "
                f"{self._unit.name} twice or too late"
            )
        self._last = int(rows[-1]) if len(rows) else self._last

    def refuse(self, row: int, wanted: object) -> None:
        raise CorpusError(self._unit.path, f"row {row}", f"must hold document {wanted!r}; it cannot be read")


def used_units(selection: Selection, units: Sequence[Unit]) -> list[Unit]:
    """The units that have selected documents, in the order of the corpus; ValueError where one is not in it."""
    absent = sorted(selection.units.keys() - {unit.name for unit in units})
    if absent:
        raise ValueError(
            "write_selection: selection must be of units of corpus as it is now; "
            f"got {len(absent)} that are not or were changed since, first {absent[0]}"
        )
    return [unit for unit in units if unit.name in selection.units]


def corpus_entries(selection: Selection, units: Sequence[Unit]) -> list[dict[str, Any]]:
    """What a manifest says of the files that were used."""
    return [
        {"unit": unit.name, "path": str(unit.path), "size": unit.size, "documents": selection.units[unit.name]}
        for unit in units
    ]


def check_ids(unit: Unit, wanted: pa.Table, found: pa.ChunkedArray | pa.Array) -> None:
    """CorpusError unless the documents found have the ids that are wanted."""
    pairs: Iterator[Any] = zip(wanted["row"].to_pylist(), wanted["id"].to_pylist(), found.to_pylist(), strict=True)
    for row, expected, identity in pairs:
        if identity != expected:
            raise CorpusError(unit.path, f"row {row}", f"must hold document {expected!r}; got {identity!r}")

"""Which documents of a corpus a selection wants, and the rows that tell where they went."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from pivotkit.corpus.reading.units import Unit
from pivotkit.errors import CorpusError
from pivotkit.selection.choosing.selection_folder import Selection
from pivotkit.selection.writing.documents import Lengths, Texts, Tokens

Documents = TypeVar("Documents", Texts, Tokens)


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


def end_of(wanted: WantedRows) -> None:
    """Behind the last document of a unit: what is still wanted is not there."""
    for row in wanted.below(np.iinfo(np.int64).max).to_pylist():
        wanted.refuse(row["row"], row["id"])


def remaining(batches: Iterable[Documents], skip: int) -> Iterator[Documents]:
    """The documents behind the first ``skip``."""
    for batch in batches:
        if skip < len(batch):
            yield batch[skip:] if skip else batch
        skip = max(skip - len(batch), 0)


def used_units(selection: Selection, units: Sequence[Unit]) -> list[Unit]:
    """The units that have selected documents, in the order of the corpus; ValueError where one is not in it."""
    absent = sorted(selection.units.keys() - {unit.name for unit in units})
    if absent:
        known, first = selection.summary.get("files", {}), next(selection.batches(absent[0]))
        own = first["file_name"][0].as_py() if "file_name" in first.column_names else None
        told = known.get(absent[0]) or own or f"that of document {first['id'][0].as_py()!r}"
        others = [unit.path.name for unit in units if unit.name not in selection.units]
        new = f"; corpus has no documents of it in {', '.join(others[:3])}" if others else ""
        raise ValueError(
            "write_selection: selection must be of units of corpus as it is now; "
            f"got {len(absent)} that are not or were changed since, first {absent[0]}, {told}{new}"
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


def check_lengths(unit: Unit, rows: pa.Table, lengths: Lengths, whose: str) -> None:
    """CorpusError unless the documents found have as many tokens as ``rows`` say, and ``take`` is one of these."""
    if "tokens" in rows.column_names:
        told = rows["tokens"].to_numpy()
        for one in np.flatnonzero(told != lengths)[:1].tolist():
            rule = f"must hold a document of {told[one]} tokens{whose}; got {lengths[one]}"
            raise CorpusError(unit.path, f"row {rows['row'][one].as_py()}", rule)
    if "take" in rows.column_names:
        takes = takes_of(rows, lengths)
        for one in np.flatnonzero((takes > lengths) | (takes < np.minimum(lengths, 1)))[:1].tolist():
            rule = f"must have from 1 to {lengths[one]} of its tokens taken; got {takes[one]}"
            raise CorpusError(unit.path, f"row {rows['row'][one].as_py()}", rule)


def takes_of(rows: pa.Table, lengths: Lengths) -> Lengths:
    """How many tokens are taken of each document of these lengths; null stands for all."""
    takes = rows["take"].cast(pa.int64()).combine_chunks()
    return np.where(takes.is_null(), lengths, takes.fill_null(0)).astype(np.int64)


def cut_lengths(documents: Tokens, last: int | None = None) -> Tokens:
    """The first ``take`` ids of each document, where there is such a column; ``last`` ends those that are cut."""
    if "take" not in documents.rows.column_names:
        return documents
    lengths = documents.sizes()
    takes = takes_of(documents.rows, lengths)
    if (lengths == takes).all():
        return documents
    place = np.arange(len(documents.ids)) - np.repeat(documents.begins, lengths)
    ends = np.cumsum(takes)
    ids = documents.ids[place < np.repeat(takes, lengths)]
    if last is not None:
        ids[ends[takes < lengths] - 1] = last
    return replace(documents, ids=ids, ends=ends)

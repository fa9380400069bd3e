"""Columns that are added to documents: languages, other scores, translation pairs; each is read in step with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import scipy
from numpy.typing import NDArray

from pivotkit.corpus.languages import LanguageTable
from pivotkit.corpus.matching.match import match_texts
from pivotkit.corpus.matching.watchlist import WatchList
from pivotkit.corpus.reading.documents import Corpus, Unit, read_documents, work_units
from pivotkit.errors import InputError
from pivotkit.selection.choosing.groups import plain_text

Ints = NDArray[np.int64]
TOLD = ("parallel", "code-switched")  # kinds that only the text of a document tells


class Column(Protocol):
    """Adds fields to documents that come in ascending order of unit and row.

    Attributes
    ----------
    fields : list of pyarrow.Field
    """

    fields: list[pa.Field]

    def of(self, unit: str, rows: Ints) -> list[pa.Array]:
        """The values for some documents of a unit."""


class Languages:
    """The set of languages of each document, and where the table's documents were read, its kind."""

    def __init__(self, table: LanguageTable, files: dict[str, str]) -> None:
        self._table = table
        self._files = files
        self._units = {unit.file.name: unit.file for unit in table.units}
        self._kinds = bool(set(table.composition()["kind"].to_pylist()) & set(TOLD))
        self.fields = [pa.field("languages", pa.string())] + [pa.field("kind", pa.string())] * self._kinds
        self._last: tuple[str, NDArray[np.int32]] = "", np.zeros(0, np.int32)

    def of(self, unit: str, rows: Ints) -> list[pa.Array]:
        if unit not in self._units:
            place = self._table.folder or "table of languages"
            raise InputError(place, "", f"must hold every file of the corpus as it is now; got none for unit {unit}")
        file = self._units[unit]
        if unit in self._files:  # token files, whose documents the table knows by their first token
            if self._last[0] != unit:
                self._last = unit, self._table.of_unit(file)
            tags = pa.array(["+".join(some) or "und" for some in self._table.language_sets], pa.string())
            return [tags.take(pa.array(self._last[1][rows]))]
        found = [self._table.tags(file, rows)] + ([self._table.kinds(file, rows)] if self._kinds else [])
        return [tags.dictionary_decode() for tags in found]


class Score:
    """The scores of the same documents by other pivots."""

    def __init__(self, name: str, batches: Iterator[pa.RecordBatch], place: Any) -> None:
        self.fields = [pa.field(f"{name}_score", pa.float64())]
        self._batches, self._place = batches, place
        self._left: pa.Table | None = None

    def of(self, unit: str, rows: Ints) -> list[pa.Array]:
        taken = self._next(len(rows))
        units = set(plain_text(taken["unit"].combine_chunks()).unique().to_pylist()) if len(taken) else set()
        if len(taken) != len(rows) or units != {unit} or (taken["row"].to_numpy() != rows).any():
            raise InputError(self._place, "", f"must hold the scores of the same documents; unit {unit} differs")
        return [pa.array(taken["score"].to_numpy().astype(np.float64))]

    def _next(self, number: int) -> pa.Table:
        parts, size = ([] if self._left is None else [self._left]), 0 if self._left is None else len(self._left)
        while size < number and (batch := next(self._batches, None)) is not None:
            parts.append(pa.Table.from_batches([batch]))
            size += len(batch)
        if not parts:
            return pa.table({"unit": pa.array([], pa.string()), "row": pa.array([], pa.int64()), "score": []})
        whole = pa.concat_tables(parts)
        self._left = whole.slice(number)
        return whole.slice(0, number)


class TranslationPairs:
    """How many word pairs have both words in the document."""

    def __init__(self, function: str, corpus: Corpus, pairs: Iterable[Sequence[str]], on_error: str) -> None:
        self.fields = [pa.field("translation_pairs", pa.int32())]
        listed = [tuple(pair) for pair in pairs]
        self._words = WatchList(list(dict.fromkeys(word for pair in listed for word in pair)))
        places = {tuple(sorted((self._words.id(one), self._words.id(other)))) for one, other in listed}
        ones, size = np.ones(len(places), np.int32), len(self._words)
        self._pairs = scipy.sparse.csr_array((ones, np.array(sorted(places)).reshape(-1, 2).T), shape=(size, size))
        self._units = {unit.name: unit for unit in work_units(corpus)}
        self._function, self._on_error = function, on_error
        self._open: tuple[str, Iterator[tuple[Ints, NDArray[np.int32]]]] = "", iter(())
        self._rows, self._counts = np.zeros(0, np.int64), np.zeros(0, np.int32)

    def of(self, unit: str, rows: Ints) -> list[pa.Array]:
        if self._open[0] != unit:
            if unit not in self._units:
                raise ValueError(
                    f"{self._function}: corpus must hold the files that were scored; got none of unit {unit}"
                )
            self._open = unit, self._read(self._units[unit])
            self._rows, self._counts = np.zeros(0, np.int64), np.zeros(0, np.int32)
        while (not len(self._rows) or self._rows[-1] < rows[-1]) and (part := next(self._open[1], None)) is not None:
            self._rows = np.concatenate([self._rows, part[0]])
            self._counts = np.concatenate([self._counts, part[1]])
        at = np.minimum(np.searchsorted(self._rows, rows), max(len(self._rows) - 1, 0))
        if not len(self._rows) or (self._rows[at] != rows).any():
            wrong = int(rows[0] if not len(self._rows) else rows[np.argmax(self._rows[at] != rows)])
            path = self._units[unit].path
            raise InputError(path, f"row {wrong}", "must hold a document, as when it was scored; got none")
        found = self._counts[at]
        self._rows, self._counts = self._rows[at[-1] + 1 :], self._counts[at[-1] + 1 :]
        return [pa.array(found)]

    def _read(self, unit: Unit) -> Iterator[tuple[Ints, NDArray[np.int32]]]:
        for batch in read_documents(unit, self._on_error):
            if batch.rows:
                present = match_texts(batch.texts, self._words).astype(bool).astype(np.int32)
                both = (present @ self._pairs).multiply(present).sum(axis=1)
                yield np.array(batch.rows, np.int64), np.asarray(both).ravel().astype(np.int32)

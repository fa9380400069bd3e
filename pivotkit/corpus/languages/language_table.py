"""The table of the languages of a corpus's documents: what `count` and its users read.

A folder has one file for each work unit (`LanguagePart`) and ``languages.json``, which is written last: the units in
order with size and time of their files, the sums and digest of each part, and a digest of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pivotkit.arguments import check_int, check_kind, check_path, elements, refuse_kind
from pivotkit.artifacts import is_sealed, read_object, value_digest, write_sealed
from pivotkit.corpus.languages.field import language_tag
from pivotkit.corpus.languages.language_part import LanguagePart, part_path, read_header
from pivotkit.corpus.languages.user_table import read_user_table
from pivotkit.corpus.languages.verdicts import KINDS
from pivotkit.corpus.matching.word_languages import LanguageSet
from pivotkit.corpus.reading.amounts import amount
from pivotkit.corpus.reading.documents import Corpus
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.reading.units import Unit
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.errors import InputError

FORMAT = 1
INDEX = "languages.json"

Ints = npt.NDArray[np.int64]


class LanguageTable:
    """The set of languages of each document of a corpus, made by `document_languages`.

    Attributes
    ----------
    folder : Path or None
        Where it is kept; None for a table in memory.
    units : list[Unit]
        The pieces of the files, in the order of the corpus.
    documents, skipped : int
        Documents in the table, and those that could not be read.
    language_sets : list[tuple[str, ...]]
        The sets that documents have, in ascending order; ``()`` is that of a document whose language is not known.
    measure : {"characters", "tokens"}
        In what `composition` gives the size of documents: in tokens where the corpus has them.
    digest : str
        Of the files and the languages of all documents. Tables of equal digests are equal.
    """

    def __init__(
        self, units: Sequence[Unit], summaries: Sequence[dict[str, Any]], measure: str, parts: Path | Mapping[Unit, Any]
    ) -> None:
        self.folder = parts if isinstance(parts, Path) else None
        self.units = list(units)
        self.measure = measure
        self.documents: int = sum(summary["documents"] for summary in summaries)
        self.skipped: int = sum(summary["skipped"] for summary in summaries)
        self.language_sets: list[LanguageSet] = sorted({tuple(one) for some in summaries for one in some["sets"]})
        listed = [[unit.name, summary["digest"]] for unit, summary in zip(units, summaries, strict=True)]
        self.digest = value_digest(listed)
        self._summaries = list(summaries)
        self._parts = None if isinstance(parts, Path) else dict(parts)
        self._number = {some: place for place, some in enumerate(self.language_sets)}
        self._files: dict[Unit, list[int]] = {}
        self._starts: list[int] = []  # what is added to the places of a part: the rows of its file before it
        before: dict[Unit, int] = {}
        for place, unit in enumerate(self.units):
            self._files.setdefault(unit.file, []).append(place)
            self._starts.append(before.get(unit.file, 0))
            before[unit.file] = self._starts[place] + summaries[place]["rows"]
        self._last: tuple[int, Ints, npt.NDArray[np.int32], npt.NDArray[np.int8]] | None = None

    def __repr__(self) -> str:
        told = f"{amount(self.documents, 'document')}, {amount(len(self.language_sets), 'language set')}"
        return f"LanguageTable({told}, {amount(len(self._files), 'file')})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}

    @classmethod
    def open(cls, folder: str | Path) -> LanguageTable:
        """Open what `document_languages` kept in ``folder``; InputError for a file that is missing, cut or changed."""
        check_path("open", "folder", folder)
        folder = Path(folder)
        path = folder / INDEX
        if not path.exists():
            raise InputError(folder, "", f"must be a finished table of languages; found no {INDEX}")
        index = read_object(path, {"format": int, "measure": str, "units": list})
        if index["format"] != FORMAT or not is_sealed(path, index):
            raise InputError(path, "", f"must have format {FORMAT} and a digest; got another")
        units = [_unit(listed["unit"]) for listed in index["units"]]
        for unit, listed in zip(units, index["units"], strict=True):
            header = read_header(part_path(folder, unit))
            if header is None or header["digest"] != listed["digest"]:
                rule = f"must hold the languages of a part of {unit.path} as they were written"
                raise InputError(part_path(folder, unit), "", f"{rule}; got others or none")
        return cls(units, index["units"], index["measure"], folder)

    @classmethod
    def from_file(
        cls, path: str | Path, corpus: Corpus | TokenFiles | TokenStore, *, on_error: str = "raise"
    ) -> LanguageTable:
        """A table of one's own: the languages of each document of ``corpus``, from a Parquet or JSONL file.

        Parameters
        ----------
        path
            A file with the columns ``file`` (string: the path of a corpus file, or its name where no other file has
            it), ``row`` (int: the place of the document in its file, from 0; for text the line or row) and
            ``languages`` (a list of codes, or a string with + between them; null where they are not known). One row for
            each document, in any order. ``.jsonl`` may be ``.gz`` or ``.zst``.
        corpus
            Text, `TokenFiles` or a `TokenStore`. It is read once.
        on_error
            For text: "raise" (default) or "skip", as for `read_documents`.

        Returns
        -------
        LanguageTable
            In memory, 13 bytes a document. The kind of a document is the number of its languages.

        Raises
        ------
        InputError
            For another kind of file, a column that is missing, a file that the corpus does not have, and a document
            that has no row, or two, or a row without a document; the message names it.
        """
        check_path("from_file", "path", path)
        units, parts, measure = read_user_table(Path(path), corpus, on_error)
        return cls(units, [parts[unit].summary() for unit in units], measure, parts)

    def check(self, units: Sequence[Unit]) -> None:
        """Refuse a file that the table does not hold as it is now; the InputError names it."""
        units = elements("check", "units", units, "a sequence of Units")
        paths = {unit.path for unit in self._files}
        for unit in units:
            check_kind("check", "units", unit, Unit, "of Units")
            if unit.file not in self._files:
                why = "has changed since" if unit.path in paths else "is not in it"
                place = self.folder or "table of languages"
                raise InputError(place, "", f"must hold every file of the corpus as it is now; {unit.path} {why}")

    def of_file(self, path: str | Path) -> npt.NDArray[np.int32]:
        """The place in ``language_sets`` of the set of each document of a file, int32 (N,).

        InputError for a file that is not in the table as it is now.
        """
        check_path("of_file", "path", path)
        return self.of_unit(self._file(path))

    def of_unit(self, unit: Unit) -> npt.NDArray[np.int32]:
        """The same for a work unit: a whole file, or one that `cut` makes of it. ValueError for another."""
        check_kind("of_unit", "unit", unit, Unit, "a Unit")
        return np.concatenate([np.zeros(0, np.int32), *(self._load(place)[1] for place in self._places(unit))])

    def rows(self, path: str | Path) -> pa.Table:
        """The documents of a file: ``row`` (int64), ``languages`` (string, + between codes, "und") and ``kind``.

        ``row`` is the place in the file: of text its line or row, of token files the first token.
        """
        check_path("rows", "path", path)
        tags, kinds = pa.array(map(language_tag, self.language_sets), pa.string()), pa.array(KINDS)
        schema = pa.schema([("row", pa.int64()), ("languages", pa.string()), ("kind", pa.string())])
        tables = [schema.empty_table()]
        for place in self._places(self._file(path)):
            rows, ids, own = self._load(place)
            columns = [pa.array(rows), tags.take(pa.array(ids)), kinds.take(pa.array(own))]
            tables.append(pa.table(columns, schema=schema))
        return pa.concat_tables(tables)

    def composition(self) -> pa.Table:
        """What the corpus consists of.

        Returns
        -------
        pyarrow.Table
            One row for each kind and set of languages, the kinds in the order below and the largest sets first:
            ``kind`` and ``languages`` (string), ``documents`` (int64), and ``characters`` or ``tokens`` (int64), as
            ``measure`` says. Kinds:

            monolingual    one language
            bilingual      two, and none of the next
            parallel       two languages with as many lines, which alternate, or follow one another in two halves
            code-switched  several, and a fifth of the letters is in lines or sentences of two languages
            other          no language, or three and more

            Where languages are not detected, documents are of the first two kinds and of the last.
        """
        sums: dict[tuple[int, LanguageSet], list[int]] = {}
        for summary in self._summaries:
            for some, kind, documents, size in summary["totals"]:
                total = sums.setdefault((kind, tuple(summary["sets"][some])), [0, 0])
                total[0] += documents
                total[1] += size
        order = sorted(sums, key=lambda key: (key[0], -sums[key][0], key[1]))
        columns = [
            pa.array([KINDS[kind] for kind, _ in order], pa.string()),
            pa.array([language_tag(some) for _, some in order], pa.string()),
            pa.array([sums[key][0] for key in order], pa.int64()),
            pa.array([sums[key][1] for key in order], pa.int64()),
        ]
        return pa.table(columns, names=["kind", "languages", "documents", self.measure])

    def cut(self, unit: Unit, unit_bytes: int | None) -> list[Unit]:
        """The units of about ``unit_bytes`` of a file, or one for None, which begin where parts of the table do."""
        check_kind("cut", "unit", unit, Unit, "a Unit")
        check_int("cut", "unit_bytes", unit_bytes, 1, none=True)
        self.check([unit])
        begins = [0]
        for place in self._files[unit.file]:
            if unit_bytes is not None and self.units[place].begin - begins[-1] >= unit_bytes:
                begins.append(self.units[place].begin)
        return [replace(unit, begin=begin, end=end) for begin, end in zip(begins, [*begins[1:], None], strict=True)]

    def first_row(self, unit: Unit) -> int:
        """How many rows of the file are before ``unit``, one that `cut` makes of a file of text."""
        check_kind("first_row", "unit", unit, Unit, "a Unit")
        return self._starts[self._places(unit)[0]]

    def tags(self, unit: Unit, places: Ints) -> pa.DictionaryArray:
        """The languages of the documents at ascending ``places`` (those of `rows`) of a file, as a ``lang`` field.

        InputError where the table has no document there.
        """
        _check_places("tags", unit, places)
        names = pa.array(map(language_tag, self.language_sets), pa.string())
        return pa.DictionaryArray.from_arrays(pa.array(self._find(unit, places)[0]), names)

    def kinds(self, unit: Unit, places: Ints) -> pa.DictionaryArray:
        """The kinds (`composition`) of the documents at ascending ``places`` of a file, as `tags`."""
        _check_places("kinds", unit, places)
        return pa.DictionaryArray.from_arrays(pa.array(self._find(unit, places)[1]), pa.array(KINDS))

    def _find(self, unit: Unit, places: Ints) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int8]]:
        """The places in ``language_sets`` of documents, and in `KINDS`."""
        self.check([unit])
        own = [place for place in self._files[unit.file] if self._summaries[place]["documents"]]
        starts = np.array([self._starts[place] + self._summaries[place]["first"] for place in own], np.int64)
        parts = np.searchsorted(starts, places, "right") - 1
        found, kinds = np.full(len(places), -1, np.int32), np.zeros(len(places), np.int8)
        for part in np.unique(parts[parts >= 0]):
            rows, ids, own_kinds = self._load(own[part])
            wanted = np.flatnonzero(parts == part)
            at = np.minimum(np.searchsorted(rows, places[wanted]), len(rows) - 1)
            found[wanted] = np.where(rows[at] == places[wanted], ids[at], -1)
            kinds[wanted] = own_kinds[at]
        if (found < 0).any():
            row = int(places[np.argmax(found < 0)])
            place = self.folder or "table of languages"
            raise InputError(place, unit.path.name, f"must hold every document of the corpus; got none at {row}")
        return found, kinds

    def _file(self, path: str | Path) -> Unit:
        """The file at ``path`` as it is now, with the index that belongs to it."""
        file = Unit.of(path)
        same = [one for one in self._files if one.path == file.path]
        if same and same[0].index is not None:
            file = replace(file, index=Unit.of(same[0].index.path))
        self.check([file])
        return file

    def _places(self, unit: Unit) -> list[int]:
        """Which of the table's units ``unit`` consists of."""
        self.check([unit])
        own = self._files[unit.file]
        if unit.is_whole:
            return own
        inside = [place for place in own if unit.begin <= self.units[place].begin < unit.stop]
        good = inside and (self.units[inside[0]].begin, self.units[inside[-1]].end) == (unit.begin, unit.end)
        if not good:
            raise ValueError(f"LanguageTable: unit must be one that cut makes; got {unit!r}")
        return inside

    def _part(self, place: int) -> LanguagePart:
        unit = self.units[place]
        if self._parts is not None:
            part: LanguagePart = self._parts[unit]
            return part
        assert self.folder is not None
        part = LanguagePart.read(part_path(self.folder, unit))
        if part.digest != self._summaries[place]["digest"]:
            rule = "must be the table that was opened"
            raise InputError(part_path(self.folder, unit), "", f"{rule}; found that it has changed since")
        return part

    def _load(self, place: int) -> tuple[Ints, npt.NDArray[np.int32], npt.NDArray[np.int8]]:
        """The place in its file, the set and the kind of each document of a part; the last part is kept."""
        if self._last is None or self._last[0] != place:
            part = self._part(place)
            numbers = np.array([self._number[some] for some in part.sets], np.int32)
            self._last = place, part.places + self._starts[place], numbers[part.ids], part.kinds
        return self._last[1:]


def write_index(table: LanguageTable, identity: str) -> None:
    """Write the index of the parts in the table's folder; ``identity`` says by which arguments they were made."""
    assert table.folder is not None
    listed = [{**summary, "unit": _listed(unit)} for unit, summary in zip(table.units, table._summaries, strict=True)]
    index = {"format": FORMAT, "identity": identity, "measure": table.measure, "units": listed}
    write_sealed(index, table.folder / INDEX)


def _check_places(function: str, unit: Any, places: Any) -> None:
    check_kind(function, "unit", unit, Unit, "a Unit")
    check_kind(function, "places", places, np.ndarray, "an array of integers")
    if places.ndim != 1 or places.dtype.kind not in "iu":
        refuse_kind(function, "places", "be one-dimensional and of integers", places)


def _listed(unit: Unit) -> dict[str, Any]:
    index = None if unit.index is None else _listed(unit.index)
    names = ("size", "modified", "begin", "end")
    return {"path": str(unit.path), "index": index, **{name: getattr(unit, name) for name in names}}


def _unit(listed: dict[str, Any]) -> Unit:
    index = None if listed["index"] is None else _unit(listed["index"])
    return Unit(Path(listed["path"]), listed["size"], listed["modified"], listed["begin"], listed["end"], index)

"""The languages of the documents of one work unit, and their file.

``<unit>.parquet`` has one row per document: ``place`` (int64), where the document is in its unit (text: its row) or its
file (token files: its first token); ``set`` (int32), its place among the unit's ``sets``; ``kind`` (int8), its place in
`KINDS`. The header, JSON in the file's metadata, has the sets, sums and the digest of all that. A file appears whole.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pivotkit.artifacts import read_table, table_metadata, write_table
from pivotkit.corpus.languages.verdicts import Verdicts
from pivotkit.corpus.matching.word_languages import LanguageSet
from pivotkit.corpus.reading.units import Unit
from pivotkit.errors import InputError

SCHEMA = pa.schema([("place", pa.int64()), ("set", pa.int32()), ("kind", pa.int8())])


@dataclass(frozen=True, eq=False)
class LanguagePart:
    """N documents of a unit, in order.

    Attributes
    ----------
    sets : list of language sets
        Those of the documents, in ascending order.
    places : int64 (N,)
    ids : int32 (N,)
        Places in ``sets``.
    kinds : int8 (N,)
    rows : int
        Rows that the unit has, documents or not; 0 for token files.
    skipped : int
    totals : list of (set, kind, documents, size)
    """

    sets: list[LanguageSet]
    places: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int32]
    kinds: npt.NDArray[np.int8]
    rows: int
    skipped: int
    totals: list[list[int]]

    @classmethod
    def of(
        cls, found: Sequence[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Verdicts]], rows: int, skipped: int
    ) -> LanguagePart:
        """A part from the places, sizes and verdicts of some documents after another."""
        sets = sorted({verdicts.sets[one] for _, _, verdicts in found for one in np.unique(verdicts.ids)})
        number = {some: place for place, some in enumerate(sets)}
        ids, kinds = [np.zeros(0, np.int32)], [np.zeros(0, np.int8)]
        for _, _, verdicts in found:
            ids.append(np.array([number.get(some, -1) for some in verdicts.sets], np.int32)[verdicts.ids])
            kinds.append(verdicts.kinds)
        places, sizes = (np.concatenate([np.zeros(0, np.int64), *(part[place] for part in found)]) for place in (0, 1))
        all_ids, all_kinds = np.concatenate(ids), np.concatenate(kinds)
        keys, which = np.unique(all_ids * np.int64(256) + all_kinds, return_inverse=True)
        counts, sums = np.bincount(which, minlength=len(keys)), np.zeros(len(keys), np.int64)
        np.add.at(sums, which, sizes)
        totals = [
            [int(key) // 256, int(key) % 256, int(count), int(total)]
            for key, count, total in zip(keys, counts, sums, strict=True)
        ]
        return cls(sets, places, all_ids, all_kinds, rows, skipped, totals)

    @functools.cached_property
    def digest(self) -> str:
        """Of all that is known of the documents."""
        digest = hashlib.sha256(orjson.dumps([self.sets, self.rows, self.skipped, self.totals]))
        for array in (self.places, self.ids, self.kinds):
            digest.update(array.tobytes())
        return digest.hexdigest()

    def summary(self) -> dict[str, Any]:
        """What the table's index keeps."""
        about = {name: getattr(self, name) for name in ("sets", "rows", "skipped", "totals", "digest")}
        first = int(self.places[0]) if len(self.places) else 0
        return {**about, "documents": len(self.places), "first": first}

    def write(self, path: Path, identity: str) -> None:
        """Write the file of a unit; ``identity`` says by which arguments it was made."""
        columns = [pa.array(self.places), pa.array(self.ids), pa.array(self.kinds)]
        write_table(pa.table(columns, schema=SCHEMA), path, {**self.summary(), "identity": identity})

    @classmethod
    def read(cls, path: Path) -> LanguagePart:
        """Read what `write` wrote; InputError where it is not whole."""
        table = read_table(path)
        try:
            about = table_metadata(table)
            places, ids, kinds = (column.to_numpy() for column in table.columns)
            sets = [tuple(some) for some in about["sets"]]
            part = cls(sets, places, ids, kinds, about["rows"], about["skipped"], about["totals"])
            good = part.digest == about["digest"] and table.schema.remove_metadata().equals(SCHEMA)
        except (KeyError, TypeError, ValueError, pa.ArrowException):
            good = False
        if not good:
            raise InputError(path, "", "must hold the languages of a unit as they were written; got others")
        return part


def part_path(folder: Path, unit: Unit) -> Path:
    return folder / f"{unit.name}.parquet"


def read_header(path: Path) -> dict[str, Any] | None:
    """The header of a unit's file; None where there is no whole file."""
    try:
        raw = (pq.read_metadata(path).metadata or {}).get(b"pivotkit")
        return orjson.loads(raw) if raw else None
    except (OSError, ValueError, pa.ArrowException):
        return None

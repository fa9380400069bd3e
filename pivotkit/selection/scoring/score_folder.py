"""Document scores on disk: one Parquet file for each work unit, from which a stopped run resumes.

``scores.json`` says what was scored and, once all are scored, names the units.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pivotkit.artifacts import atomic_path, read_object, sweep, value_digest, write_json
from pivotkit.errors import InputError

FORMAT = 3
HEADER = "scores.json"
SUFFIX = ".parquet"
REPEATED = ("unit", "lang", "pair", "file_name", "folder")  # columns in which few texts stand in many rows
GROUP_ROWS = 1 << 17


class ScoreFolder:
    """A folder with ``<unit>.parquet`` for each unit that is done, and ``scores.json``, which says what was scored.

    A file appears whole or not at all.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], units: Sequence[str]) -> None:
        """Open or make it; InputError where it holds other scores than those of ``identity``."""
        self.folder, self._units = folder, list(units)
        header = {"format": FORMAT, **identity}
        self._header = {**header, "digest": value_digest(header)}
        place, before = folder / HEADER, {}
        if place.exists():
            before = read_object(place, {"digest": str})
            if before["digest"] != self._header["digest"]:
                raise InputError(folder, "", "must hold no scores or those of the same arguments; got others")
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        if not before or before.get("units", self._units) != self._units:
            write_json(self._header, place)

    def finish(self) -> None:
        """Name the units, all of which are done. Files of others may lie there from an earlier corpus."""
        write_json({**self._header, "units": self._units}, self.folder / HEADER)

    def has(self, unit: str) -> bool:
        return self._path(unit).exists()

    def write(self, unit: str, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
        """Write the rows of a unit as they come."""
        repeated = [name for name in REPEATED if name in schema.names]
        options = {"compression": "zstd", "use_dictionary": repeated, "write_page_checksum": True}
        waiting: list[pa.Table] = []
        with atomic_path(self._path(unit)) as path, pq.ParquetWriter(path, schema, **options) as writer:
            for table in tables:
                waiting.append(table)
                if sum(map(len, waiting)) >= GROUP_ROWS:
                    writer.write_table(pa.concat_tables(waiting).cast(schema))
                    waiting = []
            if waiting:
                writer.write_table(pa.concat_tables(waiting).cast(schema))

    def count(self, unit: str, schema: pa.Schema) -> int:
        """How many rows a unit has; InputError unless its file is whole and has these columns.

        The pages have checksums of their own, which are checked when they are read.
        """
        path = self._path(unit)
        try:
            with pq.ParquetFile(path) as file:
                found, rows = file.schema_arrow, file.metadata.num_rows
        except (pa.ArrowException, OSError) as error:
            raise InputError(path, "", f"must be a whole Parquet file; {error}") from None
        if found.names != schema.names:
            raise InputError(path, "", f"must have the columns {', '.join(schema.names)}; got others")
        return int(rows)

    def _path(self, unit: str) -> Path:
        return self.folder / f"{unit}{SUFFIX}"


def finished_files(folder: Path) -> list[Path]:
    """The files of the units of a finished folder; InputError for one that is not."""
    header = read_object(folder / HEADER, {"format": int})
    if header["format"] != FORMAT:
        raise InputError(folder / HEADER, "", f"must be of format {FORMAT}; got {header['format']}")
    units = header.get("units")
    if not isinstance(units, list):
        rule = "must hold scores of all units; found them unfinished (the same call of score_documents finishes them)"
        raise InputError(folder, "", rule)
    return [folder / f"{unit}{SUFFIX}" for unit in units]

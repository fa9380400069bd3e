"""Document scores on disk: one Arrow file for each work unit, from which a stopped run resumes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from pivotkit.artifacts import atomic_path, read_object, sweep, value_digest, write_json
from pivotkit.errors import InputError

FORMAT = 1
HEADER = "scores.json"
SUFFIX = ".arrow"


class ScoreFolder:
    """A folder with ``<unit>.arrow`` for each unit that is done, and ``scores.json``, which says what was scored.

    A file appears whole or not at all.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        """Open or make it; InputError where it holds other scores than those of ``identity``."""
        self.folder = folder
        self._header = {"format": FORMAT, **identity}
        place = folder / HEADER
        if place.exists():
            before = read_object(place, {"digest": str})
            if before["digest"] != value_digest(self._header):
                raise InputError(folder, "", "must hold no scores or those of the same arguments; got others")
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        if not place.exists():
            write_json({**self._header, "digest": value_digest(self._header)}, place)

    def has(self, unit: str) -> bool:
        return self._path(unit).exists()

    def write(self, unit: str, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
        """Write the rows of a unit as they come."""
        with (
            atomic_path(self._path(unit)) as path,
            pa.OSFile(str(path), "wb") as sink,
            pa.ipc.new_file(sink, schema) as writer,
        ):
            for table in tables:
                writer.write_table(table)

    def read(self, unit: str, schema: pa.Schema) -> pa.Table:
        """The rows of a unit, mapped."""
        path = self._path(unit)
        try:
            with pa.memory_map(str(path)) as source:  # what was read stays mapped
                table = pa.ipc.open_file(source).read_all()
        except (pa.ArrowException, OSError) as error:
            raise InputError(path, "", f"must be a whole Arrow file; {error}") from None
        if table.schema.names != schema.names:
            raise InputError(path, "", f"must have the columns {', '.join(schema.names)}; got others")
        return table

    def _path(self, unit: str) -> Path:
        return self.folder / f"{unit}{SUFFIX}"

"""Selected documents, unit by unit: in a table, or in the folder that `select` writes.

The folder has ``<unit>.parquet`` for each unit of which documents were taken, its rows in order, and
``selection.json``: the summary, and how many rows each unit has.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from pivotkit.artifacts import (
    atomic_folder,
    atomic_path,
    read_object,
    require_columns,
    sweep,
    table_metadata,
    write_json,
)
from pivotkit.errors import InputError
from pivotkit.selection.choosing.groups import in_order, plain_text
from pivotkit.selection.choosing.score_shards import runs

FORMAT = 1
HEADER = "selection.json"
GROUP_ROWS = 1 << 17  # of a row group, about
BATCH_ROWS = 1 << 16
# Columns in which few texts stand in many rows.
REPEATED = ("unit", "lang", "pair", "file_name", "folder", "file", "shard")


@contextlib.contextmanager
def replaced_selection(function: str, out: Path, header: str) -> Iterator[Path]:
    """`atomic_folder`, for a folder that does not exist, is empty, or has a file named ``header``."""
    if out.exists() and not (out.is_dir() and ((out / header).exists() or not any(out.iterdir()))):
        raise ValueError(
            f"{function}: out must be a new folder, or hold what {function} wrote; got {out}, which has no {header}"
        )
    if out.parent.is_dir():
        sweep(out.parent)
    with atomic_folder(out) as new:
        yield new


class RowWriter(contextlib.AbstractContextManager["RowWriter"]):
    """A Parquet file whose rows come in small pieces. It appears whole or not at all."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._waiting: list[pa.Table] = []
        with contextlib.ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(path))
            repeated = [name for name in REPEATED if name in schema.names]
            options = {"compression": "zstd", "use_dictionary": repeated, "write_page_checksum": True}
            self._writer = stack.enter_context(pq.ParquetWriter(temporary, schema, **options))
            self._open = stack.pop_all()

    def add(self, rows: pa.Table) -> None:
        self._waiting.append(rows)
        if sum(map(len, self._waiting)) >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting).cast(self._schema))
        self._waiting = []

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            with self._open:
                self._flush()
        else:
            self._open.__exit__(kind, error, trace)


class SelectionWriter(contextlib.AbstractContextManager["SelectionWriter"]):
    """Writes selected rows, which come unit by unit, into a folder."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._folder, self._schema = folder, schema
        self._units: dict[str, int] = {}
        self._writer: RowWriter | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        for unit, begin, end in runs(plain_text(batch["unit"])):
            if unit not in self._units or self._writer is None:
                self._close()
                self._writer = RowWriter(self._folder / file_of(unit), self._schema)
                self._units[unit] = 0
            self._units[unit] += end - begin
            self._writer.add(pa.Table.from_batches([batch.slice(begin, end - begin)]))

    def finish(self, summary: dict[str, Any]) -> None:
        self._close()
        write_json({"format": FORMAT, "summary": summary, "units": self._units}, self._folder / HEADER)

    def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.__exit__(None, None, None)

    def __exit__(self, *error: Any) -> None:
        if self._writer is not None:
            self._writer.__exit__(*error)


class Selection:
    """Selected documents.

    Parameters
    ----------
    function : str
        For messages.
    selection : pyarrow.Table or path
    without : sequence of str, default ()
        Columns that are left out where they are there.

    Attributes
    ----------
    summary : dict
        What `select` tells of them.
    units : dict of str to int
        How many there are in each unit, in the order of the units' names.
    schema : pyarrow.Schema
    """

    def __init__(self, function: str, selection: pa.Table | str | Path, without: Sequence[str] = ()) -> None:
        self._without = without
        self._table: pa.Table | None = None
        self._begins: dict[str, int] = {}
        if isinstance(selection, pa.Table):
            self._of_table(function, selection)
        else:
            self._of_folder(Path(selection))
        require_columns(function, "selection", self.schema.empty_table(), ("unit", "row", "id"))

    def _of_table(self, function: str, table: pa.Table) -> None:
        require_columns(function, "selection", table, ("unit", "row", "id"))
        table = self._kept(table)
        self.summary, self.schema = table_metadata(table), table.schema.remove_metadata()
        self._table = in_order(table).combine_chunks()
        units = self._table["unit"].chunks[0] if self._table.num_rows else pa.array([], pa.string())
        stretches = runs(plain_text(units))
        self.units = {unit: end - begin for unit, begin, end in stretches}
        self._begins = {unit: begin for unit, begin, _ in stretches}

    def _of_folder(self, folder: Path) -> None:
        if not (folder / HEADER).exists():
            raise InputError(folder, "", f"must be a selection that select wrote; found no {HEADER}")
        header = read_object(folder / HEADER, {"format": int, "summary": dict, "units": dict})
        if header["format"] != FORMAT:
            raise InputError(folder / HEADER, "", f"must be of format {FORMAT}; got {header['format']}")
        self.summary, self._folder = header["summary"], folder
        self.units = {unit: int(rows) for unit, rows in sorted(header["units"].items())}
        first = next(iter(self.units), None)
        if first is None:
            self.schema = pa.schema([("unit", pa.string()), ("row", pa.int64()), ("id", pa.string())])
        else:
            with self._opened(first) as file:
                self.schema = self._kept(file.schema_arrow.empty_table()).schema.remove_metadata()

    def batches(self, unit: str) -> Iterator[pa.Table]:
        """The rows of a unit in order, at most `BATCH_ROWS` at a time; InputError for a damaged file."""
        if self._table is not None:
            part = self._table.slice(self._begins[unit], self.units[unit])
            yield from (part.slice(begin, BATCH_ROWS) for begin in range(0, len(part), BATCH_ROWS))
            return
        rows, path = 0, self._folder / file_of(unit)
        try:
            with self._opened(unit) as file:
                for batch in file.iter_batches(BATCH_ROWS, use_threads=False):
                    rows += len(batch)
                    yield self._kept(pa.Table.from_batches([batch]))
        except (pa.ArrowException, OSError) as error:
            raise InputError(path, "", f"must be a Parquet file, whole; {error}") from None
        if rows != self.units[unit]:
            raise InputError(path, "", f"must hold {self.units[unit]} rows, as {HEADER} says; got {rows}")

    def _kept(self, rows: pa.Table) -> pa.Table:
        return rows.drop_columns([name for name in self._without if name in rows.column_names])

    def _opened(self, unit: str) -> pq.ParquetFile:
        path = self._folder / file_of(unit)
        try:
            return pq.ParquetFile(path, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise InputError(path, "", f"must be a Parquet file, whole; {error}") from None


def file_of(unit: str) -> str:
    """The name of the file of a unit.

    >>> file_of("0f3a.0-10"), file_of("a/b")
    ('0f3a.0-10.parquet', 'a%2Fb.parquet')
    """
    return f"{quote(unit, safe='')}.parquet"

"""Files of columns (Parquet and Arrow): the record batches of a unit."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq

from pivotkit.corpus.reading.boundaries import row_group_places
from pivotkit.corpus.reading.corpus_files import format_of
from pivotkit.corpus.reading.ipc import arrow_blocks, arrow_messages, is_arrow_file
from pivotkit.corpus.reading.records import is_text
from pivotkit.corpus.reading.units import Unit
from pivotkit.errors import CorpusError

COLUMNS = ("id", "text", "lang", "langs")
MOST_ROWS = 1 << 16  # the most rows of a batch


def read_batches(unit: Unit, batch_bytes: int) -> Iterator[pa.RecordBatch]:
    """Batches of those `COLUMNS` that the file has: of about ``batch_bytes`` for Parquet, the file's own for Arrow.

    A file without texts raises a CorpusError, and a broken file what pyarrow raises.
    """
    return _parquet(unit, batch_bytes) if _is_parquet(unit) else _arrow(unit)


def rows_before(unit: Unit) -> int:
    """How many rows of the file are before the first row of ``unit``."""
    if unit.begin == 0:
        return 0
    if _is_parquet(unit):
        with pq.ParquetFile(unit.path) as file:
            return sum(file.metadata.row_group(group).num_rows for group in _row_groups(file, unit, 0, unit.begin))
    return sum(batch.num_rows for batch in _arrow(replace(unit, begin=0, end=unit.begin)))


def _is_parquet(unit: Unit) -> bool:
    return format_of(unit.path).content == "parquet"


def _row_groups(file: pq.ParquetFile, unit: Unit, begin: int, end: int) -> list[int]:
    places = row_group_places(file.metadata, unit.size)
    whole = begin == 0 and end == unit.size
    return [group for group, place in enumerate(places) if whole or begin <= place < end]


def _parquet(unit: Unit, batch_bytes: int) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(unit.path, buffer_size=1 << 20, page_checksum_verification=True) as file:
        columns = _columns(unit, file.schema_arrow)
        for group in _row_groups(file, unit, unit.begin, unit.stop):
            described = file.metadata.row_group(group)
            rows = max(1, described.num_rows * batch_bytes // max(described.total_byte_size, 1))
            yield from file.iter_batches(batch_size=min(rows, MOST_ROWS), row_groups=[group], columns=columns)


class _Spans(io.RawIOBase):
    """Reads several spans of a file as if they were one stream."""

    def __init__(self, file: int, spans: list[tuple[int, int]]) -> None:
        self._file = file
        self._spans = spans[::-1]

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts = []
        while self._spans and size:
            begin, end = self._spans.pop()
            part = os.pread(self._file, end - begin if size < 0 else min(size, end - begin), begin)
            if begin + len(part) < end and part:
                self._spans.append((begin + len(part), end))
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _arrow(unit: Unit) -> Iterator[pa.RecordBatch]:
    return _arrow_file(unit) if is_arrow_file(unit.path) else _arrow_stream(unit)


def _arrow_file(unit: Unit) -> Iterator[pa.RecordBatch]:
    """A file is what its footer says; the bytes between need not be a stream."""
    begins = arrow_blocks(unit.path).batches
    with pa.OSFile(str(unit.path)) as source, pa.ipc.open_file(source) as reader:
        columns = _columns(unit, reader.schema)
        if reader.num_record_batches != len(begins):
            raise ValueError("must end in its footer; got a broken one")
        for place, begin in enumerate(begins):
            if unit.begin <= begin < unit.stop:
                yield reader.get_batch(place).select(columns)


def _arrow_stream(unit: Unit) -> Iterator[pa.RecordBatch]:
    spans = []
    for begin, end, kind in arrow_messages(unit.path):  # reads headers only; refuses a stream that is cut short
        if kind in ("schema", "dictionary") or (kind == "batch" and unit.begin <= begin < unit.stop):
            spans.append((begin, end))
    with (
        unit.path.open("rb", buffering=0) as raw,
        pa.PythonFile(_Spans(raw.fileno(), spans), mode="r") as source,
        pa.ipc.open_stream(source) as reader,
    ):
        columns = _columns(unit, reader.schema)
        for batch in reader:
            yield batch.select(columns)


def _columns(unit: Unit, schema: pa.Schema) -> list[str]:
    fields = [field for field in schema if field.name == "text"]
    if len(fields) != 1 or not is_text(fields[0].type):
        got = "none" if not fields else fields[0].type if len(fields) == 1 else f"{len(fields)} of them"
        raise CorpusError(unit.path, "", f'must have a string column "text"; got {got}')
    columns = [name for name in COLUMNS if name in schema.names]
    for name in columns:
        if len(schema.get_all_field_indices(name)) > 1:
            raise CorpusError(unit.path, "", f"must have one column {name!r}; got more")
    return columns

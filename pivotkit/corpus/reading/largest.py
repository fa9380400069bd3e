"""The largest piece of a column file that is read at once: a page of Parquet, a record batch of Arrow. Headers tell it.

Sources: the Parquet format (PageHeader in parquet.thrift), Thrift's compact protocol.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from pivotkit.corpus.reading import column_files
from pivotkit.corpus.reading.units import Unit

HEADER_BYTES = 1 << 12  # of a page's header, unless it holds long statistics


def largest_piece(unit: Unit, enough: int) -> int:
    """Bytes of the largest page or batch of the file with texts; at most an estimate where all are below ``enough``.

    A broken file has no largest piece, 0: its reader says what is wrong. Cost: one read per page or batch.
    """
    try:
        return _batch(unit) if unit.path.name.lower().endswith(".arrow") else _page(unit, enough)
    except (pa.ArrowException, OSError, ValueError, IndexError):
        return 0


def _batch(unit: Unit) -> int:
    messages = column_files.arrow_messages(unit.path)  # type: ignore[attr-defined]  # what its reader reads
    return max((end - begin for begin, end, _ in messages if unit.begin <= begin < unit.stop), default=0)


def _page(unit: Unit, enough: int) -> int:
    largest = 0
    with pq.ParquetFile(unit.path) as file, unit.path.open("rb") as raw:
        for group in range(file.num_row_groups):
            about = file.metadata.row_group(group)
            for column in (about.column(place) for place in range(about.num_columns)):
                if column.path_in_schema not in column_files.COLUMNS:
                    continue
                begin = column.data_page_offset
                if column.has_dictionary_page:
                    begin = min(begin, column.dictionary_page_offset)
                if column.total_uncompressed_size < enough:  # none of its pages is larger
                    largest = max(largest, column.total_uncompressed_size)
                else:
                    pages = _pages(raw.fileno(), begin, begin + column.total_compressed_size)
                    largest = max([largest, *pages])
    return largest


def _pages(file: int, at: int, end: int) -> Iterator[int]:
    """The size of each page from ``at`` to ``end``, decompressed."""
    while at < end:
        size = HEADER_BYTES
        while True:
            try:
                fields, length = _struct(os.pread(file, size, at), 0)
                break
            except IndexError:
                if size > end - at:
                    raise
                size *= 16
        yield fields[2]
        at += length + fields[3]


def _struct(raw: bytes, at: int) -> tuple[dict[int, int], int]:
    """The integers of a struct by field number, and where the struct ends; IndexError where ``raw`` is too short."""
    fields: dict[int, int] = {}
    number = 0
    while raw[at]:
        kind, step = raw[at] & 15, raw[at] >> 4
        at += 1
        if step:
            number += step
        else:
            number, at = _zigzag(raw, at)
        if kind in (4, 5, 6):
            fields[number], at = _zigzag(raw, at)
        else:
            at = _skip(raw, at, kind)
    return fields, at + 1


def _skip(raw: bytes, at: int, kind: int) -> int:
    """Where a value of another kind ends: truth, byte, double, bytes, struct. Page headers have no lists."""
    if kind in (1, 2):
        return at
    if kind == 8:
        length, at = _varint(raw, at)
        at += length
    elif kind == 12:
        at = _struct(raw, at)[1]
    elif kind in (3, 7):
        at += {3: 1, 7: 8}[kind]
    else:
        raise ValueError(f"must be a page header; got a value of kind {kind}")
    if at > len(raw):
        raise IndexError("more of the header is to be read")
    return at


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (raw[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if raw[at - 1] < 128:
            return value, at


def _zigzag(raw: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(raw, at)
    return (value >> 1) ^ -(value & 1), at

"""The counts of one work unit on disk: one Parquet file of cells, so that merging is a sum grouped by cell.

The context table lies in a row file beside it, and the postings in a posting file (``csrc/postings/posting_file.h``),
because they have many cells and Parquet takes ten to forty times as long per cell.

Columns: ``kind`` (int8), ``row``, ``column`` (int32), ``count`` (int64). A row group holds one kind:

DF, TF, PAIR, BACKGROUND
    ``row`` is a word, a listed pair or a token id; ``column`` is 0. Zero counts are left out.
LANGUAGE
    ``row`` is the row of a document, ``column`` the place of its language in the header's ``languages``, ``count`` 1.
SAMPLED
    ``row`` is the row of a document whose tokens are kept, ``count`` the 64 bits of its hash.
SAMPLED_TOKEN
    ``row`` is the row of such a document, ``column`` a token id in it, ``count`` 1. Documents ascend.

The header is JSON in the file's metadata and names the unit and the configuration. It is written last, and pages carry
checksums. A file that is not whole is not used; its unit is counted anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pivotkit import _C
from pivotkit.artifacts import atomic_path

DF, TF, PAIR, BACKGROUND, LANGUAGE, SAMPLED, SAMPLED_TOKEN = range(7)
GROUP_CELLS = 1 << 18  # cells of a row group: what a reader must hold to look at one of them
DELTA = dict.fromkeys(("column", "count"), "DELTA_BINARY_PACKED")  # 2.5 bytes per cell; zstd: 3.3, in twice the time
KEY = "pivotkit"
SCHEMA = pa.schema([("kind", pa.int8()), ("row", pa.int32()), ("column", pa.int32()), ("count", pa.int64())])


class UnitCountsWriter:
    """Writes the counts of one unit; the file appears, whole, when the ``with`` block succeeds."""

    def __init__(self, path: Path) -> None:
        self._exits = ExitStack()
        self._path = path
        self._writer: Any = None

    def __enter__(self) -> UnitCountsWriter:
        temporary = self._exits.enter_context(atomic_path(self._path, durable=False))
        self._writer = self._exits.enter_context(
            pq.ParquetWriter(
                temporary,
                SCHEMA,
                compression="none",
                use_dictionary=["kind", "row"],
                column_encoding=DELTA,
                write_page_checksum=True,
            )
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.__exit__(kind, error, trace)

    def vector(self, kind: int, counts: npt.NDArray[np.int64]) -> None:
        """Write the counts of DF, TF, PAIR or BACKGROUND."""
        (rows,) = np.nonzero(counts)
        self.cells(kind, rows, np.zeros(len(rows), np.int32), counts[rows])

    def cells(self, kind: int, rows: npt.NDArray[Any], columns: npt.NDArray[Any], counts: npt.NDArray[Any]) -> None:
        """Write cells of one kind."""
        for begin in range(0, len(rows), GROUP_CELLS):
            part = slice(begin, begin + GROUP_CELLS)
            size = len(rows[part])
            arrays = [np.full(size, kind, np.int8), rows[part], columns[part], counts[part]]
            columns_of = [pa.array(array, field.type) for array, field in zip(arrays, SCHEMA, strict=True)]
            self._writer.write_table(pa.table(columns_of, schema=SCHEMA))

    def header(self, header: dict[str, Any]) -> None:
        """Write the header, which must name the unit and the configuration."""
        self._writer.add_key_value_metadata({KEY: orjson.dumps(header).decode()})


def read_header(path: Path) -> dict[str, Any] | None:
    """The header of a unit's counts; None when the file is absent or not a whole Parquet file of this kind."""
    try:
        with pq.ParquetFile(path) as file:
            raw = (file.metadata.metadata or {}).get(KEY.encode())
    except (FileNotFoundError, pa.ArrowException, OSError):
        return None
    return orjson.loads(raw) if raw else None


Cells = tuple[int, npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int64]]


def read_cells(path: Path, kinds: tuple[int, ...], first: int = 0, last: int = 1 << 31) -> Iterator[Cells]:
    """The cells of ``kinds`` whose rows are in [first, last), per row group: kind, rows, columns, counts.

    Groups outside the range are not read. A damaged file raises an Arrow error or OSError.
    """
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            about = file.metadata.row_group(group)
            kind = about.column(0).statistics.min
            rows = about.column(1).statistics
            if kind not in kinds or rows.max < first or rows.min >= last:
                continue
            table = file.read_row_group(group, columns=["row", "column", "count"])
            row, column, count = (table[name].to_numpy() for name in ("row", "column", "count"))
            inside = slice(None) if first <= rows.min and rows.max < last else (row >= first) & (row < last)
            yield kind, row[inside], column[inside], count[inside]


Hits = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int64]]


def posting_path(path: Path) -> Path:
    """The posting file beside the unit counts at ``path``."""
    return path.with_suffix(".postings")


def read_postings(path: Path, words: int, first: int = 0, last: int = 1 << 31) -> Iterator[Hits]:
    """The postings of words in [first, last) beside the unit counts at ``path``, per run: words, rows, occurrences.

    Words ascend within a run; the rows of a word ascend within a run and from run to run. A damaged file raises
    CorpusError.
    """
    file = _C.PostingFile(str(posting_path(path)), words)
    for run in range(file.runs):
        word, row, count = file.read(run, first, last)
        if len(word):
            yield word, row, count

"""The counts of one work unit on disk: one Parquet file of cells, so that merging is a sum grouped by cell.

Columns: ``kind`` (int8: DF, TF, PAIR, BACKGROUND or CONTEXT), ``row`` (word, pair or token id), ``column`` (token id of a
context cell, else 0), ``count`` (int64). Zero counts are left out. The schema's metadata name the unit and the
configuration, and pages carry checksums: a file that is not whole is counted anew, never trusted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import csr_array

from pivotkit import _C
from pivotkit.artifacts import atomic_path
from pivotkit.corpus.budget import PROCESS_BYTES, require
from pivotkit.corpus.counts import Counts

DF, TF, PAIR, BACKGROUND, CONTEXT = range(5)
CELL_BYTES = (
    20  # of a context cell while tables merge: int32 column, int64 count, and what the allocator keeps of those freed
)
BLOCK_CELLS = 1 << 20  # of the context table made and written at once
SCHEMA = pa.schema([("kind", pa.int8()), ("row", pa.int32()), ("column", pa.int32()), ("count", pa.int64())])


def write_partial(path: Path, counter: _C.DocumentCounter, header: dict[str, Any]) -> None:
    """Write what ``counter`` holds; ``header`` must name the unit and the configuration."""
    header = {**header, "documents": counter.documents}
    schema = SCHEMA.with_metadata({b"pivotkit": orjson.dumps(header)})
    vectors = {DF: counter.df, TF: counter.tf, PAIR: counter.pair_df, BACKGROUND: counter.background}
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        for kind, counts in vectors.items():
            (rows,) = np.nonzero(counts)
            writer.write_table(_cells(schema, kind, rows, np.zeros(len(rows)), counts[rows]))
        if len(counter.background):
            for begin, end in _blocks(counter.context_bounds()):
                offsets, tokens, counts = counter.context(begin, end)
                rows = np.repeat(np.arange(begin, end), np.diff(offsets))
                writer.write_table(_cells(schema, CONTEXT, rows, tokens, counts))


def _cells(schema: pa.Schema, kind: int, rows: Any, columns: Any, counts: Any) -> pa.Table:
    kinds = np.full(len(rows), kind, np.int8)
    return pa.table([kinds, rows.astype(np.int32), columns.astype(np.int32), counts], schema=schema)


def _blocks(bounds: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges of rows that together cannot have more than `BLOCK_CELLS` cells, or one row each."""
    begin, size = 0, 0
    for row, bound in enumerate(bounds.tolist()):
        if row > begin and size + bound > BLOCK_CELLS:
            yield begin, row
            begin, size = row, 0
        size += bound
    if begin < len(bounds):
        yield begin, len(bounds)


def read_header(path: Path) -> dict[str, Any] | None:
    """The header of a partial; None when the file is absent or is not a whole Parquet file of this kind."""
    try:
        with pq.ParquetFile(path) as file:
            raw = (file.schema_arrow.metadata or {}).get(b"pivotkit")
    except (FileNotFoundError, pa.ArrowException, OSError):
        return None
    return orjson.loads(raw) if raw else None


def read_partial(path: Path, words: list[str], pairs: npt.NDArray[np.int32], vocabulary: int) -> Counts:
    """One partial as `Counts`; ValueError or an Arrow error when it is damaged."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        header = orjson.loads(file.schema_arrow.metadata[b"pivotkit"])
        totals = {DF: len(words), TF: len(words), PAIR: len(pairs), BACKGROUND: vocabulary}
        vectors = {kind: np.zeros(size, np.int64) for kind, size in totals.items()}
        columns: list[npt.NDArray[np.int32]] = []
        counts: list[npt.NDArray[np.int64]] = []
        sizes = np.zeros(len(words) + 1, np.int64)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            if table.num_rows == 0:
                continue
            kind, row, column, count = (table[name].to_numpy() for name in SCHEMA.names)
            if kind[0] == CONTEXT:  # a row group holds one kind
                columns.append(column)
                counts.append(count)
                sizes[1:] += np.bincount(row, minlength=len(words))
            else:
                vectors[int(kind[0])][row] = count
    context = None
    if vocabulary:
        data = np.concatenate([np.zeros(0, np.int64), *counts])
        indices = np.concatenate([np.zeros(0, np.int32), *columns])
        context = csr_array((data, indices, np.cumsum(sizes)), shape=(len(words), vocabulary))
    return Counts(
        words=words,
        documents=header["documents"],
        df=vectors[DF],
        tf=vectors[TF],
        pairs=pairs,
        pair_df=vectors[PAIR],
        context=context,
        background=vectors[BACKGROUND] if vocabulary else None,
        units=(header["unit"],),
        skipped=header["skipped"],
        tokenizer=header["tokenizer"],
    )


def merge_all(parts: Iterable[Counts], memory: int) -> Counts:
    """The sum of ``parts``, added in pairs of like size so that each cell is added a logarithmic number of times.

    Raises ValueError before an addition that would hold more than ``memory`` bytes, context tables and process.
    """
    stack: list[tuple[int, Counts]] = []
    for part in parts:
        level = 0
        while stack and stack[-1][0] == level:
            part = _add(stack.pop()[1], part, stack, memory)
            level += 1
        stack.append((level, part))
    total = stack.pop()[1]
    while stack:
        total = _add(stack.pop()[1], total, stack, memory)
    return total


def _add(a: Counts, b: Counts, held: list[tuple[int, Counts]], memory: int) -> Counts:
    """``a`` and ``b`` merged, unless the two, their sum and what is ``held`` besides pass the budget."""
    cells = sum(0 if counts.context is None else counts.context.nnz for _, counts in held)
    if a.context is not None and b.context is not None:
        cells += 2 * (a.context.nnz + b.context.nnz)
    require("count", "merging the context tables of the units", PROCESS_BYTES + cells * CELL_BYTES, memory)
    return a.merge(b)

"""Parts of a corpus file: where they begin, in bytes, rows and documents, and their documents in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pivotkit.artifacts import read_table, write_table
from pivotkit.corpus.reading.documents import TextBlock, Unit, read_texts
from pivotkit.corpus.reading.units import cut
from pivotkit.errors import InputError

PART_BYTES = 4 << 20  # about how many bytes of a file a part has; small, because units are put together from parts


class Part(NamedTuple):
    """Where a part of a file begins: its first byte, and how many rows, documents and left out ones are before it."""

    begin: int
    row: int
    document: int
    skipped: int


def read_parts(
    unit: Unit, on_error: str, last: Part | None = None, documents: int = 0
) -> Iterator[tuple[tuple[Part, int], TextBlock]]:
    """The documents of a whole file as `read_texts` gives them, each block with its part and the number of left out.

    To go on, give the ``last`` part that was begun and how many ``documents`` of the file are done. They are read
    again from the beginning of that part, and not given.
    """
    part = Part(0, 0, 0, 0) if last is None else last
    pieces = [piece for piece in cut(unit, PART_BYTES) if piece.begin >= part.begin]
    if not pieces or pieces[0].begin != part.begin:
        pieces = [replace(unit, begin=part.begin)]  # another version cut the file otherwise
    while pieces:
        piece, *pieces = pieces
        row, document, skipped = part.row, part.document, part.skipped
        for block in read_texts(piece, on_error):
            if block.is_broken and piece.end is not None:
                documents = max(documents, document)
                pieces = [replace(piece, end=None)]  # what is behind the break is read, or not, as in the whole file
                break
            done = min(max(documents - document, 0), len(block))
            row, document, skipped = part.row + block.end, document + len(block), skipped + block.skipped
            yield (part, skipped), block.behind(done) if done else block
        else:
            if pieces:
                part = Part(pieces[0].begin, row, document, skipped)


def write_parts(parts: Sequence[Part], path: Path) -> None:
    """Keep where parts begin, unless there is only one, the whole file."""
    path.unlink(missing_ok=True)
    if len(parts) > 1:
        columns = zip(("begin", "row", "document"), zip(*parts, strict=True), strict=False)
        write_table(pa.table({name: pa.array(places, pa.int64()) for name, places in columns}), path)


def load_parts(path: Path, documents: int) -> list[Part]:
    """The parts of a file of so many documents; one where `write_parts` kept none."""
    if not path.exists():
        return [Part(0, 0, 0, 0)]
    table = read_table(path)
    if table.schema.names != ["begin", "row", "document"] or any(kind != pa.int64() for kind in table.schema.types):
        raise InputError(path, "", f"must have the columns begin, row, document; got {', '.join(table.schema.names)}")
    begin, row, document = (column.to_numpy() for column in table.columns)
    good = len(begin) and not (begin[0] or row[0] or document[0]) and document[-1] <= documents
    if not good or (np.diff(begin) < 1).any() or (row[1:] < row[:-1]).any() or (np.diff(document) < 0).any():
        raise InputError(path, "", f"must hold parts that ascend from 0 to {documents} documents; got others")
    return [Part(*places, 0) for places in zip(begin.tolist(), row.tolist(), document.tolist(), strict=True)]

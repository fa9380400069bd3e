"""Documents of a corpus: units are read as blocks of packed text or batches of strings, strictly and in bounded memory.

A file of JSON lines has one object per line. ``text`` is a string. ``id`` (a string, or a number as it is written;
default ``<file name>:<line>``) and ``lang`` (default ``und``) are optional, and other keys are ignored. A text file has
one document per line; an empty line is not a document. Both may be plain, ``.gz`` or ``.zst``. Parquet and Arrow files
(as Hugging Face ``datasets`` saves them) have the same names as columns. Messages count lines from 1. ``rows`` count
from 0 at the unit's first line or row. docs/formats.md says what else is read, and what is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from pivotkit import _C
from pivotkit.arguments import check_text, refuse
from pivotkit.corpus.reading.amounts import amount
from pivotkit.corpus.reading.budget import (
    BATCH_COPIES,
    LINE_COPIES,
    MATCH_COPIES,
    PAGE_COPIES,
    DocumentBudget,
    LongLine,
)
from pivotkit.corpus.reading.column_files import read_batches, rows_before
from pivotkit.corpus.reading.corpus_files import SUFFIXES, Corpus, corpus_files, format_of, regular_file
from pivotkit.corpus.reading.largest import largest_piece
from pivotkit.corpus.reading.line_files import UnitLines, lines_before
from pivotkit.corpus.reading.records import check_columns, line_problem, row_problem
from pivotkit.corpus.reading.streams import BrokenStream
from pivotkit.corpus.reading.text_block import TextBlock, languages
from pivotkit.corpus.reading.units import Unit, work_units
from pivotkit.errors import CorpusError

__all__ = [
    "SUFFIXES",
    "Batch",
    "Corpus",
    "TextBlock",
    "Unit",
    "check_on_error",
    "corpus_files",
    "read_documents",
    "read_texts",
    "work_units",
]

BATCH_BYTES = 4 << 20  # about the size of a block
BATCH_DOCUMENTS = 4096
READ_BYTES = 1 << 18  # stays in the cache until it is parsed
MARK = b"\xef\xbb\xbf"  # the byte order mark
LONGEST_LINE = 256 << 20  # a longer line means a file of another format


@dataclass
class Batch:
    """Documents of one unit in its order, as columns.

    Attributes
    ----------
    ids, texts, langs : list[str]
    rows : list[int]
        The place of each document in the unit, from 0.
    skipped : int
        Documents left out since the batch before.
    """

    ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    langs: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Batch({amount(len(self), 'document')}, {self.skipped:,} skipped)"


def check_on_error(function: str, on_error: str) -> None:
    check_text(function, "on_error", on_error)
    if on_error not in ("raise", "skip"):
        refuse(function, "on_error", "be 'raise' or 'skip'", on_error)


def read_texts(
    unit: Unit | str | Path, on_error: str = "raise", budget: DocumentBudget | None = None
) -> Iterator[TextBlock]:
    """Read the documents of one unit as packed UTF-8, about 4 MiB at a time, without a Python object per document.

    Parameters
    ----------
    unit
        A work unit, or the path of one file. The units of a file hold each of its documents exactly once.
    on_error
        "raise" (default) stops at the first bad document. "skip" leaves it out and counts it in `TextBlock.skipped`. A
        stream that breaks off counts as one bad document, after the documents before the break.
    budget
        What one document may take. None (default): whatever it takes.

    Yields
    ------
    TextBlock
        For JSON lines, the values that ``json.loads`` gives, with numbers as they are written. For Parquet and Arrow,
        the file's own buffers, not copied where the column is of type string or large_string.

    Raises
    ------
    CorpusError
        With the file and its line (Parquet, Arrow: row), for a line that is not a JSON object with a string ``text``,
        invalid UTF-8, a lone surrogate in a text, id or language, a file that is truncated or not in its format, and a
        gzip member that does not end where the unit does. Whatever ``on_error`` is, for a file that changed since the
        unit was made.
    ValueError
        For a document that does not fit the budget, whatever ``on_error`` is.

    Notes
    -----
    Memory: one block, one line and the decompressor's window. Lines are parsed natively
    (``csrc/documents/json_lines.h``); Python says what is wrong with a bad one.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.jsonl"
    >>> _ = file.write_text('{"text": "un deux"}\\n{"text": "trois", "lang": "fr", "id": "x"}\\n')
    >>> block = next(read_texts(file))
    >>> block.data.tobytes(), block.offsets.tolist(), block.ids.to_pylist(), block.langs.to_pylist()
    (b'un deuxtrois', [0, 7, 12], [None, 'x'], ['und', 'fr'])
    """
    check_on_error("read_texts", on_error)
    return _checked(_unit(unit), skip=on_error == "skip", budget=budget)


def read_documents(unit: Unit | str | Path, on_error: str = "raise") -> Iterator[Batch]:
    """Read the documents of one unit in batches of strings: `read_texts`, decoded.

    Parameters
    ----------
    unit, on_error
        As for `read_texts`.

    Yields
    ------
    Batch
        A document without an id gets ``<file name>:<line>``, or ``<file name>@<begin>:<line in unit>`` in a unit that
        begins inside a file.

    Raises
    ------
    CorpusError
        As `read_texts`.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.jsonl"
    >>> _ = file.write_text('{"text": "un deux"}\\n{"text": "trois", "lang": "fr", "id": "x"}\\n')
    >>> [(batch.ids, batch.texts, batch.langs, batch.rows) for batch in read_documents(file)]
    [(['a.jsonl:1', 'x'], ['un deux', 'trois'], ['und', 'fr'], [0, 1])]
    """
    check_on_error("read_documents", on_error)
    return _batches(_unit(unit), skip=on_error == "skip")


def _unit(unit: Unit | str | Path) -> Unit:
    if isinstance(unit, Unit):
        return unit
    path = Path(unit)
    status = regular_file(path)
    return Unit(path, status.st_size, status.st_mtime_ns)


def _batches(unit: Unit, skip: bool) -> Iterator[Batch]:
    prefix = unit.path.name if unit.begin == 0 else f"{unit.path.name}@{unit.begin}"
    for block in _checked(unit, skip):
        rows = block.rows.tolist()
        ids = [
            f"{prefix}:{row + 1}" if own is None else own for own, row in zip(block.ids.to_pylist(), rows, strict=True)
        ]
        texts, langs, skipped = block.texts(), block.langs.to_pylist(), block.skipped
        for begin in range(0, max(len(rows), 1), BATCH_DOCUMENTS):
            part = slice(begin, begin + BATCH_DOCUMENTS)
            yield Batch(ids[part], texts[part], langs[part], rows[part], skipped)
            skipped = 0


def _checked(unit: Unit, skip: bool, budget: DocumentBudget | None = None) -> Iterator[TextBlock]:
    """The blocks of a unit; CorpusError when its file changes while it is read."""
    content = format_of(unit.path).content
    unit.check()
    if content in ("parquet", "arrow"):
        _check_pieces(unit, budget)
        yield from _columns(unit, skip)
    else:
        yield from _lines(unit, skip, content == "json", budget)
    unit.check()


def _check_pieces(unit: Unit, budget: DocumentBudget | None) -> None:
    """Refuse a column file of which a page or batch does not fit the budget."""
    if budget is not None:
        is_parquet = format_of(unit.path).content == "parquet"
        copies, what = (PAGE_COPIES, "a page") if is_parquet else (BATCH_COPIES, "a batch")
        size = largest_piece(unit, budget.longest(copies))
        budget.check(unit.path, "", what, size, size * (copies + MATCH_COPIES))


def _lines(unit: Unit, skip: bool, is_json: bool, budget: DocumentBudget | None = None) -> Iterator[TextBlock]:
    documents = _C.DocumentBlock(BATCH_BYTES + 2 * READ_BYTES)
    add = documents.add_json_lines if is_json else documents.add_text_lines
    skipped, at_start, told, is_broken = 0, unit.begin == 0, 0, False
    allowed = None if budget is None else budget.longest(LINE_COPIES)
    blocks = UnitLines(unit, READ_BYTES, LONGEST_LINE, allowed)
    try:
        for buffer, size in blocks:
            lines = np.frombuffer(buffer, np.uint8)
            at = add(lines, len(MARK) if at_start and buffer.startswith(MARK) else 0, size)
            at_start = False
            while at < size:  # a line that is no document
                newline = buffer.find(b"\n", at, size)
                end = size if newline < 0 else newline
                if not skip:
                    problem = line_problem(bytes(buffer[at:end]), is_json)
                    raise CorpusError(unit.path, _line(unit, documents.next_row), problem)
                documents.pass_line()
                skipped += 1
                at = add(lines, min(end + 1, size), size)
            if documents.nbytes >= BATCH_BYTES:
                told = documents.next_row
                yield TextBlock.of(documents.take(), skipped, told, done=blocks.done)
                skipped = 0
    except LongLine as line:
        assert budget is not None
        place, needed = _line(unit, documents.next_row), line.size * (LINE_COPIES + MATCH_COPIES)
        budget.check(unit.path, place, "a document", line.size, needed)
    except BrokenStream as broken:  # nothing behind this place can be read
        if not skip:
            place = broken.place or _line(unit, documents.next_row)
            raise CorpusError(unit.path, place, str(broken)) from None
        skipped, is_broken = skipped + 1, True
    ends_in_empty_lines = unit.end is not None and documents.next_row > told  # the next unit's reader may count them
    if len(documents) or skipped or ends_in_empty_lines:
        yield TextBlock.of(documents.take(), skipped, documents.next_row, is_broken, blocks.done)


def _line(unit: Unit, row: int) -> str:
    """How messages name a line of a unit: by its number in the file, where that is known."""
    before = lines_before(unit, READ_BYTES)
    return f"line {row + 1} of those after byte {unit.begin}" if before is None else f"line {before + row + 1}"


def _columns(unit: Unit, skip: bool) -> Iterator[TextBlock]:
    kind = "a Parquet file" if format_of(unit.path).content == "parquet" else "an Arrow file"
    row, skipped, is_broken = 0, 0, False
    try:
        for batch in read_batches(unit, BATCH_BYTES):
            columns = check_columns(batch)
            if not skip and len(columns.bad):
                place = int(columns.bad[0])
                problem = row_problem(batch.slice(place, 1)) or f"must be {kind} of UTF-8 text; got other bytes"
                raise CorpusError(unit.path, _row(unit, row + place), problem)
            skipped += len(columns.bad)
            rows = np.delete(np.arange(row, row + batch.num_rows), columns.bad)
            row += batch.num_rows
            for block in TextBlock.slices(columns.texts, columns.ids, languages(columns.langs), rows, BATCH_BYTES):
                block.skipped, skipped = skipped, 0
                block.end = row
                yield block
    except CorpusError:
        if not skip:
            raise
        skipped, is_broken = skipped + 1, True
    except (pa.ArrowException, OSError, ValueError) as error:
        if not skip:
            raise CorpusError(unit.path, _row(unit, row), f"must be {kind} of UTF-8 text; {error}") from None
        skipped, is_broken = skipped + 1, True
    if skipped:
        yield TextBlock.empty(skipped, row, is_broken)


def _row(unit: Unit, row: int) -> str:
    """How messages name a row of a unit: by its number in the file, where that is known."""
    try:
        return f"row {rows_before(unit) + row}"
    except (pa.ArrowException, OSError, ValueError):
        return f"row {row} of those from byte {unit.begin} on"

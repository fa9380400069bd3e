"""Tables of words as text: rows of cells between tabs or commas, and cells of several words."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from pivotkit.errors import InputError

SYNONYM = "|"  # between the accepted words of a cell


def delimited_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a UTF-8 file that are not blank, each with the line on which it begins.

    Commas part the cells where the name ends in ``.csv``, else tabs. Cells are read as Python's csv module reads them.
    """
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = raw[: error.start].count(b"\n") + 1
        raise InputError(path, f"line {number}", f"must be UTF-8; byte {error.start} is not") from None
    delimiter = "," if path.suffix.lower() == ".csv" else "\t"
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield number, cells
            number = reader.line_num + 1
    except csv.Error as error:
        raise InputError(path, f"line {number}", f"must have cells as CSV has them; got {error}") from None


def accepted_words(path: str | Path, place: str, column: str, cell: str) -> list[str]:
    """The accepted words of a cell; refuses blanks, line breaks, empty words and duplicates."""
    words = cell.split(SYNONYM)
    for word in words:
        if word != word.strip():
            raise InputError(path, place, f"column {column} must have no blanks around the word; got {word!r}")
        if not word:
            raise InputError(path, place, f"column {column} must have no empty alternative; got {cell!r}")
        if len(word.splitlines()) > 1:
            raise InputError(path, place, f"column {column} must have no line break in a word; got {word!r}")
        if words.count(word) > 1:
            raise InputError(path, place, f"column {column} must have each alternative once; got {cell!r}")
    return words

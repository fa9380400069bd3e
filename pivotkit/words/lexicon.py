"""The lexicon: one row per concept, one column per language."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pivotkit.arguments import check_path, check_strings
from pivotkit.errors import InputError
from pivotkit.words.delimited import accepted_words, delimited_rows
from pivotkit.words.languages import LANGUAGES

POS = "pos"  # the attribute that distractors share with their item

_CODE = re.compile(r"\w+(-\w+)*")
_TAG_LIKE = re.compile(r"[A-Za-z]{1,3}([-_]\w+)*")  # may be a language: its tag begins with two or three letters
_ATTRIBUTE = re.compile(r"[^\W\d_][\w .()/-]*")


@dataclass(frozen=True)
class Lexicon:
    """Concepts and their words, most frequent first.

    Attributes
    ----------
    names : dict of str to str
        The name that prompts use for each language code, in the order of the columns. The first language names the
        concepts.
    rows : list of dict of str to str
        One dict per concept: language code to the first word of its cell. A language without a word for the concept is
        not in the dict.
    pos : list of str
        Part of speech of each row; all equal if the file has no ``pos`` column.
    path : str, default ""
        The file that the lexicon was read from, if any.
    synonyms : dict of (int, str) to tuple of str, default {}
        Further accepted words of a row in a language; most rows have none.
    attributes : list of dict of str to str, default []
        One dict per concept: what the columns that are no languages, other than ``pos``, say of it. Empty without such
        columns.
    lines : list of int, default []
        The line of the file on which each row begins; line n + 2 for row n where the list is empty.
    """

    names: dict[str, str]
    rows: list[dict[str, str]]
    pos: list[str]
    path: str = ""
    synonyms: dict[tuple[int, str], tuple[str, ...]] = field(default_factory=dict)
    attributes: list[dict[str, str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"Lexicon(concepts={len(self.rows)}, languages={list(self.names)}, path={self.path!r})"

    def concept(self, row: int) -> str:
        """The name of a row: its word in the first language."""
        return self.rows[row][next(iter(self.names))]

    def line(self, row: int) -> int:
        """The line of the file on which a row begins."""
        return self.lines[row] if self.lines else row + 2

    def about(self, row: int) -> dict[str, str]:
        """The attributes of a row, its part of speech among them; those with an empty cell are not in the dict."""
        return ({POS: self.pos[row]} if self.pos[row] else {}) | (self.attributes[row] if self.attributes else {})

    def accepted(self, row: int, code: str) -> tuple[str, ...]:
        """Every accepted word of a row in a language; prompts show the first."""
        return (self.rows[row][code], *self.synonyms.get((row, code), ()))

    def concept_words(self, row: int) -> frozenset[str]:
        """Every accepted word of a row, in all its languages."""
        return frozenset(word for code in self.rows[row] for word in self.accepted(row, code))

    def having(self, *languages: str) -> list[int]:
        """The rows with a word in each of ``languages``."""
        return [number for number, row in enumerate(self.rows) if all(code in row for code in languages)]

    def words(self, *languages: str) -> list[str]:
        """Every accepted word of ``languages`` (by default all), each once, in the order of the rows."""
        cells = ((row, code) for row in range(len(self.rows)) for code in languages or tuple(self.names))
        return list(
            dict.fromkeys(word for row, code in cells if code in self.rows[row] for word in self.accepted(row, code))
        )


def read_lexicon(path: str | Path, *, attributes: Sequence[str] = ()) -> Lexicon:
    """Read a lexicon: a header of language codes, then one concept per row.

    Parameters
    ----------
    path : str or Path
        UTF-8 text with tabs between cells, or commas where the name ends in ``.csv``. Rows go from frequent to rare,
        because distractors come from nearby rows.
    attributes : sequence of str, default ()
        Columns that are no languages although their names could be codes (``tag``).

    Returns
    -------
    Lexicon

    Raises
    ------
    TypeError
        ``path`` is no path.
    InputError
        Names file and line. The file is not UTF-8 or has no rows. The header has an unknown language, a column twice or
        fewer than two languages, or lacks a column of ``attributes``. A row has too few or too many cells, an empty
        first cell, a word with blanks around it or a line break in it, an empty or repeated alternative, or a first
        word that an earlier row has too. A quoted cell does not end.

    Notes
    -----
    *Cells* are read as Python's csv module reads them (RFC 4180), with tabs too: a cell that begins with ``"`` ends at
    the next lone ``"``, and may hold tabs, commas and, doubled, quotes. A ``"`` elsewhere is a character of the word.
    Rows without any character but blanks and separators are skipped, so blank last lines are no error.

    *Columns.* A header cell is a language where it is a known code (``fr``, ``zh-Hans``; `LANGUAGES`) or names one
    (``a=Aish``, ``pt-AO=Angolan Portuguese``). It is an attribute of the concept where it is ``pos``, stands in
    ``attributes``, or begins with four or more letters: the tags of RFC 5646 begin with two or three, so ``tier`` and
    ``word class`` are attributes. Any other cell, such as ``xx`` or ``xx-YY``, may be a language and is refused without
    a name, and so is a language's name in place of its code (``German``).

    *Words.* A cell may hold several accepted words, ``maison|logis``: prompts show the first, and any of them is a
    correct answer. A word may be the first of only one cell in its column; concepts that share any other word never
    appear together in an item. An empty cell means that the language has no single word for the concept. The first
    language names the concepts and has no empty cells.
    """
    check_path("read_lexicon", "path", path)
    attributes = check_strings("read_lexicon", "attributes", attributes)
    found = scan_lexicon(Path(path), attributes)
    for line, code, word, first in repeated_words(found):
        raise InputError(path, f"line {line}", f"column {code} must name {word!r} once; line {first} has it too")
    return found


def scan_lexicon(path: Path, attributes: Sequence[str] = ()) -> Lexicon:
    """A lexicon as its file has it, words that several rows show included."""
    records = delimited_rows(path)
    header = next(records, None)
    if header is None:
        raise InputError(path, "line 1", "must be a header of language codes; the file is empty")
    columns, names = _header(path, *header, frozenset(attributes))
    found = Lexicon(names, [], [], str(path))
    for number, cells in records:
        if len(cells) != len(columns):
            raise InputError(path, f"line {number}", f"must have {len(columns)} cells as the header; got {len(cells)}")
        filled = {column: cell for column, cell in zip(columns, cells, strict=True) if cell}
        row: dict[str, str] = {}
        for code in (code for code in names if code in filled):
            row[code], *others = accepted_words(path, f"line {number}", code, filled.pop(code))
            if others:
                found.synonyms[len(found.rows), code] = tuple(others)
        if next(iter(names)) not in row:
            raise InputError(
                path, f"line {number}", f"column {next(iter(names))} names the concept and must not be empty"
            )
        found.rows.append(row)
        found.pos.append(filled.pop(POS, ""))
        found.attributes.append(filled)
        found.lines.append(number)
    if not found.rows:
        raise InputError(path, "line 2", "must be a concept; the file has a header only")
    return found


def repeated_words(lexicon: Lexicon) -> Iterator[tuple[int, str, str, int]]:
    """The words that an earlier row shows too: line, language, word and the line of the first."""
    seen: dict[tuple[str, str], int] = {}
    for number, row in enumerate(lexicon.rows):
        line = lexicon.line(number)
        for code, word in row.items():
            first = seen.setdefault((code, word), line)
            if first != line:
                yield line, code, word, first


def _header(path: Path, line: int, cells: list[str], declared: frozenset[str]) -> tuple[list[str], dict[str, str]]:
    """The columns in order, and the names of those that are languages."""
    place = f"line {line}"
    columns: list[str] = []
    names: dict[str, str] = {}
    for cell in cells:
        code, _, name = cell.partition("=")
        code = cell if cell in declared else code
        if code in columns:
            raise InputError(path, place, f"must name each column once; got {code!r} twice")
        columns.append(code)
        if code in declared or cell == POS:
            continue
        if name.strip() and _CODE.fullmatch(code):
            names[code] = name
        elif cell in LANGUAGES:
            names[cell] = LANGUAGES[cell]
        elif (code := _NAMED.get(cell.casefold(), "")) or _TAG_LIKE.fullmatch(cell) or not _ATTRIBUTE.fullmatch(cell):
            hint = f" (use {code!r})" if code else ""
            raise InputError(path, place, f"must be known language codes or 'code=Name'; got {cell!r}{hint}")
    absent = sorted(declared - set(columns))
    if absent:
        raise InputError(path, place, f"must have the columns that attributes names; got none named {absent[0]!r}")
    if len(names) < 2:
        raise InputError(path, place, f"must name at least two languages; got {len(names)}")
    return columns, names


_NAMED = {name.casefold(): code for code, name in LANGUAGES.items()}

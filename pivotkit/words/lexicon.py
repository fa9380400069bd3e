"""The lexicon: one row a concept, one column a language."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pivotkit.errors import InputError
from pivotkit.words.languages import LANGUAGES

POS = "pos"  # the one column that is not a language
SYNONYM = "|"  # between the accepted words of a cell


@dataclass(frozen=True)
class Lexicon:
    """Concepts and their words, most frequent first.

    Attributes
    ----------
    names : dict of str to str
        Language code to the name that prompts use, in the order of the columns; the first names the concepts.
    rows : list of dict of str to str
        One concept each: language code to word, the first of its cell. A language without a word for the concept is not
        in its dict.
    pos : list of str
        Part of speech of each row; all equal when the file has no ``pos`` column.
    path : str
        The file it was read from; empty for one that was made otherwise. Row n stands on line n + 2.
    synonyms : dict of (int, str) to tuple of str
        The further accepted words of a row in a language; most rows have none.
    """

    names: dict[str, str]
    rows: list[dict[str, str]]
    pos: list[str]
    path: str = ""
    synonyms: dict[tuple[int, str], tuple[str, ...]] = field(default_factory=dict)

    def concept(self, row: int) -> str:
        """The row's name: its word in the first language."""
        return self.rows[row][next(iter(self.names))]

    def accepted(self, row: int, code: str) -> tuple[str, ...]:
        """Every word that says the row's concept in a language, the one that is shown first."""
        return (self.rows[row][code], *self.synonyms.get((row, code), ()))

    def concept_words(self, row: int) -> frozenset[str]:
        """Every accepted word of the row in any language."""
        return frozenset(word for code in self.rows[row] for word in self.accepted(row, code))

    def having(self, *languages: str) -> list[int]:
        """The rows that have a word in every one of ``languages``."""
        return [number for number, row in enumerate(self.rows) if all(code in row for code in languages)]

    def words(self, *languages: str) -> list[str]:
        """Every accepted word of ``languages`` (all when none is named), each once, in the order of the rows."""
        cells = ((row, code) for row in range(len(self.rows)) for code in languages or tuple(self.names))
        return list(
            dict.fromkeys(word for row, code in cells if code in self.rows[row] for word in self.accepted(row, code))
        )


def read_lexicon(path: str | Path) -> Lexicon:
    """Read a tab-separated lexicon: a header of language codes, then one concept a line.

    Parameters
    ----------
    path : str or Path
        UTF-8 text. A header cell is a known code (``fr``), a code with a name of its own (``a=Aish``), or ``pos``.
        A cell may hold several accepted words, ``maison|logis``: prompts show the first, any of them is a right answer. A
        word may stand first once in its language; concepts that share any other word are never set against each other.
        An empty cell says that the language has no single word for the concept; the first column names the concepts and
        may not be empty. Lines are sorted by frequency, most frequent first: distractors are taken from nearby lines.

    Returns
    -------
    Lexicon

    Raises
    ------
    InputError
        With file and line: not UTF-8, an unknown language, a line with a cell too few or too many, a first cell that is
        empty, a word that is blank or has blanks round it, an empty alternative, an alternative twice in its cell, a word
        that stands first twice, fewer than two languages, no rows.
    """
    path = Path(path)
    raw = path.read_bytes()
    try:
        lines = raw.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        number = raw[: error.start].count(b"\n") + 1
        raise InputError(path, f"line {number}", f"must be UTF-8; byte {error.start} is not") from None
    if not lines:
        raise InputError(path, "line 1", "must be a header of language codes; the file is empty")
    columns, names = _header(path, lines[0])
    rows: list[dict[str, str]] = []
    pos: list[str] = []
    synonyms: dict[tuple[int, str], tuple[str, ...]] = {}
    seen: dict[tuple[str, str], int] = {}
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split("\t")
        if len(cells) != len(columns):
            raise InputError(path, f"line {number}", f"must have {len(columns)} cells as the header; got {len(cells)}")
        filled = {code: cell for code, cell in zip(columns, cells, strict=True) if cell}
        pos.append(filled.pop(POS, ""))
        row: dict[str, str] = {}
        for code, cell in filled.items():
            word, *others = _words(path, number, code, cell)
            first = seen.setdefault((code, word), number)
            if first != number:
                raise InputError(
                    path, f"line {number}", f"column {code} must name {word!r} once; line {first} has it too"
                )
            row[code] = word
            if others:
                synonyms[len(rows), code] = tuple(others)
        if next(iter(names)) not in row:
            raise InputError(
                path, f"line {number}", f"column {next(iter(names))} names the concept and must not be empty"
            )
        rows.append(row)
    if not rows:
        raise InputError(path, "line 2", "must be a concept; the file has a header only")
    return Lexicon(names, rows, pos, str(path), synonyms)


def _words(path: Path, number: int, code: str, cell: str) -> list[str]:
    """The accepted words of a cell, checked."""
    words = cell.split(SYNONYM)
    for word in words:
        if word != word.strip():
            raise InputError(path, f"line {number}", f"column {code} must have no blanks round the word; got {word!r}")
        if not word:
            raise InputError(path, f"line {number}", f"column {code} must have no empty alternative; got {cell!r}")
        if words.count(word) > 1:
            raise InputError(path, f"line {number}", f"column {code} must have each alternative once; got {cell!r}")
    return words


def _header(path: Path, line: str) -> tuple[list[str], dict[str, str]]:
    columns: list[str] = []
    names: dict[str, str] = {}
    for cell in line.split("\t"):
        code, _, name = cell.partition("=")
        if code in columns:
            raise InputError(path, "line 1", f"must name each column once; got {code!r} twice")
        columns.append(code)
        if code == POS:
            continue
        if not name and code not in LANGUAGES:
            raise InputError(path, "line 1", f"must be known language codes or 'code=Name'; got {cell!r}")
        names[code] = name or LANGUAGES[code]
    if len(names) < 2:
        raise InputError(path, "line 1", f"must name at least two languages; got {len(names)}")
    return columns, names

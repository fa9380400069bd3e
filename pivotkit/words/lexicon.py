"""The lexicon: one row per concept, one column per language."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pivotkit.arguments import check_path
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
        The name that prompts use for each language code, in the order of the columns. The first language names the
        concepts.
    rows : list of dict of str to str
        One dict per concept: language code to the first word of its cell. A language without a word for the concept is
        not in the dict.
    pos : list of str
        Part of speech of each row; all equal if the file has no ``pos`` column.
    path : str, default ""
        The file that the lexicon was read from, if any. Row n is line n + 2 of the file.
    synonyms : dict of (int, str) to tuple of str, default {}
        Further accepted words of a row in a language; most rows have none.
    """

    names: dict[str, str]
    rows: list[dict[str, str]]
    pos: list[str]
    path: str = ""
    synonyms: dict[tuple[int, str], tuple[str, ...]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Lexicon(concepts={len(self.rows)}, languages={list(self.names)}, path={self.path!r})"

    def concept(self, row: int) -> str:
        """The name of a row: its word in the first language."""
        return self.rows[row][next(iter(self.names))]

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


def read_lexicon(path: str | Path) -> Lexicon:
    """Read a tab-separated lexicon: a header of language codes, then one concept per line.

    Parameters
    ----------
    path : str or Path
        UTF-8 text. A header cell is a known code (``fr``), a code with its own name (``a=Aish``), or ``pos``. A cell
        may hold several accepted words, ``maison|logis``: prompts show the first, and any of them is a correct answer.
        A word may be the first of only one cell in its column; concepts that share any other word never appear together
        in an item. An empty cell means that the language has no single word for the concept; the first column names the
        concepts and has no empty cells. Lines are sorted by frequency, most frequent first, because distractors come
        from nearby lines.

    Returns
    -------
    Lexicon

    Raises
    ------
    TypeError
        ``path`` is no path.
    InputError
        Names file and line. The file is not UTF-8 or has no rows. The header has an unknown language, a column twice or
        fewer than two languages. A line has too few or too many cells, an empty first cell, a word with blanks around
        it, an empty or repeated alternative, or a first word that an earlier line has too.
    """
    check_path("read_lexicon", "path", path)
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
    """The accepted words of a cell; refuses blanks, empty words and duplicates."""
    words = cell.split(SYNONYM)
    for word in words:
        if word != word.strip():
            raise InputError(path, f"line {number}", f"column {code} must have no blanks around the word; got {word!r}")
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

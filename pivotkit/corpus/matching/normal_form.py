"""The form in which words and texts are compared: one word has one form, however it is written.

`docs/counting.md` has each rule and its standard. The native normalizer gets the same tables, so both always agree.
They are made of this Python's `unicodedata` and, for properties that it lacks, of `unicode_tables`.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from pivotkit import _C
from pivotkit.arguments import check_text
from pivotkit.corpus.matching import unicode_tables
from pivotkit.corpus.matching.code_points import CODE_POINTS, changing, code_ranges, combining
from pivotkit.corpus.matching.process_tables import once_a_process

MARKS = ("ignore", "keep")
NORMALIZATION = f"docs/counting.md, rules 2, tables of Unicode {unicode_tables.VERSION}"

# Forms of one sign. Many are typed for each other, and all of them separate words.
SIGNS = {
    # quotation marks, prime and acute accent; modifier letters for apostrophe, ʻokina, ayin and hamza; Armenian
    # apostrophe, geresh, koronis, tonos, saltillo
    "'": "\u2018\u2019\u201b\uff07\u2032\u00b4\u02b9\u02bb\u02bc\u02bd\u02be\u02bf\u055a\u05f3\u1fbd\u0384\ua78b\ua78c",
    '"': "\u201c\u201d\u201f\uff02\u05f4",  # as gershayim
    # hyphen, non-breaking hyphen, figure dash, en dash, minus; Armenian, Hebrew (maqaf), Canadian, Mongolian hyphens;
    # oblique, double and small ones
    "-": "\u2010\u2011\u2012\u2013\u2212\u058a\u05be\u1400\u1806\u2e17\u2e1a\u2e40\u2e5d\u30a0\ufe63\uff0d",
    # hyphenation point, ano teleia, bullets, dot operator, word separator, katakana dot, sinological dot
    "\u00b7": "\u2027\u0387\u2022\u2219\u22c5\u2e31\u30fb\uff65\ua78f",
}
TATWEEL = "\u0640"
JOINER = "\u200d"
TAGS = range(0xE0020, 0xE0080)
TONES = range(0x1F3FB, 0x1F400)
# Letters that are one code point or two. Normalization writes two, and no match ends between them.
DIGRAPHS = {"\u0e4d": "\u0e32", "\u0ecd": "\u0eb2", "\u0eab": "\u0e99\u0ea1"}

# What the native normalizer must know of a code point that is left out, or stands beside one.
_ALONE, _ATTACHED, _JOINER, _TAG, _PICTURE, _TONE = 1, 2, 3, 4, 5, 6

_Texts = tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.uint32]]


def normalize(text: str, marks: str = "ignore") -> str:
    """The normal form of ``text``, for texts and words alike.

    >>> normalize("Ｓtraße ﬁn"), normalize("E\u0301COLE"), normalize("C’est aujourd’hui"), normalize("İI ıi")
    ('strasse fin', 'école', "c'est aujourd'hui", 'ii ii')
    """
    check_marks("normalize", marks)
    if text.isascii():
        return text.lower()
    table = _translation(marks)
    text = _compose(_without_ignorables(text).translate(table))
    return _compose(text.casefold().translate(table))


def check_marks(function: str, marks: str) -> None:
    check_text(function, "marks", marks, MARKS)


@functools.cache
def normalizer(marks: str = "ignore") -> _C.Normalizer:
    """The native form of `normalize`, made once per process and policy."""
    return _C.Normalizer(*_native_tables(marks))


@once_a_process
def _native_tables(marks: str) -> tuple[Any, ...]:
    table = _translation(marks)
    characters = sorted({*map(chr, table), *changing()})
    compositions = np.array([*_compositions(characters), *_dots()], dtype=np.uint32).reshape(-1, 3)
    # Canonical decompositions hold parts that the table changes, so the table is applied to them once more.
    decompositions = _texts((char, unicodedata.normalize("NFD", char.translate(table))) for char in characters)
    foldings = _texts((char, char.casefold()) for char in characters)
    return combining(), decompositions, foldings, compositions, _roles()


def _compose(text: str) -> str:
    """NFC, in which a dot above changes no i: İ folds to i and a dot, as Turkish text in lower case often has it."""
    text = unicodedata.normalize("NFC", text)
    return unicodedata.normalize("NFC", _dot_above().sub(r"\1", text)) if "\u0307" in text else text


@functools.cache
def _dot_above() -> re.Pattern[str]:
    """Dots above an i, its composites and the marks below it."""
    between = map(chr, np.flatnonzero((combining() > 0) & (combining() < 230)).tolist())
    letters = "".join(chr(letter) for letter, _, _ in _dots())
    return re.compile(f"([{letters}][{''.join(between)}]*)\u0307+")


def _dots() -> Iterator[tuple[int, int, int]]:
    """An i, with and without one mark below it, takes a dot above and stays itself."""
    for letter in "iịįḭ":
        yield ord(letter), 0x307, ord(letter)


def _without_ignorables(text: str) -> str:
    return _ignorables().sub(_kept, text)


@functools.cache
def _ignorables() -> re.Pattern[str]:
    pairs = (ends.partition("-") for ends in unicode_tables.IGNORABLE.split())  # ranges: a set beyond U+FFFF is slow
    return re.compile(f"[{''.join(f'{chr(int(a, 16))}-{chr(int(b or a, 16))}' for a, _, b in pairs)}]+")


def _kept(run: re.Match[str]) -> str:
    """What stays of a run of ignorable characters: the tags of an emoji, and one joiner between two emoji."""
    text, before, after = run.string, run.start() - 1, run.end()
    if before < 0 or not (text[before] in _pictures() or ord(text[before]) in TONES):
        return ""
    tags = "".join(char for char in run[0] if ord(char) in TAGS)
    joins = JOINER in run[0] and after < len(text) and text[after] in _pictures()
    return tags + JOINER * joins


@functools.cache
def _pictures() -> frozenset[str]:
    """Pictographs that are their own normal form, as a double exclamation mark is not."""
    table = _translation("keep")
    found = map(chr, code_ranges(unicode_tables.PICTURES))
    return frozenset(char for char in found if char == char.translate(table) == char.casefold())


@once_a_process
def _translation(marks: str) -> dict[int, str]:
    """The full decomposition of each character, where it differs from the canonical one; empty for what is dropped."""
    own = {form: sign for sign, forms in SIGNS.items() for form in forms} | {"ı": "i", TATWEEL: ""}
    if marks == "ignore":
        own |= dict.fromkeys(map(chr, code_ranges(unicode_tables.ABJAD_MARKS)), "")
    unspaced = frozenset(code_ranges(unicode_tables.UNSPACED))

    def whole(char: str) -> str:
        mapping = unicodedata.decomposition(char).split()
        if char in own or not mapping:
            return own.get(char, char)
        is_canonical = mapping[0][0] != "<"
        text = "".join(whole(chr(int(part, 16))) for part in mapping[not is_canonical :])
        category = unicodedata.category(char)
        if is_canonical:
            return text
        if category[0] in "SP" or category == "No":  # ™ is no word tm, and ² no number 2
            parts = unicodedata.normalize("NFKD", char)
            return char if any(unicodedata.category(part)[0] in "LMN" for part in parts) else text
        if category[0] != "L":
            return text
        if ord(char) in unspaced and len(text) > 1 and text[1] not in DIGRAPHS.get(text[0], ""):
            return char  # ゟ: a match of り would cut it
        return text.lstrip(" ")  # a mark that is a letter of its own, as ͺ: it belongs to what stands before it

    found = {char: whole(char) for char in {*own, *changing()}}
    return {ord(char): text for char, text in found.items() if unicodedata.normalize("NFC", text) != char}


def _compositions(characters: Iterable[str]) -> Iterator[tuple[int, int, int]]:
    """First, second and the primary composite of both."""
    for character in characters:
        parts = unicodedata.decomposition(character).split()
        if len(parts) == 2 and parts[0][0] != "<":
            first, second = (int(part, 16) for part in parts)
            if unicodedata.normalize("NFC", chr(first) + chr(second)) == character:
                yield first, second, ord(character)


def _texts(pairs: Iterable[tuple[str, str]]) -> _Texts:
    """The code points that change, and what each becomes as packed code points."""
    changed = [(ord(character), text) for character, text in pairs if text != character]
    codes = np.array([code for code, _ in changed], dtype=np.uint32)
    offsets = np.array(list(accumulate((len(text) for _, text in changed), initial=0)), dtype=np.int64)
    values = "".join(text for _, text in changed).encode("utf-32-le")
    return codes, offsets, np.frombuffer(values, dtype="<u4").astype(np.uint32)


def _roles() -> npt.NDArray[np.uint8]:
    """What each code point is for `_without_ignorables`, as csrc/unicode/ignorables.h numbers it."""
    roles = np.zeros(CODE_POINTS, dtype=np.uint8)
    for code in code_ranges(unicode_tables.IGNORABLE):
        roles[code] = _ATTACHED if unicodedata.category(chr(code))[0] == "M" or code == 0x200C else _ALONE
    roles[ord(JOINER)] = _JOINER
    roles[TAGS.start : TAGS.stop] = _TAG
    roles[[ord(char) for char in _pictures()]] = _PICTURE
    roles[TONES.start : TONES.stop] = _TONE
    return roles

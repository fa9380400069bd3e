"""At what characters tokens begin and end, as the rule of text has them.

The matcher of text is asked, so this knows no table of its own. A character is *plain* if it frees or binds the words
beside it whatever else is near. All others are asked about again where they occur (`csrc/matcher/token_matcher.h`).
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from pivotkit._text import pack_strings
from pivotkit.corpus.matching import unicode_tables
from pivotkit.corpus.matching.code_points import CODE_POINTS, HANGUL, categories, changing, code_ranges
from pivotkit.corpus.matching.normal_form import normalize
from pivotkit.corpus.matching.process_tables import once_a_process
from pivotkit.corpus.matching.token_texts import JOINS_AFTER, TokenTexts
from pivotkit.corpus.matching.unicode_data import HO, NO, PICTURE, PREPEND, SPACE, letters
from pivotkit.corpus.matching.watchlist import WatchList

OPEN, SIGN, WORD, UNSPACED, ASK, UNSURE = range(6)  # csrc/matcher/token_matcher.h
REPLACEMENT = 0xFFFD
RIGHT = 16  # an edge is the kind of the first character plus RIGHT times that of the last

# What a text around a character finds: the word before it, the character, the word after it.
_L, _C, _R = 1, 2, 4
_TEXTS = (("l", "r"), ("左", "右"), ("l", ""), ("", "r"), ("l", " "), ("l", "右"), ("左", "r"), (" ", " "), (".", "."))
_FINDS = {
    SIGN: (_L | _R, _L | _C | _R, _L, _R, _L, _L | _R, _L | _R, _C, _C),
    WORD: (0, _L | _C | _R, 0, 0, 0, _R, _L, _C, _C),
    UNSPACED: (_L | _C | _R, _L | _C | _R, _L | _C, _C | _R, _L | _C, _L | _C | _R, _L | _C | _R, _C, _C),
}
_PAIRS = tuple(
    (pair[0], pair[1]) for pair in ["шж", "של", "بع", "कख", "กข", "한글", "78", "l7", "7r", "左r"]
)  # what else a sign must part


def token_edges(texts: TokenTexts) -> npt.NDArray[np.uint8]:
    """The kinds of the first and last character of each token, uint8 (V,).

    The edge of a token that is a part of a character is `ASK`, unless all characters that begin so are alike. Where
    blanks are not in the texts, all are `UNSURE`.
    """
    if not texts.kept:
        return np.full(len(texts), UNSURE + RIGHT * UNSURE, np.uint8)
    kinds = char_kinds()
    ends = np.array([_ends(texts.text(token)) for token in range(len(texts))], np.int64).reshape(-1, 2)
    firsts = kinds[ends[:, 0]]
    for token in np.flatnonzero(ends[:, 0] == REPLACEMENT).tolist():
        firsts[token] = _beginning(texts.text(token) or b"?")
    edges = firsts + RIGHT * kinds[ends[:, 1]]
    edges[(texts.flags & JOINS_AFTER) != 0] = ASK + RIGHT * UNSURE
    return edges


@once_a_process
def char_kinds() -> npt.NDArray[np.uint8]:
    """The kind of every code point, uint8 (0x110000,); `ASK` for all that are not plain.

    Letters that normalization leaves alone are alike to the matcher if they have the same class, so one of each class
    is asked about. Syllables of Hangul are two such kinds, with and without a final.

    >>> kinds = char_kinds()
    >>> [int(kinds[ord(c)]) for c in "a.的 \u0301"] == [WORD, SIGN, UNSPACED, OPEN, ASK]
    True
    """
    kinds = np.full(CODE_POINTS, ASK, np.uint8)
    classes = letters()
    is_alike = categories() == b"Lo"
    is_alike[[*map(ord, changing())]] = False
    alike = np.flatnonzero(is_alike)
    hangul = (alike >= HANGUL.start) & (alike < HANGUL.stop)
    syllables = np.where(hangul, 1 + ((alike - HANGUL.start) % 28 > 0), 0)
    _, firsts, groups = np.unique(
        4 * classes[alike].astype(np.int64) + syllables, return_index=True, return_inverse=True
    )
    single = np.flatnonzero(np.isin(categories().astype("S1"), [b"L", b"N", b"P", b"S"]) & ~is_alike)
    asked = [*map(chr, [*single.tolist(), *alike[firsts].tolist()])]
    found = np.array([*plain_kinds(asked).values()], np.uint8)
    kinds[single] = found[: len(found) - len(firsts)]
    kinds[alike] = found[len(found) - len(firsts) :][groups]
    # Letters of which two are one, pictographs that a joiner joins, and what is left out of a text.
    kinds[np.isin(classes & 0xFC, (PREPEND, PICTURE, HO, NO))] = ASK
    kinds[list(code_ranges(unicode_tables.IGNORABLE))] = ASK
    kinds[np.flatnonzero(classes & 3 == SPACE)] = OPEN
    kinds.setflags(write=False)
    return kinds


def plain_kinds(characters: Iterable[str]) -> dict[str, int]:
    """The kind of each character, asked about one by one."""
    kinds = dict.fromkeys(characters, ASK)
    asked: dict[str, str] = {}  # each with its normal form
    for character in kinds:
        if character.isspace():
            kinds[character] = OPEN
        elif not _leans(character) and (normal := normalize(character)):  # what is left out binds and frees nothing
            asked[character] = normal
    sides = [*_TEXTS, *_PAIRS]
    beside = {side for pair in sides for side in pair} - {"", " ", "."}
    watch = WatchList([*beside, *asked])
    offsets, words, _ = watch.matcher().match(*pack_strings([a + c + b for c in asked for a, b in sides]))
    rows = np.arange(len(offsets) - 1)
    found = np.sort(np.repeat(rows, np.diff(offsets)) * len(watch) + words)

    def finds(ids: list[int]) -> npt.NDArray[np.bool_]:
        """Whether each text has its word; -1 is none."""
        wanted = rows * len(watch) + ids
        places = np.minimum(np.searchsorted(found, wanted), len(found) - 1)
        hits: npt.NDArray[np.bool_] = (found[places] == wanted) & (np.array(ids) >= 0)
        return hits.reshape(-1, len(sides))

    before, after = ([watch.id(pair[end]) if pair[end] in beside else -1 for pair in sides] for end in (0, 1))
    place = {word: place for place, word in enumerate(watch.words)}
    own = np.repeat([place[normal] for normal in asked.values()], len(sides)).tolist()
    seen = _L * finds(before * len(asked)) + _C * finds(own) + _R * finds(after * len(asked))
    return kinds | {character: _kind(character, row) for character, row in zip(asked, seen.tolist(), strict=True)}


def _kind(character: str, seen: list[int]) -> int:
    first = tuple(seen[: len(_TEXTS)])
    for kind, expected in _FINDS.items():
        if first != expected:
            continue
        category = unicodedata.category(character)
        if kind == SIGN and (category[0] == "L" or not all(found & _L and found & _R for found in seen[len(_TEXTS) :])):
            return ASK
        return ASK if category == "Lm" and kind != UNSPACED else kind
    return ASK


def _leans(character: str) -> bool:
    """Whether the character may become one with a neighbour, go unseen, or part words only in some places.

    That is: marks, controls and formats, symbols beyond ASCII (emoji).
    """
    for part in unicodedata.normalize("NFKC", character):
        category = unicodedata.category(part)
        symbol = category in {"So", "Sk"} and not part.isascii()
        if category[0] in "MC" or symbol:
            return True
    return False


def _ends(text: bytes) -> tuple[int, int]:
    """The first and the last code point of a token, each U+FFFD where it is not whole."""
    try:
        whole = text.decode()
    except UnicodeDecodeError:
        whole = text.decode("utf-8", "replace")
    return (ord(whole[0]), ord(whole[-1])) if whole else (REPLACEMENT, REPLACEMENT)


@functools.cache
def _beginning(part: bytes) -> int:
    """The kind of all characters whose bytes begin with ``part``; `ASK` where they are of several, or none is."""
    size = 2 + (part[0] >= 0xE0) + (part[0] >= 0xF0)
    if not (0xC2 <= part[0] <= 0xF4 and len(part) < size and all(byte & 0xC0 == 0x80 for byte in part[1:])):
        return ASK
    code = part[0] & 0x7F >> size
    for byte in part[1:]:
        code = code << 6 | byte & 0x3F
    more = 6 * (size - len(part))
    kinds = np.unique(char_kinds()[code << more : (code + 1) << more])
    return int(kinds[0]) if len(kinds) == 1 else ASK

"""This Python's Unicode tables in the form that the native normalizer and matcher read.

They are passed at run time instead of compiled in, so that native text handling agrees with this Python's
`unicodedata`, whatever its Unicode version.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import accumulate, chain

import numpy as np
import numpy.typing as npt

from pivotkit import _C

SEPARATOR, WORD, UNSPACED, SPACE = 0, 1, 2, 3
CODE_POINTS = 0x110000

# The other planes hold no letters, numbers or marks, and nothing that normalization changes.
_PLANES = (range(0xD800), range(0xE000, 0x40000), range(0xE0000, 0xF0000))

# Unicode 17 Scripts.txt, with the iteration, voicing and prolonged sound marks that Han and kana share.
_UNSPACED_RANGES = (
    (0x0E01, 0x0E3A), (0x0E40, 0x0E5B),  # Thai
    (0x0E81, 0x0EDF),  # Lao
    (0x1000, 0x109F), (0xA9E0, 0xA9FE), (0xAA60, 0xAA7F), (0x116D0, 0x116E3),  # Myanmar
    (0x1780, 0x17F9), (0x19E0, 0x19FF),  # Khmer
    (0x2E80, 0x2FD5), (0x3005, 0x3007), (0x3021, 0x3029), (0x3031, 0x3035), (0x3038, 0x303C),  # Han
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAD9), (0x16FE2, 0x16FE3), (0x16FF0, 0x16FF6), (0x20000, 0x3347F),
    (0x3041, 0x3096), (0x3099, 0x309F), (0x1B001, 0x1B11F), (0x1B132, 0x1B132), (0x1B150, 0x1B152),  # Hiragana
    (0x30A1, 0x30FA), (0x30FC, 0x30FF), (0x31F0, 0x31FF), (0x32D0, 0x32FE), (0x3300, 0x3357),  # Katakana
    (0xFF66, 0xFF9F), (0x1AFF0, 0x1AFFE), (0x1B000, 0x1B000), (0x1B120, 0x1B128), (0x1B155, 0x1B168),
)  # fmt: skip

_Texts = tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.uint32]]


@functools.cache
def char_classes() -> npt.NDArray[np.uint8]:
    """The class of every code point (0x110000,): SEPARATOR, WORD, UNSPACED or SPACE."""
    classes = np.zeros(CODE_POINTS, dtype=np.uint8)
    for code in chain(*_PLANES):
        character = chr(code)
        if character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M":
            classes[code] = WORD
        elif character.isspace():
            classes[code] = SPACE
    for first, last in _UNSPACED_RANGES:
        inside = classes[first : last + 1]
        inside[inside == WORD] = UNSPACED
    classes.setflags(write=False)
    return classes


@functools.cache
def normalizer() -> _C.Normalizer:
    """The native form of `pivotkit.corpus.matching.watchlist.normalize`, made once per process."""
    changing = list(_changing())
    combining = np.zeros(CODE_POINTS, dtype=np.uint8)
    for plane in _PLANES:
        combining[plane.start : plane.stop] = [unicodedata.combining(chr(code)) for code in plane]
    compositions = np.array(list(_compositions(changing)), dtype=np.uint32).reshape(-1, 3)
    decompositions = _texts((character, unicodedata.normalize("NFKD", character)) for character in changing)
    foldings = _texts((character, character.casefold()) for character in changing)
    return _C.Normalizer(combining, decompositions, foldings, compositions)


def _changing() -> Iterator[str]:
    """Every character that NFKD or case folding changes, and few others; no Hangul syllables, which follow a rule."""
    step = 64
    for plane in _PLANES:
        for start in range(plane.start, plane.stop, step):
            block = "".join(map(chr, range(start, start + step)))
            hangul = 0xAC00 <= start <= 0xD7A3
            if not hangul and (unicodedata.normalize("NFKD", block) != block or block.casefold() != block):
                yield from block


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

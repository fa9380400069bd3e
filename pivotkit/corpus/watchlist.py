"""The words to look for in text, and what counts as an occurrence.

Text and words go through the same `normalize`. A word occurs where its characters do and both its edges are free. An
edge is free when the word's own character there is of a script without spaces (Han, Hiragana, Katakana, Thai, Lao,
Khmer, Myanmar), or when the neighbour beyond it is not a letter, number, mark or underscore of a script with spaces.
So ``cat`` is found in "a cat." and in "这是cat吗" but not in "cats", and ``猫`` is found in "小猫咪".

Against UAX #29 this deviates on purpose: an apostrophe, a full stop and a colon separate words wherever they stand
(``eau`` is found in "l'eau"), and Hangul, whose spaces part phrases from each other, is matched by whole space-parted
words, so ``집`` is not found in "집은". White space inside a word stands for any run of white space. Occurrences may
overlap: ``aa`` in a script without spaces occurs twice in "aaa".
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable
from itertools import chain

import numpy as np
import numpy.typing as npt

from pivotkit import _C
from pivotkit._text import pack_strings

NORMALIZATION = "NFKC(casefold(NFKC))"
SEPARATOR, WORD, UNSPACED = 0, 1, 2

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


def normalize(text: str) -> str:
    """NFKC(casefold(NFKC(text))): width, compatibility forms and case folded away, on text and words alike.

    >>> normalize("Ｓtraße ﬁn"), normalize("E\u0301COLE")
    ('strasse fin', 'école')
    """
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


@functools.cache
def char_classes() -> npt.NDArray[np.uint8]:
    """The class of every code point (0x110000,): SEPARATOR, WORD or UNSPACED, by this Python's Unicode tables."""
    classes = np.zeros(0x110000, dtype=np.uint8)
    for code in chain(range(0x40000), range(0xE0000, 0xF0000)):  # the other planes hold no letters, numbers or marks
        character = chr(code)
        if character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M":
            classes[code] = WORD
    for first, last in _UNSPACED_RANGES:
        inside = classes[first : last + 1]
        inside[inside == WORD] = UNSPACED
    classes.setflags(write=False)
    return classes


class WatchList:
    """Words to look for, normalized; words that become one by normalization share one id.

    Parameters
    ----------
    words
        Words or phrases, in any spelling. Ids follow the order of first appearance.

    Attributes
    ----------
    words : list[str]
        The distinct normalized words by id.

    Raises
    ------
    TypeError
        For an item that is not a str.
    ValueError
        For no words, an empty word, or one with a lone surrogate.

    Examples
    --------
    >>> watch = WatchList(["Haus", "maison", "HAUS"])
    >>> watch.words, watch.id("haus"), "Maison" in watch
    (['haus', 'maison'], 0, True)
    """

    def __init__(self, words: Iterable[str]) -> None:
        if isinstance(words, str):
            raise TypeError("WatchList: words must be an iterable of str; got one str")
        ids: dict[str, int] = {}
        for place, word in enumerate(words):
            if not isinstance(word, str):
                raise TypeError(f"WatchList: words must be str; got {type(word).__name__} at {place}")
            normal = _normal(word)
            if not normal:
                raise ValueError(f"WatchList: words must not be empty; got {word!r} at {place}")
            ids.setdefault(normal, len(ids))
        if not ids:
            raise ValueError("WatchList: words must hold at least one word; got none")
        self.words = list(ids)
        self._ids = ids
        pack_strings(self.words)  # refuses lone surrogates here, where the words are named

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return _normal(word) in self._ids

    def id(self, word: str) -> int:
        """The id of ``word`` in any spelling; ValueError when it is not watched."""
        found = self._ids.get(_normal(word))
        if found is None:
            raise ValueError(f"WatchList: word must be in the watch list; got {word!r}")
        return found

    def matcher(self) -> _C.Matcher:
        """A matcher whose word ids are the ids of this list."""
        return _C.Matcher(*pack_strings(self.words), char_classes())


def _normal(word: str) -> str:
    return " ".join(normalize(word).split())


def as_watchlist(words: WatchList | Iterable[str]) -> WatchList:
    """``words`` itself when it is a watch list, else a watch list of them."""
    return words if isinstance(words, WatchList) else WatchList(words)

"""The words to look for in text, and what counts as an occurrence.

Text and words go through the same `normalize`. A word occurs where its characters do and both its edges are free. An
edge is free when the word's character at the edge belongs to a script without spaces (Han, Hiragana, Katakana, Thai,
Lao, Khmer, Myanmar). It is also free when the neighbouring character is not a letter, number, mark or underscore of a
script with spaces. So ``cat`` is found in "a cat." and in "这是cat吗" but not in "cats", and ``猫`` is found in "小猫咪".

The rule deviates from UAX #29 on purpose. An apostrophe, a full stop and a colon always separate words: ``eau`` is
found in "l'eau". Hangul is matched as whole words between spaces: ``집`` is not found in "집은". Joiners (U+200C, U+200D)
separate words, and variation selectors are marks. White space inside a word stands for any run of white space
(`str.isspace`). Occurrences may overlap: ``aa`` in a script without spaces occurs twice in "aaa".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from pivotkit import _C
from pivotkit._text import pack_strings
from pivotkit.arguments import check_text, elements, kind, refuse
from pivotkit.corpus.matching.unicode_data import char_classes, normalizer
from pivotkit.corpus.reading.amounts import amount

NORMALIZATION = "NFKC(casefold(NFKC))"


def normalize(text: str) -> str:
    """NFKC(casefold(NFKC(text))): folds width, compatibility forms and case, for text and words alike.

    >>> normalize("Ｓtraße ﬁn"), normalize("E\u0301COLE")
    ('strasse fin', 'école')
    """
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


class WatchList:
    """Words to look for, normalized. Words with the same normal form share one id.

    Parameters
    ----------
    words : iterable of str
        Words or phrases in any spelling. Ids follow the order of first appearance.

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
        words = elements("WatchList", "words", words, "an iterable of str")
        for place, word in enumerate(words):
            if not isinstance(word, str):
                raise TypeError(f"WatchList: words must be str; got {kind(word)} at {place}")
            normal = _normal(word)
            if not normal:
                raise ValueError(f"WatchList: words must not be empty; got {word!r} at {place}")
            ids.setdefault(normal, len(ids))
        if not ids:
            raise ValueError("WatchList: words must hold at least one word; got none")
        self.words = list(ids)
        self._ids = ids
        pack_strings(self.words)  # refuses lone surrogates here, where the error can name the words

    def __repr__(self) -> str:
        return f"WatchList({amount(len(self.words), 'word')})"

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return isinstance(word, str) and _normal(word) in self._ids

    def id(self, word: str) -> int:
        """The id of ``word`` in any spelling; ValueError when it is not watched, TypeError for no str."""
        check_text("WatchList", "word", word)
        found = self._ids.get(_normal(word))
        if found is None:
            refuse("WatchList", "word", "be in the watch list", word)
        return found

    def matcher(self) -> _C.Matcher:
        """A native matcher that takes raw text and normalizes it itself; its word ids are the ids of this list.

        ``match(data, offsets)`` takes N documents as `pack_strings` packs them: UTF-8 as uint8, and int64 offsets. It
        returns int64 offsets (N + 1), int32 word ids, which ascend within a document, and an int32 count for each.
        ``spans(data, offsets)`` returns the columns of `pivotkit.corpus.match_spans`. Both release the GIL.
        """
        return _C.Matcher(*pack_strings(self.words), normalizer(), char_classes())


def _normal(word: str) -> str:
    return " ".join(normalize(word).split())


def as_watchlist(words: WatchList | Iterable[str]) -> WatchList:
    """``words`` itself when it is a watch list, otherwise a watch list of them."""
    return words if isinstance(words, WatchList) else WatchList(words)

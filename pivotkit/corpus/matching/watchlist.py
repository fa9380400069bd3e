"""The words to look for in text, and what counts as an occurrence.

Text and words go through the same `normalize`. A word occurs where its characters do and both its edges are free. An
edge at a letter of a script with spaces is free where no letter, digit, mark or underscore of such a script stands
beyond it: ``cat`` is found in "a cat." and in "这是cat吗", but not in "cats". An edge at a letter of a script without
spaces (Han, kana, Thai, Khmer, ...) is free where it cuts no grapheme cluster: ``猫`` is found in "小猫咪", but the Thai
``สี`` not in "สี่". An edge at a sign or an emoji needs both.

An apostrophe, a hyphen and a full stop always separate words, unlike in UAX #29: ``eau`` is found in "l'eau". Hangul is
matched as whole words between spaces: ``집`` is not found in "집은". White space inside a word stands for any run of white
space (`str.isspace`). Occurrences may overlap: ``哈哈`` occurs twice in "哈哈哈". ``docs/counting.md`` has every rule.
"""

from __future__ import annotations

from collections.abc import Iterable

from pivotkit import _C
from pivotkit._text import pack_strings
from pivotkit.corpus.matching.normal_form import NORMALIZATION as NORMALIZATION
from pivotkit.corpus.matching.normal_form import check_marks, normalizer
from pivotkit.corpus.matching.normal_form import normalize as normalize
from pivotkit.corpus.matching.unicode_data import letters
from pivotkit.corpus.reading.amounts import amount


class WatchList:
    """Words to look for, normalized. Words with the same normal form share one id.

    Parameters
    ----------
    words : iterable of str
        Words or phrases in any spelling. Ids follow the order of first appearance.
    marks : {"ignore", "keep"}, default "ignore"
        Nonspacing marks of the Arabic and Hebrew scripts (vowels, shadda, hamza above and below, madda, points). With
        "ignore" they are dropped from words and text, so that pointed and bare spellings are one word.

    Attributes
    ----------
    words : list[str]
        The distinct normalized words by id.
    marks : str

    Raises
    ------
    TypeError
        For an item that is not a str.
    ValueError
        For no words, one without a visible character, one with a lone surrogate, or another ``marks``.

    Examples
    --------
    >>> watch = WatchList(["Haus", "maison", "HAUS"])
    >>> watch.words, watch.id("haus"), "Maison" in watch
    (['haus', 'maison'], 0, True)
    """

    def __init__(self, words: Iterable[str], *, marks: str = "ignore") -> None:
        check_marks("WatchList", marks)
        if isinstance(words, str):
            raise TypeError("WatchList: words must be an iterable of str; got one str")
        ids: dict[str, int] = {}
        for place, word in enumerate(words):
            if not isinstance(word, str):
                raise TypeError(f"WatchList: words must be str; got {type(word).__name__} at {place}")
            normal = _normal(word, marks)
            if not normal:
                raise ValueError(f"WatchList: words must not be empty; got {word!r} at {place}")
            ids.setdefault(normal, len(ids))
        if not ids:
            raise ValueError("WatchList: words must hold at least one word; got none")
        self.words = list(ids)
        self.marks = marks
        self._ids = ids
        pack_strings(self.words)  # refuses lone surrogates here, where the error can name the words

    def __repr__(self) -> str:
        return f"WatchList({amount(len(self.words), 'word')})"

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return _normal(word, self.marks) in self._ids

    def id(self, word: str) -> int:
        """The id of ``word`` in any spelling; ValueError when it is not watched."""
        found = self._ids.get(_normal(word, self.marks))
        if found is None:
            raise ValueError(f"WatchList: word must be in the watch list; got {word!r}")
        return found

    def matcher(self) -> _C.Matcher:
        """A native matcher that takes raw text and normalizes it itself; its word ids are the ids of this list.

        ``match(data, offsets)`` takes N documents as `pack_strings` packs them: UTF-8 as uint8, and int64 offsets. It
        returns int64 offsets (N + 1), int32 word ids, which ascend within a document, and an int32 count for each.
        ``spans(data, offsets)`` returns the columns of `pivotkit.corpus.match_spans`. Both release the GIL.
        """
        return _C.Matcher(*pack_strings(self.words), normalizer(self.marks), letters())


def _normal(word: str, marks: str) -> str:
    return " ".join(normalize(word, marks).split())


def as_watchlist(words: WatchList | Iterable[str]) -> WatchList:
    """``words`` itself when it is a watch list, otherwise a watch list of them."""
    return words if isinstance(words, WatchList) else WatchList(words)

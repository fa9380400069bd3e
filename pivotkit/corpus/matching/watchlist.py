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

import functools
from collections.abc import Iterable

from pivotkit import _C
from pivotkit._text import pack_strings
from pivotkit.arguments import check_text, elements, kind, refuse
from pivotkit.corpus.matching.normal_form import check_marks, normalize, normalizer
from pivotkit.corpus.matching.unicode_data import letters
from pivotkit.corpus.matching.word_languages import WordLanguages, check_languages
from pivotkit.corpus.reading.amounts import amount


class WatchList:
    """Words to look for, normalized. Words with the same normal form share one id.

    Parameters
    ----------
    words : iterable of str
        Words or phrases in any spelling. Ids follow the order of first appearance.
    languages : iterable of str or None, optional
        The language of each word, such as "fr": `count` finds the word only in documents whose set of languages holds
        it, so that the French ``os`` is not counted in English manuals. None for a word of every document. A word may
        be watched in several languages, each with an id. By default no word has a language.
    marks : {"ignore", "keep"}, default "ignore"
        Nonspacing marks of the Arabic and Hebrew scripts (vowels, shadda, hamza above and below, madda, points). With
        "ignore" they are dropped from words and text, so that pointed and bare spellings are one word.

    Attributes
    ----------
    words : list[str]
        The normalized words by id, distinct for each language.
    languages : list[str | None] or None
        Their languages; None where no word has one.
    marks : str

    Raises
    ------
    TypeError
        For an item that is not a str.
    ValueError
        For no words, one without a visible character, one with a lone surrogate, or another ``marks``. For another
        number of languages than of words, and more than 63 different ones.

    Examples
    --------
    >>> watch = WatchList(["Haus", "maison", "HAUS"])
    >>> watch.words, watch.id("haus"), "Maison" in watch
    (['haus', 'maison'], 0, True)
    >>> watch = WatchList(["os", "OS", "cat"], languages=["fr", "en", None])
    >>> watch.words, watch.id("os", "en"), watch.id("cat")
    (['os', 'os', 'cat'], 1, 2)
    """

    def __init__(
        self, words: Iterable[str], *, languages: Iterable[str | None] | None = None, marks: str = "ignore"
    ) -> None:
        check_marks("WatchList", marks)
        if isinstance(words, str):
            raise TypeError("WatchList: words must be an iterable of str; got one str")
        words = elements("WatchList", "words", words, "an iterable of str")
        codes = check_languages("WatchList", languages, len(words))
        ids: dict[tuple[str, str | None], int] = {}
        for place, (word, code) in enumerate(zip(words, codes, strict=True)):
            if not isinstance(word, str):
                raise TypeError(f"WatchList: words must be str; got {kind(word)} at {place}")
            normal = _normal(word, marks)
            if not normal:
                raise ValueError(f"WatchList: words must not be empty; got {word!r} at {place}")
            ids.setdefault((normal, code), len(ids))
        if not ids:
            raise ValueError("WatchList: words must hold at least one word; got none")
        self.words = [word for word, _ in ids]
        self.languages = None if set(codes) == {None} else [code for _, code in ids]
        self.marks = marks
        self.spellings = list(dict.fromkeys(self.words))
        self._ids = ids
        pack_strings(self.spellings)  # refuses lone surrogates here, where the error can name the words

    def __repr__(self) -> str:
        return f"WatchList({amount(len(self.words), 'word')})"

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return isinstance(word, str) and _normal(word, self.marks) in self._places

    def id(self, word: str, language: str | None = None) -> int:
        """The id of ``word`` in any spelling; ValueError when it is not watched, TypeError for no str.

        A word that is watched in several languages needs ``language``; otherwise the default finds it.
        """
        check_text("WatchList", "word", word)
        check_text("WatchList", "language", language, none=True)
        found = self._places.get(_normal(word, self.marks), [])
        if language is not None or len(found) > 1:
            place = self._ids.get((_normal(word, self.marks), language))
            if place is None and found and language is None:
                refuse("WatchList", "language", f"be one of those that {word!r} is watched in", language)
            found = [] if place is None else [place]
        if not found:
            refuse("WatchList", "word", f"be in the watch list{f' in {language!r}' if language else ''}", word)
        return found[0]

    @functools.cached_property
    def _places(self) -> dict[str, list[int]]:
        """The ids of each normal form."""
        places: dict[str, list[int]] = {}
        for place, word in enumerate(self.words):
            places.setdefault(word, []).append(place)
        return places

    def word_languages(self) -> WordLanguages | None:
        """What turns the matcher's hits into hits of words; None where they are the same."""
        if self.languages is None:
            return None
        place = {word: place for place, word in enumerate(self.spellings)}
        return WordLanguages([place[word] for word in self.words], self.languages)

    def matcher(self) -> _C.Matcher:
        """A native matcher that takes raw text and normalizes it itself; its word ids are places in ``spellings``.

        Where no word has a language, these are the ids of this list (`word_languages`).

        ``match(data, offsets)`` takes N documents as `pack_strings` packs them: UTF-8 as uint8, and int64 offsets. It
        returns int64 offsets (N + 1), int32 word ids, which ascend within a document, and an int32 count for each.
        ``spans(data, offsets)`` returns the columns of `pivotkit.corpus.match_spans`. Both release the GIL.
        """
        return _C.Matcher(*pack_strings(self.spellings), normalizer(self.marks), letters())


def _normal(word: str, marks: str) -> str:
    return " ".join(normalize(word, marks).split())


def as_watchlist(words: WatchList | Iterable[str]) -> WatchList:
    """``words`` itself when it is a watch list, otherwise a watch list of them."""
    return words if isinstance(words, WatchList) else WatchList(words)

"""Watched words that have a language: they are only in documents whose set of languages holds it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pivotkit import _C
from pivotkit._text import pack_ids
from pivotkit.arguments import elements, refuse, refuse_kind

LanguageSet = tuple[str, ...]  # codes, ascending; none where nothing is known
MOST_LANGUAGES = 63  # a bit each; all 64 bits stand for a word of every document
_EVERY = np.uint64(2**64 - 1)


class WordLanguages:
    """Turns hits of spellings into hits of words, by the languages of the documents.

    ``spellings[w]`` is the spelling of word w and ``languages[w]`` its language, None for a word of every document.
    """

    def __init__(self, spellings: Sequence[int], languages: Sequence[str | None]) -> None:
        codes = sorted({code for code in languages if code is not None})
        self._bits = {code: np.uint64(1 << place) for place, code in enumerate(codes)}
        masks = np.array([_EVERY if code is None else self._bits[code] for code in languages], np.uint64)
        words: list[list[int]] = [[] for _ in range(max(spellings) + 1)]
        for word, spelling in enumerate(spellings):
            words[spelling].append(word)
        flat, self._offsets = pack_ids(words)
        self._words = flat.astype(np.int32)
        self._masks = masks[self._words]

    def masks(self, sets: Sequence[LanguageSet]) -> npt.NDArray[np.uint64]:
        """The bits of each set of languages."""
        bits = self._bits
        return np.array([sum(int(bits.get(code, 0)) for code in some) for some in sets], np.uint64)

    def words(self, hits: Any, masks: npt.NDArray[np.uint64]) -> Any:
        """Hits as a matcher returns them, of words in place of spellings; ``masks`` are those of the documents."""
        return _C.words_in_languages(self._offsets, self._words, self._masks, masks, *hits)


def check_languages(function: str, languages: Iterable[str | None] | None, words: int) -> list[str | None]:
    """The language of each word; none have one where ``languages`` is None."""
    if languages is None:
        return [None] * words
    codes = elements(function, "languages", languages, "an iterable of str or None")
    for code in codes:
        if code is not None and (not isinstance(code, str) or not code.strip()):
            refuse_kind(function, "languages", "be codes such as 'fr', or None", code)
    if len(codes) != words:
        refuse(function, "languages", f"be as many as words, {words}", len(codes))
    distinct = {code for code in codes if code is not None}
    if len(distinct) > MOST_LANGUAGES:
        refuse(function, "languages", f"be at most {MOST_LANGUAGES} different ones", len(distinct))
    return codes

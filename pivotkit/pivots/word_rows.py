"""Which counted words an item's two words are."""

from __future__ import annotations

import functools
from contextlib import suppress
from dataclasses import dataclass
from itertools import permutations
from typing import Any


@dataclass(frozen=True)
class WordRows:
    """Finds the rows of items' words in the counts, where a word may have one of all documents and some of a language.

    Attributes
    ----------
    counts : pivotkit.corpus.tables.counts.Counts
        Its ``index`` and, where it has them, its ``languages`` are read.
    function : str
        The function that errors name.
    languages_first : bool
        Of the rows in the languages of a pair and those of all documents, which are taken where there are both.
    """

    counts: Any
    function: str
    languages_first: bool

    def of(self, pair: str, source: str, target: str) -> tuple[int, int]:
        """The rows of source and target."""
        asked: list[tuple[str | None, str | None]] = [(None, None)]
        if (codes := self.languages(pair)) is not None:
            asked.insert(0 if self.languages_first else 1, codes)
        for first, second in asked:
            with suppress(ValueError):
                return self._row(source, first), self._row(target, second)
        return self._counted(source), self._counted(target)

    def languages(self, pair: str) -> tuple[str, str] | None:
        """The two languages of a pair, where words were counted in them."""
        return self._codes.get(pair)

    @functools.cached_property
    def _codes(self) -> dict[str, tuple[str, str]]:
        """The two languages of every pair of those that the counted words have."""
        codes = {code for code in getattr(self.counts, "languages", None) or () if code is not None}
        return {f"{first}-{second}": (first, second) for first, second in permutations(sorted(codes), 2)}

    def _row(self, word: str, language: str | None) -> int:
        return int(self.counts.index(word) if language is None else self.counts.index(word, language))

    def _counted(self, word: str) -> int:
        try:
            return int(self.counts.index(word))
        except ValueError:
            message = f"{self.function}: counts must be of every word of items; got none of {word!r}"
            raise ValueError(message) from None

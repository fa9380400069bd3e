"""Which counted words an item's two words are."""

from __future__ import annotations

import functools
from contextlib import suppress
from dataclasses import dataclass
from itertools import permutations
from typing import Any


@dataclass(frozen=True)
class WordRows:
    """Finds the rows of items' words in the counts.

    Attributes
    ----------
    counts : pivotkit.corpus.tables.counts.Counts
        Its ``index`` and, where it has them, its ``languages`` are read.
    function : str
        The function that errors name.
    """

    counts: Any
    function: str

    def of(self, pair: str, source: str, target: str) -> tuple[int, int]:
        """The rows of source and target: those in the languages of the pair, where words have one."""
        if pair in self._codes:
            first, second = self._codes[pair]
            with suppress(ValueError):
                return self.counts.index(source, first), self.counts.index(target, second)
        return self._row(source), self._row(target)

    @functools.cached_property
    def _codes(self) -> dict[str, tuple[str, str]]:
        """The two languages of every pair of those that the counted words have."""
        codes = {code for code in getattr(self.counts, "languages", None) or () if code is not None}
        return {f"{first}-{second}": (first, second) for first, second in permutations(sorted(codes), 2)}

    def _row(self, word: str) -> int:
        try:
            return int(self.counts.index(word))
        except ValueError:
            message = f"{self.function}: counts must be of every word of items; got none of {word!r}"
            raise ValueError(message) from None

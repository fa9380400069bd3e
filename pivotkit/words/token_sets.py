"""Which tokens a word can be: the sets whose probability mass and ranks a trace records."""

from __future__ import annotations

import functools
from typing import Any


class TokenSets:
    """Token ids of words under one tokenizer.

    A word has four spellings: with and without a leading space, as given and with its first letter in the other case.
    Pieces that are blank (a bare space before a Chinese word, say) and special tokens belong to no word.

    Parameters
    ----------
    tokenizer : a Hugging Face tokenizer

    Notes
    -----
    A byte-level tokenizer may cut a character between pieces. The first piece of such a word is kept, because nothing
    else stands for the word at the answer position; every word that begins with the same bytes shares it, and
    `shared_start` says so.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._special = frozenset(tokenizer.all_special_ids)
        self.text = functools.cache(self._text)
        self.first = functools.cache(self._first)
        self.family = functools.cache(self._family)
        self.pieces = functools.cache(self._pieces)

    def _encode(self, text: str) -> list[int]:
        """The pieces of ``text`` that say something: neither blank nor special, as the unknown token is."""
        ids = self._tokenizer.encode(text, add_special_tokens=False)
        return [token for token in ids if token not in self._special and self.text(token).strip()]

    def _text(self, token: int) -> str:
        """The token as text; a fragment of a character shows as U+FFFD."""
        return str(self._tokenizer.decode([token]))

    def _spellings(self, word: str) -> list[str]:
        other = word[:1].swapcase() + word[1:]
        return list(dict.fromkeys([f" {word}", word, f" {other}", other]))

    def _pieces(self, word: str) -> tuple[int, ...]:
        """The ids of ``" word"`` without blank pieces, in order."""
        return tuple(self._encode(f" {word}"))

    def _first(self, word: str) -> tuple[int, ...]:
        """The ids a spelling of ``word`` can begin with, ascending."""
        return tuple(sorted({pieces[0] for spelling in self._spellings(word) if (pieces := self._encode(spelling))}))

    def _family(self, word: str) -> tuple[int, ...]:
        """Every id that any spelling of ``word`` uses, ascending."""
        return tuple(sorted({token for spelling in self._spellings(word) for token in self._encode(spelling)}))

    def shared_start(self, word: str) -> bool:
        """Whether ``word`` begins with a fragment of a character, so that its first piece belongs to other words too."""
        return any("�" in self.text(token) for token in self.first(word))

"""Which piece of a word tells it apart: a space, a byte or a capital alone begins too many words."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

_WHOLE = ("IDEOGRAPH", "SYLLABLE", "HIRAGANA", "KATAKANA")  # in the names of letters that stand for more than a letter


def tells(start: str) -> bool:
    """Whether the beginning of a word tells it apart from others.

    It does with two letters or digits, or with one letter that stands for a word or a syllable, as those of Chinese,
    Japanese and Korean do. A space, a part of a character and a single letter of an alphabet begin too many words.
    """
    letters = [letter for letter in start if letter.isalnum()]
    return len(letters) > 1 or any(kind in unicodedata.name(letter, "") for letter in letters for kind in _WHOLE)


def telling_piece(tokenizer: Any, pieces: Sequence[int]) -> int:
    """The index of the first piece of a word that tells it apart, given those before it; of none, the last.

    The rule reads the word and the tokenizer alone, so that a word is read alike in whatever company it stands.

    Parameters
    ----------
    tokenizer : a Hugging Face tokenizer
    pieces : sequence of int
        The ids of the whole word in order, at least one.

    Returns
    -------
    int
        The number of pieces before it. The last piece completes the word, so a word of one letter is told by it.
    """
    ends = range(1, len(pieces))
    return next((end - 1 for end in ends if tells(tokenizer.decode(list(pieces[:end])))), len(pieces) - 1)

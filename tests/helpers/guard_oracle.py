"""What the guard must find, by sets of tuples in plain Python, and generated texts of known likeness."""

from __future__ import annotations

import random
import unicodedata

from pivotkit.corpus.matching import unicode_tables
from pivotkit.corpus.matching.code_points import code_ranges
from pivotkit.corpus.matching.normal_form import normalize

UNSPACED = frozenset(code_ranges(unicode_tables.UNSPACED))


def words_of(text: str) -> list[str]:
    """Runs of letters, numbers and marks of the normal form; a letter of a script without spaces is one by itself."""
    words: list[str] = []
    open_word = alone = False
    for character in normalize(text):
        kind = unicodedata.category(character)[0]
        if kind == "M" and open_word:
            words[-1] += character
            continue
        is_word = kind in "LN"
        is_alone = is_word and ord(character) in UNSPACED
        if is_word and open_word and not (alone or is_alone):
            words[-1] += character
        elif is_word:
            words.append(character)
        open_word, alone = is_word, is_alone
    return words


def grams(words: list, length: int) -> set[tuple]:
    return {tuple(words[at : at + length]) for at in range(len(words) - length + 1)}


def jaccard(one: list, other: list, length: int = 5) -> float:
    """Of the sets of words in a row; of all words where there are fewer."""
    first, second = grams(one, length) or {tuple(one)}, grams(other, length) or {tuple(other)}
    return len(first & second) / len(first | second)


def made_texts(seed: int, families: int, copies: int, letters: str, space: str) -> list[str]:
    """Texts in families: the first of each, and copies of it in which ever more words are others."""
    draw = random.Random(seed)

    def word() -> str:
        return "".join(draw.choices(letters, k=5 if space else 1))

    texts = []
    for _ in range(families):
        words = [word() for _ in range(draw.randint(60, 200))]
        texts.append(space.join(words))
        for copy in range(1, copies + 1):
            changed = list(words)
            for at in draw.sample(range(len(words)), k=copy):
                changed[at] = word()
            texts.append(space.join(changed))
    draw.shuffle(texts)
    return texts

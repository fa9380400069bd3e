"""What a token is to the words of an item, by its text: the target, the source, another word, or a piece of one."""

from __future__ import annotations

import functools
import itertools
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

COPY, DIRECT, PIVOT, PIECE = "copy", "direct", "pivot", "piece"
CLASSES = (COPY, DIRECT, PIVOT, PIECE)
SEPARATOR = "|"  # between the languages of a word that several of them spell alike

_LEAST_LETTERS = 3  # of a word, and of a beginning that two words share
_LEAST_SYLLABLES = 2  # the same in scripts whose characters are syllables
_UNSPACED = (
    "HIRAGANA",
    "KATAKANA",
    "CJK",
    "THAI",
    "LAO",
    "KHMER",
    "MYANMAR",
)  # scripts that put no space between words
_SYLLABIC = ("HIRAGANA", "KATAKANA", "HANGUL")

WordLanguages = Mapping[str, Sequence[str]]  # folded spelling to the languages that spell a word so


@dataclass(frozen=True)
class ItemWords:
    """The words of an item, and the tokens that stand for its source and target.

    Attributes
    ----------
    source : str
    targets : sequence of str
        Every accepted answer.
    source_ids, target_ids : collection of int
        Tokens that can begin the word, and its pieces.
    languages : mapping of folded spelling to languages
        The concept's words in all languages; see `word_languages`.
    """

    source: str
    targets: Sequence[str]
    source_ids: Collection[int]
    target_ids: Collection[int]
    languages: WordLanguages

    def __repr__(self) -> str:
        return f"ItemWords({self.source!r}, targets={len(self.targets)}, spellings={len(self.languages)})"


def token_class(token: int, text: str, words: ItemWords, known: WordLanguages) -> tuple[str, str | None]:
    """The class of a token for an item, and the language of a pivot.

    The first of these that holds decides:

    1. ``"direct"``: a token of the target, or its text spells an accepted answer; ``"copy"``: the same for the source.
    2. ``"pivot"``: the text spells the concept's word in another language (``familia`` for famille > Familie).
    3. ``"direct"``, then ``"copy"``: the text is `alike` an accepted answer, or the source.
    4. ``"pivot"``: the text `is_whole_word`, or spells a word of ``known``.
    5. ``"piece"``.

    Parameters
    ----------
    token : int
    text : str
        The decoded token, with the space before it if it begins a word.
    words : ItemWords
    known : mapping of folded spelling to languages
        The words of every concept.

    Returns
    -------
    (str, str or None)
        Of `CLASSES`, and the codes of the languages of a pivot, joined by ``|`` where there are several: those whose
        word for the concept the text spells, else is `inflected` from, else those in which it spells any word of
        ``known``; None where there is none, and for other classes.

    Notes
    -----
    A token that stands for both words is the target's.
    """
    spelled = folded(text)
    if token in words.target_ids or any(spelled == folded(target) for target in words.targets):
        return DIRECT, None
    if token in words.source_ids or spelled == folded(words.source):
        return COPY, None
    if spelled in words.languages:
        return PIVOT, SEPARATOR.join(words.languages[spelled])
    if any(alike(spelled, target) for target in words.targets):
        return DIRECT, None
    if alike(spelled, words.source):
        return COPY, None
    if is_whole_word(text) or spelled in known:
        near = {code for word, codes in words.languages.items() if inflected(spelled, word) for code in codes}
        return PIVOT, SEPARATOR.join(sorted(near) or known.get(spelled, ())) or None
    return PIECE, None


def word_languages(words: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The languages of each folded spelling by code, from pairs of language and word."""
    found: dict[str, set[str]] = {}
    for code, word in words:
        found.setdefault(folded(word), set()).add(code)
    return {word: sorted(codes) for word, codes in found.items()}


@functools.lru_cache(1 << 16)
def folded(text: str) -> str:
    """The text without blanks around it, in NFKC and without case."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()


@functools.lru_cache(1 << 16)
def inflected(text: str, word: str) -> bool:
    """Whether ``text`` can be a form of ``word``. Marks (accents) and case do not count.

    Text with Chinese characters is a form of the word that has half of them or more. Other text is if both begin with
    the same letters, at least three (two in kana and Hangul) and at least two thirds of the longer of the two.

    Examples
    --------
    >>> [inflected(text, "Haus") for text in ("hauses", "Häuser", "hau", "Hausaufgabe", "house")]
    [True, True, True, False, False]
    >>> inflected("校", "学校"), inflected("学生", "学校"), inflected("教育", "学校")
    (True, True, False)
    """
    one, other = _bare(text), _bare(word)
    han = [char for char in one if _script(char) == "CJK"]
    if han:
        return 2 * sum(char in other for char in han) >= len(han)
    shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    return shared >= _least(one) and 3 * shared >= 2 * max(len(one), len(other))


@functools.lru_cache(1 << 16)
def alike(text: str, word: str) -> bool:
    """Whether ``text`` is `inflected` from ``word``, or its beginning of at least three letters (two in kana, Hangul).

    Examples
    --------
    >>> alike("tele", "Telefon"), inflected("tele", "Telefon")
    (True, False)
    """
    one = _bare(text)
    return inflected(text, word) or (len(one) >= _least(one) and _bare(word).startswith(one))


@functools.lru_cache(1 << 16)
def is_whole_word(text: str) -> bool:
    """Whether a token can be a word: enough letters, nothing else, and a space before where the script has spaces.

    Enough is one Chinese character, two of kana or Hangul, three letters elsewhere.

    Examples
    --------
    >>> [text for text in (" dog", "dog", " do", " x86", "狗", "ドッグ", "ド") if is_whole_word(text)]
    [' dog', '狗', 'ドッグ']
    """
    body = folded(text)
    letters = [char for char in body if char.isalpha()]
    if not letters or any(not char.isalpha() and unicodedata.category(char) not in ("Mn", "Mc") for char in body):
        return False
    scripts = {_script(char) for char in letters}
    if not text[0].isspace() and scripts.isdisjoint(_UNSPACED):
        return False
    return "CJK" in scripts or len(letters) >= _least(body)


def written_form(text: str) -> tuple[bool, bool, str, bool]:
    """What a control shares with a token: a leading space, letters alone, the script, a first capital."""
    word = text.strip()
    return text[:1].isspace(), word.isalpha(), _script(word[0]) if word else "", word[:1].isupper()


def _least(text: str) -> int:
    """The fewest characters of a word in the script of ``text``."""
    return _LEAST_SYLLABLES if text and all(_script(char) in _SYLLABIC for char in text) else _LEAST_LETTERS


@functools.lru_cache(1 << 14)
def _script(char: str) -> str:
    """The first word of a character's Unicode name, such as LATIN."""
    name = unicodedata.name(char, "").split(maxsplit=1)
    return "" if not name else name[0].partition("-")[0]


@functools.lru_cache(1 << 16)
def _bare(text: str) -> str:
    """The folded text without marks; syllables of Hangul stay whole."""
    split = unicodedata.normalize("NFD", folded(text))
    return unicodedata.normalize("NFC", "".join(char for char in split if unicodedata.category(char) != "Mn"))

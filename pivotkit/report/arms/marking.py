"""Where pivots stand in a text, and the parts of the text around them."""

from __future__ import annotations

import re
from collections.abc import Iterable

BESIDE = 60  # characters shown on either side of a pivot
MOST = 440  # characters shown of a text, about
GAP = " … "

Parts = list[tuple[str, bool]]


def marker(tokens: Iterable[str | None]) -> re.Pattern[str] | None:
    """What finds the texts of tokens as whole words, or anywhere in scripts without spaces; None for no tokens.

    A token without a letter, such as a comma, is left out: marks of it would hide the words. So is one that is a piece
    of a word, unless it stands alone.
    """
    words = {token.strip() for token in tokens if token is not None}
    known = sorted((word for word in words if any(map(str.isalpha, word))), key=lambda word: (-len(word), word))
    if not known:
        return None
    return re.compile("|".join(map(_pattern, known)))


def _pattern(word: str) -> str:
    """A word of its own: no letter of a script with spaces before or behind it."""
    before = r"(?<![^\W\d_])" if _is_spaced(word[0]) else ""
    behind = r"(?![^\W\d_])" if _is_spaced(word[-1]) else ""
    return f"{before}{re.escape(word)}{behind}"


def _is_spaced(character: str) -> bool:
    return character.isalpha() and not "\u2e80" <= character <= "\u9fff" and not "\u0e00" <= character <= "\u0eff"


def excerpt(text: str, pivots: re.Pattern[str] | None) -> Parts:
    """Parts of ``text`` and whether each is a pivot: what stands around its first pivots, about `MOST` characters.

    >>> excerpt("the cat and the dog", marker([" dog", "cat"]))
    [('the ', False), ('cat', True), (' and the ', False), ('dog', True)]
    """
    spans = [] if pivots is None else [match.span() for match in pivots.finditer(text)]
    parts: Parts = []
    for begin, end in _windows(len(text), spans):
        if begin:
            parts.append((GAP, False))
        at = begin
        for first, last in spans:
            if begin <= first and last <= end:
                parts += [(text[at:first], False), (text[first:last], True)]
                at = last
        parts.append((text[at:end], False))
        if end < len(text) and (begin, end) == _windows(len(text), spans)[-1]:
            parts.append((GAP, False))
    return [part for part in parts if part[0]]


def _windows(size: int, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is shown of a text: stretches around pivots, apart, and about `MOST` characters together."""
    windows: list[tuple[int, int]] = []
    shown = 0
    for first, last in spans or [(0, MOST // 2)]:
        begin, end = max(0, first - BESIDE), min(size, last + BESIDE)
        if windows and begin <= windows[-1][1]:
            begin = windows.pop()[0]
            shown = sum(stop - start for start, stop in windows)
        if windows and shown + end - begin > MOST:
            break
        windows.append((begin, min(end, begin + MOST - shown)))
        shown += windows[-1][1] - windows[-1][0]
        if shown >= MOST:
            break
    return windows

"""Numbers of things in one line of text, for ``repr``."""

from __future__ import annotations


def amount(number: int, noun: str) -> str:
    """A number with its noun.

    >>> amount(1, "word"), amount(12345, "document")
    ('1 word', '12,345 documents')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

"""All code points at once, as this Python's `unicodedata` knows them: category, combining class, what changes."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

CODE_POINTS = 0x110000

# The other planes hold no letters, numbers or marks, and nothing that normalization changes.
PLANES = (range(0xD800), range(0xE000, 0x40000), range(0xE0000, 0xF0000))

HANGUL = range(0xAC00, 0xD7A4)  # syllables, which are composed and taken apart by a rule


def code_ranges(table: str) -> Iterator[int]:
    """The code points of a table of `unicode_tables`."""
    for ends in table.split():
        first, _, last = ends.partition("-")
        yield from range(int(first, 16), int(last or first, 16) + 1)


@functools.cache
def categories() -> npt.NDArray[np.bytes_]:
    """The general category of every code point, S2 (0x110000,); Cn outside `PLANES`."""
    found = np.full(CODE_POINTS, b"Cn")
    for plane in PLANES:
        names = "".join(map(unicodedata.category, map(chr, plane)))
        found[plane.start : plane.stop] = np.frombuffer(names.encode(), "S2")
    return _fixed(found)


@functools.cache
def combining() -> npt.NDArray[np.uint8]:
    """The canonical combining class of every code point, (0x110000,)."""
    found = np.zeros(CODE_POINTS, np.uint8)
    for plane in PLANES:
        found[plane.start : plane.stop] = np.fromiter(map(unicodedata.combining, map(chr, plane)), np.uint8, len(plane))
    return _fixed(found)


@functools.cache
def changing() -> str:
    """Every character that NFKD or case folding changes, and few others; no Hangul syllables, which follow a rule."""
    step = 64
    blocks = ("".join(map(chr, range(start, start + step))) for plane in PLANES for start in plane[::step])
    return "".join(
        block
        for block in blocks
        if ord(block[0]) not in HANGUL and not (unicodedata.is_normalized("NFKD", block) and block.casefold() == block)
    )


def _fixed(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.setflags(write=False)
    return array

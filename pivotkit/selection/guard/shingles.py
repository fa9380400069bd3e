"""Hashes of the words of documents, and of n words in a row, for text and for token ids.

A word of a text is a run of letters, numbers and marks in the normal form in which words are counted
(docs/counting.md). A letter of a script that is written without spaces (Han, kana, Thai, Lao, Khmer, Burmese) is a word
of its own, with the marks behind it. So n words in a row mean as much in Chinese as n characters. A token id is a word.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pivotkit.corpus.matching import unicode_tables
from pivotkit.corpus.matching.code_points import categories, code_ranges
from pivotkit.corpus.matching.normal_form import normalizer
from pivotkit.corpus.matching.process_tables import once_a_process
from pivotkit.corpus.reading.text_block import TextBlock
from pivotkit.corpus.reading.token_blocks import TokenBlock

Hashes = NDArray[np.uint64]
Offsets = NDArray[np.int64]

_APART, _INSIDE, _ALONE, _MARK = 0, 1, 2, 3  # between words; in one; one by itself; a part of what it follows


class Hashed(NamedTuple):
    """What documents consist of: those of document d are ``hashes[offsets[d]:offsets[d + 1]]``."""

    hashes: Hashes
    offsets: Offsets


def text_words(block: TextBlock) -> Hashed:
    """The words of each text of a block."""
    from pivotkit.selection.guard import kernels

    texts, offsets = normalizer().normalize(block.data, block.offsets)
    return Hashed(*kernels.text_words(texts, offsets, _roles()))


def token_words(block: TokenBlock) -> Hashed:
    """The token ids of each document of a block."""
    from pivotkit.selection.guard import kernels

    return Hashed(kernels.mixed_ids(block.ids.astype(np.uint64)), block.offsets.astype(np.int64))


def shingles(words: Hashed, length: int, *, short: bool) -> Hashed:
    """Every ``length`` words in a row; with ``short``, all words of a document that has fewer, but some, as one."""
    from pivotkit.selection.guard import kernels

    return Hashed(*kernels.shingles(words.hashes, words.offsets, length, short))


@once_a_process
def _roles() -> NDArray[np.uint8]:
    """What each code point is to a word."""
    kinds = categories().astype("U1")
    roles = np.where(np.isin(kinds, ["L", "N"]), _INSIDE, _APART).astype(np.uint8)
    roles[kinds == "M"] = _MARK
    unspaced = np.fromiter(code_ranges(unicode_tables.UNSPACED), np.int64)
    roles[unspaced[roles[unspaced] == _INSIDE]] = _ALONE
    return roles

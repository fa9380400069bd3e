"""Hashes of the words of documents, and of n words in a row, for text and for token ids.

A word of a text is a run of letters, numbers and marks in the normal form in which words are counted
(docs/counting.md). A letter of a script that is written without spaces (Han, kana, Thai, Lao, Khmer, Burmese) is a word
of its own, with the marks behind it. So n words in a row mean as much in Chinese as n characters. A token id is a word.
"""

from __future__ import annotations


from typing import NamedTuple

import numba
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
    texts, offsets = normalizer().normalize(block.data, block.offsets)
    return Hashed(*_words(texts, offsets, _roles()))


def token_words(block: TokenBlock) -> Hashed:
    """The token ids of each document of a block."""
    return Hashed(_mixed_ids(block.ids.astype(np.uint64)), block.offsets.astype(np.int64))


def shingles(words: Hashed, length: int, *, short: bool) -> Hashed:
    """Every ``length`` words in a row; with ``short``, all words of a document that has fewer, but some, as one."""
    return Hashed(*_shingles(words.hashes, words.offsets, length, short))


@once_a_process
def _roles() -> NDArray[np.uint8]:
    """What each code point is to a word."""
    kinds = categories().astype("U1")
    roles = np.where(np.isin(kinds, ["L", "N"]), _INSIDE, _APART).astype(np.uint8)
    roles[kinds == "M"] = _MARK
    unspaced = np.fromiter(code_ranges(unicode_tables.UNSPACED), np.int64)
    roles[unspaced[roles[unspaced] == _INSIDE]] = _ALONE
    return roles


@numba.njit(nogil=True, cache=True)
def mix(value: np.uint64) -> np.uint64:  # the finalizer of splitmix64: a bijection in which each bit changes all others
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@numba.njit(nogil=True, cache=True)
def _mixed_ids(ids: Hashes) -> Hashes:
    found = np.empty(len(ids), np.uint64)
    for place in range(len(ids)):
        found[place] = mix(ids[place] + np.uint64(0x9E3779B97F4A7C15))
    return found


@numba.njit(nogil=True, cache=True)
def _words(texts: NDArray[np.uint8], offsets: Offsets, roles: NDArray[np.uint8]) -> tuple[Hashes, Offsets]:
    """Read UTF-8, which is whole. A word takes two bytes, with what sets it apart from the next in its document."""
    found = np.empty(len(texts) // 2 + len(offsets), np.uint64)
    ends = np.zeros(len(offsets), np.int64)
    count = 0
    for document in range(len(offsets) - 1):
        at, stop = offsets[document], offsets[document + 1]
        state, last = np.uint64(0), np.uint8(0)  # the hash of the word that is open, and the role of what was read last
        while at < stop:
            lead = texts[at]
            size = 1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
            code = np.uint32(lead) if size == 1 else np.uint32(lead & (0x7F >> size))
            for more in range(1, size):
                code = np.uint32((code << 6) | (texts[at + more] & 0x3F))
            at += size
            role = roles[code]
            if role == 3:
                role = last
            if last != 0 and (role == 0 or (roles[code] != 3 and (role == 2 or last == 2))):
                found[count] = mix(state)
                count += 1
                state = np.uint64(0)
            if role != 0:
                state = mix(state + np.uint64(code) + np.uint64(0x9E3779B97F4A7C15))
            last = role
        if last != 0:
            found[count] = mix(state)
            count += 1
        ends[document + 1] = count
    return found[:count].copy(), ends


@numba.njit(nogil=True, cache=True)
def _shingles(words: Hashes, offsets: Offsets, length: int, short: bool) -> tuple[Hashes, Offsets]:
    documents = len(offsets) - 1
    ends = np.zeros(documents + 1, np.int64)
    for document in range(documents):
        size = offsets[document + 1] - offsets[document]
        count = size - length + 1
        if count < 1:
            count = 1 if short and size > 0 else 0
        ends[document + 1] = ends[document] + count
    found = np.empty(ends[-1], np.uint64)
    for document in range(documents):
        begin, stop = offsets[document], offsets[document + 1]
        for place in range(ends[document], ends[document + 1]):
            state = np.uint64(0)
            for word in range(begin, min(begin + length, stop)):
                state = mix((state << np.uint64(1)) + words[word] + np.uint64(0x9E3779B97F4A7C15))
            found[place] = state
            begin += 1
    return found, ends

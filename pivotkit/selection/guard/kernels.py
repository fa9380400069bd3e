"""The loops of the guard, compiled by Numba; imported where they are needed, since Numba takes a second to load."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Offsets = NDArray[np.int64]
Signatures = NDArray[np.uint16]


@numba.njit(nogil=True, cache=True)
def mix(value: np.uint64) -> np.uint64:  # the finalizer of splitmix64: a bijection in which each bit changes all others
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@numba.njit(nogil=True, cache=True)
def mixed_ids(ids: Hashes) -> Hashes:
    """A hash of each id."""
    found = np.empty(len(ids), np.uint64)
    for place in range(len(ids)):
        found[place] = mix(ids[place] + np.uint64(0x9E3779B97F4A7C15))
    return found


@numba.njit(nogil=True, cache=True)
def text_words(texts: NDArray[np.uint8], offsets: Offsets, roles: NDArray[np.uint8]) -> tuple[Hashes, Offsets]:
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
def shingles(words: Hashes, offsets: Offsets, length: int, short: bool) -> tuple[Hashes, Offsets]:
    """The hashes of ``length`` words in a row of each document, and where those of each begin."""
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


@numba.njit(nogil=True, cache=True)
def like(signs: Signatures, order: Offsets, bands: int, rows: int, least: int) -> Offsets:
    """`like_documents` with the bands and the least number of equal hashes."""
    documents = len(order)
    size = 1
    while size < 2 * documents + 2:
        size *= 2
    heads = np.full((bands, size), -1, np.int32)  # the last kept document of each place of a band
    before = np.full((bands, documents), -1, np.int32)  # the kept one before it in the same place
    seen = np.full(documents, -1, np.int32)  # by which document each kept one was compared last
    like = np.full(len(signs), -1, np.int64)
    places = np.empty(bands, np.int64)
    for turn in range(documents):
        document = order[turn]
        best = documents
        for band in range(bands):
            state = np.uint64(band)
            for row in range(band * rows, band * rows + rows):
                state = mix(state * np.uint64(0x9E3779B97F4A7C15) + np.uint64(signs[document, row]))
            places[band] = np.int64(state & np.uint64(size - 1))
            kept = heads[band, places[band]]
            while kept >= 0:
                if kept < best and seen[kept] != turn:
                    seen[kept] = turn
                    other, agree = order[kept], 0
                    for row in range(signs.shape[1]):
                        agree += signs[document, row] == signs[other, row]
                    if agree >= least:
                        best = kept
                kept = before[band, kept]
        if best < documents:
            like[document] = order[best]
            continue
        for band in range(bands):
            before[band, turn] = heads[band, places[band]]
            heads[band, places[band]] = turn
    return like


@numba.njit(nogil=True, cache=True)
def holds(found: Hashes, offsets: Offsets, hashes: Hashes, begins: Offsets) -> NDArray[np.bool_]:
    """Which documents have one of ``hashes``, which ascend; ``begins`` as `_index` gives them."""
    held = np.zeros(len(offsets) - 1, np.bool_)
    for document in range(len(offsets) - 1):
        for place in range(offsets[document], offsets[document + 1]):
            wanted = found[place]
            lead = np.int64(wanted >> np.uint64(48))
            low, high = begins[lead], begins[lead + 1] if lead + 1 < len(begins) else len(hashes)
            while low < high:
                middle = (low + high) // 2
                if hashes[middle] < wanted:
                    low = middle + 1
                else:
                    high = middle
            if low < len(hashes) and hashes[low] == wanted:
                held[document] = True
                break
    return held

"""A bottom-k sketch per word: the documents with the lowest hashes.

A document's hash depends on its file (as the file was found) and on its place in the file. So the ``size`` lowest
hashes of a word do not depend on the order of the documents or on the units. They are among the lowest of each part,
and sketches of parts can be put together in any order (E. Cohen and H. Kaplan, "Summarizing data using bottom-k
sketches", PODC 2007).
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
HIGHEST = np.uint64(2**64 - 1)
WAITING = 1 << 18  # hashes that wait to be ranked


def document_hashes(file: str, places: npt.NDArray[np.int64]) -> Hashes:
    """The hash of each document by its place in ``file``: SplitMix64's finalizer over the place and the file's name."""
    seed = int.from_bytes(hashlib.blake2b(file.encode(), digest_size=8).digest(), "little")
    with np.errstate(over="ignore"):
        value = places.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


class BottomKSketch:
    """Keeps the ``size`` lowest hashes of each of ``words`` words."""

    def __init__(self, words: int, size: int) -> None:
        self._size = size
        self._bounds = np.full(words, HIGHEST)
        self._words = [np.zeros(0, np.int32)]
        self._hashes = [np.zeros(0, np.uint64)]
        self._ranked, self._waiting = 0, 0

    def add(self, words: npt.NDArray[np.int32], hashes: Hashes) -> npt.NDArray[np.bool_]:
        """Take pairs of a word and a document's hash; return which of them may be among the lowest of their word."""
        low = hashes <= self._bounds[words]
        self._words.append(words[low])
        self._hashes.append(hashes[low])
        self._waiting += len(self._words[-1])
        if self._waiting > max(WAITING, self._ranked):
            self._rank()
        return low

    def bounds(self) -> Hashes:
        """The highest hash in the sketch of each word; `HIGHEST` for a word with fewer than ``size`` documents."""
        self._rank()
        return self._bounds

    def _rank(self) -> None:
        words, hashes = np.concatenate(self._words), np.concatenate(self._hashes)
        order = np.lexsort((hashes, words))
        words, hashes = words[order], hashes[order]
        rank = np.arange(len(words)) - np.searchsorted(words, words)
        last = rank == self._size - 1
        self._bounds[words[last]] = hashes[last]
        kept = rank < self._size
        self._words, self._hashes = [words[kept]], [hashes[kept]]
        self._ranked, self._waiting = len(self._words[0]), 0

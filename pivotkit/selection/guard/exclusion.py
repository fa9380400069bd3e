"""Texts of a benchmark or an evaluation that the corpus must not hold, looked for by words in a row.

The rule of GPT-3 (arXiv 2005.14165, appendix C): a document holds a text when they share 13 words in a row; a text of
8 to 12 words is looked for as a whole. Shorter ones are not looked for, since they stand in texts of any kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.corpus.reading.documents import Corpus, read_texts, work_units
from pivotkit.corpus.reading.text_block import TextBlock
from pivotkit.corpus.reading.text_block import languages as tags
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.selection.guard.shingles import Hashed, Hashes, shingles, text_words, token_words

MOST, LEAST = 13, 8  # words in a row
TEXTS = 1 << 14  # of the caller's texts that are hashed at a time


@dataclass(frozen=True)
class Excluded:
    """What is looked for.

    Attributes
    ----------
    hashes : dict of int to uint64 (M,)
        By number of words, from `LEAST` to `MOST`: the hashes of so many in a row, ascending.
    texts, short : int
        How many texts were given, and how many of them are too short to be looked for.
    """

    hashes: dict[int, Hashes]
    texts: int
    short: int

    @classmethod
    def of(cls, some: Iterable[Hashed]) -> Excluded:
        """Of the words of texts."""
        found: dict[int, list[Hashes]] = {}
        texts = short = 0
        for words in some:
            sizes = np.diff(words.offsets)
            texts, short = texts + len(sizes), short + int((sizes < LEAST).sum())
            found.setdefault(MOST, []).append(shingles(words, MOST, short=False).hashes)
            for length in range(LEAST, MOST):
                if (sizes == length).any():
                    wanted = np.repeat(sizes == length, sizes)
                    ends = np.arange(int((sizes == length).sum()) + 1, dtype=np.int64) * length
                    one_each = shingles(Hashed(words.hashes[wanted], ends), length, short=False)
                    found.setdefault(length, []).append(one_each.hashes)
        unique = {length: np.unique(np.concatenate(parts)) for length, parts in sorted(found.items())}
        return cls({length: hashes for length, hashes in unique.items() if len(hashes)}, texts, short)

    def held(self, words: Hashed) -> NDArray[np.bool_]:
        """Which documents hold one of the texts, bool (N,)."""
        from pivotkit.selection.guard import kernels

        held = np.zeros(len(words.offsets) - 1, np.bool_)
        for length, hashes in self.hashes.items():
            found = shingles(words, length, short=False)
            held |= kernels.holds(found.hashes, found.offsets, hashes, _index(hashes))
        return held


def excluded_words(texts: Corpus | TokenStore | TokenFiles | None, own: Iterable[str] | None) -> Iterator[Hashed]:
    """The words of the texts of files, or their token ids, and of the caller's own texts, some at a time."""
    if isinstance(texts, TokenStore | TokenFiles):
        for unit in texts.work_units():
            for block in texts.blocks(unit):
                yield token_words(block)
    elif texts is not None:
        for unit in work_units(texts):
            for text in read_texts(unit):
                yield text_words(text)
    given = iter(own or ())
    while some := list(islice(given, TEXTS)):
        packed, none = pa.array(some, pa.large_string()), pa.nulls(len(some), pa.large_string())
        for text in TextBlock.slices(packed, none, tags(none), np.arange(len(some)), 1 << 22):
            yield text_words(text)


def _index(hashes: Hashes) -> NDArray[np.int64]:
    """Where the hashes of each leading 16 bits begin, int64 (65537,): a search then looks at a few."""
    return np.searchsorted(hashes, np.arange(1 << 16, dtype=np.uint64) << np.uint64(48)).astype(np.int64)

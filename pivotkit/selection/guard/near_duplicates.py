"""Near-duplicates by MinHash: signatures from rensa, and one document kept of those that are alike.

The similarity of two documents is the Jaccard index of their sets of `SHINGLE` words in a row,
``len(A & B) / len(A | B)``; it is estimated by the share of `HASHES` least hashes in which both agree.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pivotkit.errors import BackendUnavailable
from pivotkit.selection.guard.shingles import Hashed, shingles

HASHES = 128  # the standard error of an estimate is sqrt(s * (1 - s) / 128): 0.035 at 0.8
SHINGLE = 5  # words in a row, as datatrove has it
CHANCE = 0.999  # at which a pair of the least similarity shares a band

Signatures = NDArray[np.uint16]


def signatures(words: Hashed, seed: int) -> Signatures:
    """The signature of each document, (N, HASHES): the low 16 bits of its least hashes. Zeros for one without words."""
    found = shingles(words, SHINGLE, short=True)
    rows = rensa().RMinHash.digest_matrix_from_flat_token_hashes(
        found.hashes, found.offsets.astype(np.uint64), HASHES, seed
    )
    signs = np.array(rows.to_rows(), np.uint32).reshape(-1, HASHES).astype(np.uint16)
    signs[np.diff(found.offsets) == 0] = 0
    return signs


def rensa() -> Any:
    """The library that makes signatures."""
    try:
        import rensa as library
    except ImportError:
        raise BackendUnavailable(
            "filter_documents: near_duplicates needs rensa; install it with pip install 'pivotkit[filters]'"
        ) from None
    return library


def bands(threshold: float) -> tuple[int, int]:
    """How many bands of how many hashes: the longest bands that `CHANCE` allows.

    >>> bands(0.8), bands(0.5), bands(1.0)
    ((25, 5), (64, 2), (1, 128))
    """
    for rows in range(HASHES, 0, -1):
        number = HASHES // rows
        if 1 - (1 - threshold**rows) ** number >= CHANCE:
            return number, rows
    return HASHES, 1


def like_documents(signs: Signatures, order: NDArray[np.int64], threshold: float) -> NDArray[np.int64]:
    """For each document the one that is kept in its place, or -1 where it is kept itself, int64 (N,).

    Documents are taken in ``order``. One is kept unless a kept one shares a band with it and agrees in at least
    ``threshold`` of the hashes; of several, the first counts. So no two that are kept are alike, and each that is not
    is like the kept one, not merely like another that is like it.

    Cost: 25 look-ups a document and 128 comparisons for each kept one in the same place; 12 bytes a band and document.
    """
    from pivotkit.selection.guard import kernels

    number, rows = bands(threshold)
    return np.asarray(kernels.like(signs, order, number, rows, int(np.ceil(threshold * HASHES - 1e-9))))

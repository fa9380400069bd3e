"""Random control tokens, matched to pivots by frequency."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

# Random draws among the tokens of one frequency before all of them are searched: rare frequencies have tens of
# thousands.
TRIES = 16


class FrequencyMatched:
    """Draws for each token another token with the nearest possible document frequency.

    Parameters
    ----------
    background : (V,) int64
        The number of documents that contain each token. Tokens in no document are never drawn.
    seed : int
        Decides among tokens of the same frequency.
    """

    def __init__(self, background: NDArray[np.int64], seed: int) -> None:
        self.background = background
        self.seed = seed
        present = np.flatnonzero(background)
        self.ids = present[np.argsort(background[present], kind="stable")]
        self.frequencies, starts = np.unique(background[self.ids], return_index=True)
        self.bounds = np.append(starts, len(self.ids))  # tokens of one frequency lie between two bounds

    def draw(self, tokens: Sequence[int], excluded: Iterable[int], key: str) -> list[int | None]:
        """Draw one control per token.

        Parameters
        ----------
        tokens : sequence of int
        excluded : iterable of int
            Tokens that are never drawn.
        key : str
            Seeds the draw together with ``seed``, so that the controls of a pair do not depend on other pairs.

        Returns
        -------
        list of int or None
            Distinct controls; None where no token is left. Of two equally near frequencies the smaller one wins.
        """
        taken = set(excluded)
        digest = hashlib.blake2b(f"{self.seed}\0{key}".encode(), digest_size=8).digest()
        random = np.random.default_rng(int.from_bytes(digest, "little"))
        controls: list[int | None] = []
        for token in tokens:
            control = self._nearest(int(self.background[token]), taken, random)
            controls.append(control)
            if control is not None:
                taken.add(control)
        return controls

    def _nearest(self, frequency: int, taken: set[int], random: np.random.Generator) -> int | None:
        right = int(np.searchsorted(self.frequencies, frequency))
        left = right - 1
        while left >= 0 or right < len(self.frequencies):
            left_nearer = right == len(self.frequencies) or (
                left >= 0 and frequency - self.frequencies[left] <= self.frequencies[right] - frequency
            )
            block = left if left_nearer else right
            begin, end = int(self.bounds[block]), int(self.bounds[block + 1])
            for _ in range(TRIES):
                token = int(self.ids[random.integers(begin, end)])
                if token not in taken:
                    return token
            free = [token for token in self.ids[begin:end].tolist() if token not in taken]
            if free:
                return int(free[random.integers(len(free))])
            if left_nearer:
                left -= 1
            else:
                right += 1
        return None

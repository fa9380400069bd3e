"""Random tokens that are as frequent as the pivots beside which they stand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

TRIES = 16  # random looks into the tokens of one frequency, tens of thousands for rare ones, before all are looked at


class FrequencyMatched:
    """Draws, for each token, another token whose background document frequency is as near as possible.

    Parameters
    ----------
    background : int64 (V,)
        Documents that hold each token. Tokens in no document are never drawn.
    seed : int
        Chooses among tokens of the same frequency.
    """

    def __init__(self, background: NDArray[np.int64], seed: int) -> None:
        self.background = background
        self.seed = seed
        present = np.flatnonzero(background)
        self.ids = present[np.argsort(background[present], kind="stable")]
        self.frequencies, starts = np.unique(background[self.ids], return_index=True)
        self.bounds = np.append(starts, len(self.ids))  # tokens of one frequency lie between two bounds

    def draw(self, tokens: Sequence[int], excluded: Iterable[int], key: str) -> list[int | None]:
        """One control for each token, all distinct and none of them excluded; None where no token is left.

        The draw depends on the seed and ``key`` alone, so a pair's controls do not change with the pairs around it. Of
        two equally near frequencies the smaller one is taken.
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

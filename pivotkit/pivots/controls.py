"""Tokens that stand beside pivots: of the same frequency, of the same form too, and the pivots of other items."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pivotkit.words.token_classes import written_form

# Random draws among the tokens of one frequency before all of them are searched: rare frequencies have tens of
# thousands.
TRIES = 16

Condition = Callable[[int], bool]  # whether a token may be drawn


class FrequencyMatched:
    """Draws for each token another token with the nearest possible document frequency.

    Parameters
    ----------
    background : (V,) int64
        The number of documents that contain each token. Tokens in no document are never drawn.
    seed : int
        Decides among tokens of the same frequency.
    among : (n,) int64
        The tokens that may be drawn.
    """

    def __init__(self, background: NDArray[np.int64], seed: int, among: NDArray[np.int64]) -> None:
        self.background = background
        self.seed = seed
        present = among[background[among] > 0]
        self.ids = present[np.argsort(background[present], kind="stable")]
        self.frequencies, starts = np.unique(background[self.ids], return_index=True)
        self.bounds = np.append(starts, len(self.ids))  # tokens of one frequency lie between two bounds

    def draw(
        self, tokens: Sequence[int], excluded: Iterable[int], key: str, allowed: Condition | None = None
    ) -> list[int | None]:
        """Draw one control per token.

        Parameters
        ----------
        tokens : sequence of int
        excluded : iterable of int
            Tokens that are never drawn.
        key : str
            Seeds the draw together with ``seed``, so that the controls of a pair do not depend on other pairs.
        allowed : function of a token, optional
            Whether it may be drawn.

        Returns
        -------
        list of int or None
            Distinct controls; None where no token is left. Of two equally near frequencies the smaller one wins.
        """
        taken, random = set(excluded), _generator(self.seed, key)
        return [self.nearest(token, taken, random, allowed) for token in tokens]

    def nearest(
        self, token: int, taken: set[int], random: np.random.Generator, allowed: Condition | None
    ) -> int | None:
        """Draw a token that is not ``taken`` and add it to those."""
        for begin, end in self._blocks(int(self.background[token])):
            found = self._drawn(begin, end, taken, random, allowed)
            if found is not None:
                taken.add(found)
                return found
        return None

    def _blocks(self, frequency: int) -> Iterator[tuple[int, int]]:
        """Where the tokens of each frequency lie, the nearest frequency first."""
        right = int(np.searchsorted(self.frequencies, frequency))
        left = right - 1
        while left >= 0 or right < len(self.frequencies):
            left_nearer = right == len(self.frequencies) or (
                left >= 0 and frequency - self.frequencies[left] <= self.frequencies[right] - frequency
            )
            block = left if left_nearer else right
            yield int(self.bounds[block]), int(self.bounds[block + 1])
            if left_nearer:
                left -= 1
            else:
                right += 1

    def _drawn(
        self, begin: int, end: int, taken: set[int], random: np.random.Generator, allowed: Condition | None
    ) -> int | None:
        def free(token: int) -> bool:
            return token not in taken and (allowed is None or allowed(token))

        for _ in range(TRIES):
            token = int(self.ids[random.integers(begin, end)])
            if free(token):
                return token
        left = [token for token in self.ids[begin:end].tolist() if free(token)]
        return int(left[random.integers(len(left))]) if left else None


class FormMatched:
    """Draws tokens of the nearest document frequency among those of a token's form (`written_form`).

    Parameters
    ----------
    background : (V,) int64
    text : function of a token
        Its text, with the space before it.
    seed : int
    among : (n,) int64
        The tokens that may be drawn.

    Notes
    -----
    Cost: the text of every token of ``among``.
    """

    def __init__(
        self, background: NDArray[np.int64], text: Callable[[int], str], seed: int, among: NDArray[np.int64]
    ) -> None:
        self.seed = seed
        self._text = text
        forms: dict[Hashable, list[int]] = defaultdict(list)
        for token in among.tolist():
            forms[written_form(text(token))].append(token)
        self._groups = {
            form: FrequencyMatched(background, seed, np.array(some, np.int64)) for form, some in forms.items()
        }

    def draw(
        self, tokens: Sequence[int], excluded: Iterable[int], key: str, allowed: Condition | None = None
    ) -> list[int | None]:
        """Draw one control per token, as `FrequencyMatched.draw`."""
        taken, random = set(excluded), _generator(self.seed, f"{key}\0form")
        alike = [self._groups.get(written_form(self._text(token))) for token in tokens]
        return [
            None if group is None else group.nearest(token, taken, random, allowed)
            for token, group in zip(tokens, alike, strict=True)
        ]


class OtherItems:
    """Draws pivots of other items of a pair of languages.

    Parameters
    ----------
    keys : sequence of str
        One per item: its words.
    pivots : sequence of (n,) int64
        The pivots of each item, best first.
    seed : int

    Notes
    -----
    What is drawn for an item depends on ``seed`` and on the words and pivots of the items, not on their order. Cost:
    one number per item of the pair and pivot.
    """

    def __init__(self, keys: Sequence[str], pivots: Sequence[NDArray[np.int64]], seed: int) -> None:
        self._own = [_hash(seed, key) for key in keys]
        self._pivots = pivots
        self._ranks: list[tuple[NDArray[np.uint64], NDArray[np.int64]]] = []  # per rank: items' hashes, and pivots
        for rank in range(max(map(len, pivots), default=0)):
            having = [at for at, some in enumerate(pivots) if len(some) > rank]
            hashes = np.array([self._own[at] for at in having], np.uint64)
            self._ranks.append((hashes, np.array([pivots[at][rank] for at in having], np.int64)))

    def draw(self, item: int, excluded: Iterable[int], allowed: Condition | None = None) -> list[int | None]:
        """Draw one control per pivot of ``item``.

        Parameters
        ----------
        item : int
            Its place among the items of the pair.
        excluded : iterable of int
            Tokens that are never drawn, its own pivots among them.
        allowed : function of a token, optional

        Returns
        -------
        list of int or None
            Distinct controls: of the pivots that other items have at the same rank one at random, else at the nearest
            rank, of two the better. None where no item has any that is left.
        """
        taken, drawn = set(excluded), []
        for rank in range(len(self._pivots[item])):
            near = sorted(range(len(self._ranks)), key=lambda other: (abs(other - rank), other))
            tokens = (token for other in near for token in self._shuffled(other, self._own[item]))
            found = next((one for one in tokens if one not in taken and (allowed is None or allowed(one))), None)
            if found is not None:
                taken.add(found)
            drawn.append(found)
        return drawn

    def _shuffled(self, rank: int, own: int) -> Iterator[int]:
        hashes, tokens = self._ranks[rank]
        order = _mixed(_mixed(hashes ^ np.uint64(own)) + np.uint64(rank))
        yield int(tokens[order.argmin()])  # mostly it is free, and the others need no order
        yield from tokens[np.argsort(order, kind="stable")[1:]].tolist()


def _hash(seed: int, key: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{key}".encode(), digest_size=8).digest(), "little")


def _generator(seed: int, key: str) -> np.random.Generator:
    return np.random.default_rng(_hash(seed, key))


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64: numbers that look random."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))

"""Tokens that stand beside pivots: of the same frequency, of the same form too, and the pivots of another item."""

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
    """Draws the pivots of another item of a pair of languages.

    Parameters
    ----------
    words : sequence of (str, str)
        The source and target of each item.
    pivots : sequence of (n,) int64
        The pivots of each item, best first.
    seed : int

    Notes
    -----
    All controls of an item are of one other item, as far as that has enough, and they may be pivots of the item itself:
    tokens that all items share must stand on both sides of a comparison, or pivots that are nothing but such tokens
    would seem to be the item's own. What is drawn depends on ``seed`` and on the words and pivots of the items, not on
    their order. Cost: one number per item of the pair.
    """

    def __init__(self, words: Sequence[tuple[str, str]], pivots: Sequence[NDArray[np.int64]], seed: int) -> None:
        self._pivots = pivots
        self._sizes = np.array([len(some) for some in pivots], np.int64)
        self._hashes = np.array([_hash(seed, "\0".join(both)) for both in words], np.uint64)
        self._sides = [np.unique([both[side] for both in words], return_inverse=True)[1] for side in (0, 1)]

    def donors(self, item: int) -> list[int]:
        """The items that share no word with ``item``, in random order; those with as many pivots come first."""
        free = np.logical_and(*(side != side[item] for side in self._sides))
        fewer = self._sizes < self._sizes[item]
        order = np.lexsort((_mixed(_mixed(self._hashes) ^ self._hashes[item]), fewer))
        found: list[int] = order[free[order]].tolist()
        return found

    def draw(self, item: int, excluded: Iterable[int], allowed: Condition | None = None) -> list[int | None]:
        """Draw one control per pivot of ``item``.

        Parameters
        ----------
        item : int
            Its place among the items of the pair.
        excluded : iterable of int
            Tokens that are never drawn.
        allowed : function of a token, optional

        Returns
        -------
        list of int or None
            Distinct controls: of the first donor the pivot of the same rank; where that is excluded or lacking, the
            best pivot that is left of the donors in turn. None where no donor has any.
        """
        taken, donors = set(excluded), self.donors(item)
        drawn: list[int | None] = [None] * len(self._pivots[item])

        def free(token: int) -> bool:
            return token not in taken and (allowed is None or allowed(token))

        for rank, token in enumerate(self._pivots[donors[0]][: len(drawn)].tolist() if donors else ()):
            if free(token):
                drawn[rank] = token
                taken.add(token)
        rest = (token for donor in donors for token in self._pivots[donor].tolist() if free(token))
        for rank, token in enumerate(drawn):
            if token is None and (found := next(rest, None)) is not None:
                drawn[rank] = found
                taken.add(found)
        return drawn


def _hash(seed: int, key: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{key}".encode(), digest_size=8).digest(), "little")


def _generator(seed: int, key: str) -> np.random.Generator:
    return np.random.default_rng(_hash(seed, key))


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64: numbers that look random."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))

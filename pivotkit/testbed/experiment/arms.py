"""The arms of the experiment: one selection of documents per rule, all of equal tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pivotkit.selection.choosing.select import select
from pivotkit.testbed.experiment.pool import Documents, Pool
from pivotkit.testbed.experiment.rewritten import code_switched, pivots_replaced
from pivotkit.testbed.world import Ints

QUOTAS = {"a": 0.5, "b": 0.5}
BEFORE = "before"  # the base model itself
GRID_ARMS = ("pivot-aware", "bilingual")
PIVOT, CO_OCCURRENCE = "pivot", "co-occurrence"  # behaviors; any other is of an item that is not solved


@dataclass(frozen=True)
class Chooser:
    """Selections from one pool.

    Parameters
    ----------
    pool : Pool
    tokens : int
        Tokens of each selection, separators included; the last document of each language may exceed them.
    seed : int
        Of every draw.
    behaviors : mapping of concept to sequence of str
        What the base model does with each item of the concept. Only `behavior_aware` reads it.
    """

    pool: Pool
    tokens: int
    seed: int
    behaviors: Mapping[int, tuple[str, ...]]

    def take(
        self,
        merit: NDArray[np.float64] | None = None,
        *,
        among: NDArray[np.bool_] | None = None,
        quotas: Mapping[str, float] | None = QUOTAS,
        tokens: int | None = None,
    ) -> Ints:
        """The places of the documents of highest merit, at random among equals, half of the tokens in each of A and B.

        Without ``merit`` at random; ``among`` says which may be taken. A language that has too little gives all it has.
        """
        table = self.pool.table
        if merit is not None:
            table = table.set_column(table.column_names.index("score"), "score", [merit])
        if among is not None:
            table = table.filter(among)
        chosen = select(
            table, budget_tokens=self.tokens if tokens is None else tokens, quotas=quotas, seed=self.seed,
            rule="random" if merit is None else "score", allow_shortfall=True,
        )  # fmt: skip
        return np.asarray(chosen["row"], dtype=np.int64)

    def share(self, tokens: Ints) -> NDArray[np.float64]:
        """The share of each document's tokens that are among ``tokens``; its separator is one of them."""
        found: NDArray[np.float64] = np.isin(self.pool.documents, tokens).sum(axis=1) / self.pool.lengths
        return found

    @cached_property
    def pivot_share(self) -> NDArray[np.float64]:
        """The score of `score_documents`."""
        return np.asarray(self.pool.table["score"], dtype=np.float64)

    @cached_property
    def pivot_aware(self) -> Ints:
        """The highest share of pivots, within A and B."""
        return self.take(self.pivot_share)

    @cached_property
    def bilingual(self) -> NDArray[np.bool_]:
        """Whether a document has words of two languages."""
        return np.asarray(np.char.str_len(self.pool.languages) == 2)

    def parallel(self, tokens: int | None = None) -> Ints:
        """Documents of A with B."""
        return self.take(self.pool.table["translation_pairs"].to_numpy().astype(float), tokens=tokens)

    def random_of(self, arm: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, arm])


def length_matched(of: Chooser) -> Ints:
    """Random documents, as many of each language and length as `Chooser.pivot_aware` has, or of the nearest length."""
    random = of.random_of(1)
    langs = np.array(of.pool.table["lang"].to_pylist())
    lengths = of.pool.lengths
    taken: list[int] = []
    for lang in QUOTAS:
        left: dict[int, list[int]] = {}
        for place in random.permutation(np.flatnonzero(langs == lang)).tolist():
            left.setdefault(int(lengths[place]), []).append(place)
        wanted = of.pivot_aware[langs[of.pivot_aware] == lang]
        for length in sorted(lengths[wanted].tolist()):
            nearest = min((known for known in left if left[known]), key=lambda known: (abs(known - length), known))
            taken.append(left[nearest].pop())
    return np.array(taken, dtype=np.int64)


def others_pivots(of: Chooser) -> Ints:
    """The highest share of pivots of concepts that are not asked, within A and B."""
    asked = {word for concept in of.pool.world.concepts if concept.held_out for word in concept.words.values()}
    other = [word not in asked for word in of.pool.pivots["source"].to_pylist()]
    return of.take(of.share(of.pool.pivots["token_id"].to_numpy()[other]))


def few_background(of: Chooser) -> Ints:
    """Documents of one language with the fewest background tokens."""
    size = len(of.pool.world.vocabulary)
    background = np.arange(size - of.pool.world.config.background, size)
    return of.take(1 - of.share(background), among=~of.bilingual)


def half_and_half(of: Chooser) -> Ints:
    """Half of the tokens pivot-aware, half parallel."""
    half = of.tokens // 2
    return np.concatenate([of.take(of.pivot_share, tokens=half), of.parallel(of.tokens - half)])


def behavior_aware(of: Chooser) -> Ints:
    """Each item is given what its behavior on the base model asks for, the same number of tokens for every item.

    An item that goes through a pivot is given documents with its pivots, one that goes by co-occurrence documents with
    both its words, and one that is not solved half of its tokens of each.
    """
    items = [(concept, shown) for concept, behaviors in of.behaviors.items() for shown in behaviors]
    through = sum({PIVOT: 1.0, CO_OCCURRENCE: 0.0}.get(shown, 0.5) for _, shown in items) / max(len(items), 1)
    rich = {concept for concept, shown in items if shown != CO_OCCURRENCE}
    beside = {concept for concept, shown in items if shown != PIVOT}
    words = [{word for at in chosen for word in of.pool.world.concepts[at].words.values()} for chosen in (rich, beside)]
    of_rich = [word in words[0] for word in of.pool.pivots["source"].to_pylist()]
    pivots = of.pool.pivots["token_id"].to_numpy()[of_rich]
    known = {word: place for place, word in enumerate(of.pool.world.vocabulary)}
    spoken = np.array(sorted(known[word] for word in words[1]), dtype=np.int64)
    pairs = of.pool.table["translation_pairs"].to_numpy() * (of.share(spoken) > 0)
    budget = round(of.tokens * through)
    parts = [
        of.take(of.share(pivots), tokens=budget) if budget else np.empty(0, dtype=np.int64),
        of.take(pairs, tokens=of.tokens - budget) if budget < of.tokens else np.empty(0, dtype=np.int64),
    ]
    return np.concatenate(parts)


ARMS: dict[str, Callable[[Chooser], Documents]] = {
    "random": lambda of: of.pool.texts(of.take(quotas=None)),
    "language-matched": lambda of: of.pool.texts(of.take()),
    "length-matched": lambda of: of.pool.texts(length_matched(of)),
    "pivot share, any language": lambda of: of.pool.texts(of.take(of.pivot_share, quotas=None)),
    "pivot-aware": lambda of: of.pool.texts(of.pivot_aware),
    "pivot-shuffled": lambda of: pivots_replaced(of.pool, of.pivot_aware, "pivots", of.random_of(2)),
    "others' pivots": lambda of: of.pool.texts(others_pivots(of)),
    "frequency-matched": lambda of: pivots_replaced(of.pool, of.pivot_aware, "others", of.random_of(3)),
    "anti-pivot": lambda of: of.pool.texts(of.take(-of.pivot_share)),
    "monolingual": lambda of: of.pool.texts(few_background(of)),
    "parallel": lambda of: of.pool.texts(of.parallel()),
    "bilingual": lambda of: of.pool.texts(of.take(among=of.bilingual)),
    "code-switched": lambda of: code_switched(of.pool, of.take(among=~of.bilingual), of.random_of(4)),
    "half and half": lambda of: of.pool.texts(half_and_half(of)),
    "behavior-aware": lambda of: of.pool.texts(behavior_aware(of)),
}

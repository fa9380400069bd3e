"""The three controls of every pivot of every item, and why some pivots have none."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pivotkit.arguments import check_strings, refuse, refuse_kind
from pivotkit.pivots.controls import Condition, FormMatched, FrequencyMatched, OtherItems
from pivotkit.pivots.item_pivots import ItemPivots
from pivotkit.pivots.rules import Allowed

CONTROLS = ("control", "matched", "other")
SIDES = ("source", "target")
NO_TOKEN = "no token is left"
NO_TEXT = "the texts of tokens are not known"
ALONE = "no other item of the pair has pivots"
TOO_FEW = "the other items have too few pivots"


class ItemControls:
    """Draws the controls of items, one after the other.

    Parameters
    ----------
    background : (V,) int64
    text : function of a token, or None
        Its text, which "matched" needs.
    seed : int
    """

    def __init__(self, background: NDArray[np.int64], text: Callable[[int], str] | None, seed: int) -> None:
        self._seed = seed
        known = np.flatnonzero(background)
        if text is not None:
            # An id that the tokenizer lacks, as a corpus's own end of documents, is no token to compare.
            known = np.array([token for token in known.tolist() if text(token)], np.int64)
        self._same_frequency = FrequencyMatched(background, seed, known)
        self._same_form = None if text is None else FormMatched(background, text, seed, known)
        self._drawn: dict[str, list[list[int | None]]] = {name: [] for name in CONTROLS}
        self._pairs: dict[str, list[int]] = defaultdict(list)  # the places of each pair's items
        self._items: list[tuple[tuple[str, str], ItemPivots, Condition | None]] = []
        self._absent: dict[str, Counter[str]] = {name: Counter() for name in CONTROLS}

    def add(
        self,
        pair: str,
        words: tuple[str, str],
        pivots: ItemPivots,
        allowed: Condition | None,
        look_alikes: Condition | None,
    ) -> None:
        """Draw for one item; ``allowed`` is what its pivots met, ``look_alikes`` the part that all controls meet."""
        tokens, key = pivots.token_ids.tolist(), "\0".join(words)
        excluded = {*tokens, *pivots.family}
        self._keep("control", self._same_frequency.draw(tokens, excluded, key, look_alikes), NO_TOKEN)
        if self._same_form is None:
            self._keep("matched", [None] * len(tokens), NO_TEXT)
        else:
            self._keep("matched", self._same_form.draw(tokens, excluded, key, allowed), NO_TOKEN)
        self._pairs[pair].append(len(self._items))
        self._items.append((words, pivots, allowed))

    def finish(self) -> tuple[dict[str, list[int | None]], dict[str, dict[str, int]]]:
        """The controls by name, of all pivots of all items in the order of `add`; how many have none, by reason."""
        others: list[list[int | None]] = [[] for _ in self._items]
        for places in self._pairs.values():
            own = [self._items[place] for place in places]
            tokens = [pivots.token_ids for _, pivots, _ in own]
            drawer = OtherItems([words for words, *_ in own], tokens, self._seed)
            for at, (place, (_, pivots, allowed)) in enumerate(zip(places, own, strict=True)):
                others[place] = drawer.draw(at, pivots.family, allowed)
                if None in others[place]:
                    alone = not any(len(tokens[donor]) for donor in drawer.donors(at))
                    self._count("other", others[place], ALONE if alone else TOO_FEW)
        self._drawn["other"] = others
        flat = {name: [token for own in parts for token in own] for name, parts in self._drawn.items()}
        return flat, {name: dict(reasons) for name, reasons in self._absent.items()}

    def _keep(self, name: str, tokens: list[int | None], reason: str) -> None:
        self._drawn[name].append(tokens)
        self._count(name, tokens, reason)

    def _count(self, name: str, tokens: list[int | None], reason: str) -> None:
        if None in tokens:
            self._absent[name][reason] += tokens.count(None)


def look_alikes_of(function: str, without: Any, items: Any, word_tokens: Any) -> list[list[str]]:
    """The words of each item whose look-alikes are left out.

    Parameters
    ----------
    function : str
        The function that errors name.
    without : sequence of str
        ``"source"``, ``"target"`` and languages.
    items : pyarrow.Table
    word_tokens : Any
    """
    names = check_strings(function, "without", without)
    if not names:
        return [[]] * items.num_rows
    languages = [name for name in names if name not in SIDES]
    told = languages and "words" in items.column_names
    known = [dict(words or ()) for words in items["words"].to_pylist()] if told else []
    for code in languages:
        if not any(code in words for words in known):
            refuse(function, "without", "be of source, target and languages that items have words of", code)
    if not hasattr(word_tokens, "variant"):
        refuse_kind(function, "word_tokens", "have variant to leave out look-alikes", word_tokens)
    found: list[list[str]] = [[] for _ in range(items.num_rows)]
    for name in names:
        own = items[name].to_pylist() if name in SIDES else [words.get(name) for words in known]
        for words, word in zip(found, own, strict=True):
            words.extend([word] if word else [])
    return found


def conditions(
    word_tokens: Any, allowed: Allowed | None, source: str, target: str, words: Sequence[str]
) -> tuple[Condition | None, Condition | None]:
    """What an item's pivots must meet, and the part of it that is to look like none of ``words``."""

    def foreign(token: int) -> bool:
        return not any(word_tokens.variant(token, word) for word in words)

    def meets(token: int) -> bool:
        return (allowed is None or allowed(token, source, target)) and foreign(token)

    return (None if allowed is None and not words else meets), (foreign if words else None)

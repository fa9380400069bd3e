"""The tokens whose mass a trace records: those of an item's words, its pivots, and what stands beside these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pivotkit.arguments import check_int, check_kind, elements
from pivotkit.artifacts import require_columns
from pivotkit.words.task import accepted_targets
from pivotkit.words.word_tokens import WordTokens

# Sets of tokens by the column of `find_pivots` that holds them: the pivots, and their three controls.
PIVOT_SETS = {"pivot": "token_id", "control": "control_id", "matched": "matched_id", "other": "other_id"}
CONTROLS = tuple(PIVOT_SETS)[1:]
RULE = "a table of find_pivots or a mapping of item to token ids"


ItemSets = dict[str, Mapping[int, Sequence[int]]]  # for each set the tokens of each item


def pivot_sets(pivots: pa.Table | Mapping[int, Sequence[int]] | None, items: pa.Table) -> ItemSets:
    """The sets of ``items`` that the argument ``pivots`` of `trace` gives."""
    check_kind("trace", "pivots", pivots, Mapping | pa.Table, RULE, none=True)
    if pivots is None:
        return {}
    wanted = items["item"].to_pylist()
    if isinstance(pivots, pa.Table):
        require_columns("trace", "pivots", pivots, ("item", "token_id"))
        own = pivots.filter(pc.is_in(pivots["item"], pa.array(wanted, pivots["item"].type)))
        return {name: _of_items(own, column) for name, column in PIVOT_SETS.items() if column in own.column_names}
    for item in pivots:
        check_int("trace", "pivots", item, 0)
    return {"pivot": {item: elements("trace", "pivots", pivots.get(item, ()), RULE) for item in wanted}}


def require_tokens_below(sets: ItemSets, vocabulary: int) -> None:
    """Refuse sets that hold anything but token ids below ``vocabulary``."""
    for tokens in (tokens for own in sets.values() for tokens in own.values()):
        for token in tokens:
            check_int("trace", "pivots", token, 0, vocabulary - 1)


def token_sets(
    row: dict[str, Any], appended: tuple[int, ...], word_tokens: WordTokens, latent: Sequence[str], sets: ItemSets
) -> list[list[int]]:
    """The token sets of one item behind the pieces appended to its prompt: source, target, ``latent``, then ``sets``.

    One is empty if the item has no such word or no pivots, or no token tells the word apart there.
    """
    words = dict(row["words"])

    def telling(word: str) -> tuple[int, ...]:
        return word_tokens.telling(word, appended)

    found = [list(telling(row["source"])), sorted(set().union(*map(telling, accepted_targets(row))))]
    found += [list(telling(words[code])) if code in words else [] for code in latent]
    return found + [sorted(set(own.get(row["item"], ()))) for own in sets.values()]


def _of_items(pivots: pa.Table, column: str) -> dict[int, list[int]]:
    """The tokens of each item in a column, without nulls."""
    found: dict[int, list[int]] = {}
    for item, token in zip(pivots["item"].to_pylist(), pivots[column].to_pylist(), strict=True):
        if token is not None:
            found.setdefault(item, []).append(token)
    return found

"""The corpus counts of each item's words."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pivotkit.corpus.matching.normal_form import normalize

Key = tuple[Hashable, str]


class ItemCounts:
    """The words, the concept and the counts of items, by item and pair.

    Words are looked up in their normalized form, in either direction.
    """

    def __init__(self, items: pa.Table, pairs: pa.Table, traces: pa.Table | None = None) -> None:
        self.rows = {key: row for row, key in enumerate(item_keys(items))}
        self.words = list(zip(items["source"].to_pylist(), items["target"].to_pylist(), strict=True))
        self.concepts = np.unique([str(concept) for concept in items["concept"].to_pylist()], return_inverse=True)[1]
        self._counts = _counts(pairs)
        self._tokens = None if traces is None else _tokens(traces)

    def one_spelling(self) -> set[Key]:
        """The items whose two words are one word in normalized form; such a word co-occurs with itself."""
        return {key for key, row in self.rows.items() if len(set(map(normal, self.words[row]))) == 1}

    def places(self, table: pa.Table, argument: str) -> NDArray[np.int64]:
        """The row of each item of ``table``, whose words, where it names them, must be those of the item."""
        keys = item_keys(table)
        unknown = next((key for key in keys if key not in self.rows), None)
        if unknown is not None:
            raise ValueError(
                f"attribute: items must hold every item of {argument}; got none for {unknown}: "
                "give tables that were made of the same items"
            )
        found = [self.rows[key] for key in keys]
        for place, name in enumerate(("source", "target")):
            for row, word in zip(found, table[name].to_pylist() if name in table.column_names else [], strict=False):
                if word != self.words[row][place]:
                    raise ValueError(
                        f"attribute: {argument} must be of these items; got {name} {word!r} where items have "
                        f"{self.words[row][place]!r}: give tables that were made of the same items"
                    )
        return np.asarray(found, dtype=np.int64)

    def counts(self, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """The documents with the source, the target and both, of the items of some rows; (3, n)."""
        found = [self._look_up(*self.words[place]) for place in places]
        return np.asarray(found, dtype=np.float64).reshape(-1, 3).T

    def tokens(self, places: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """How many tokens source and target have, of the items of some rows; (2, n). None where no trace says so."""
        if self._tokens is None:
            return None
        keys = list(self.rows)
        absent = next((keys[place] for place in places if keys[place] not in self._tokens), None)
        if absent is not None:
            raise ValueError(
                f"attribute: traces must hold every item of behaviors; got none for {absent}: "
                "give tables that were made of the same items"
            )
        return np.asarray([self._tokens[keys[place]] for place in places], dtype=np.float64).reshape(-1, 2).T

    def _look_up(self, source: str, target: str) -> tuple[int, int, int]:
        a, b = normal(source), normal(target)
        if (a, b) in self._counts:
            return self._counts[a, b]
        if (b, a) in self._counts:
            df_target, df_source, df_both = self._counts[b, a]
            return df_source, df_target, df_both
        raise ValueError(
            f"attribute: pairs must hold the words of every item; got none for {source!r} and {target!r}: "
            "count the corpus for these items"
        )


def item_keys(table: pa.Table) -> list[Key]:
    return list(zip(table["item"].to_pylist(), table["pair"].to_pylist(), strict=True))


def _tokens(traces: pa.Table) -> dict[Key, tuple[int, int]]:
    lengths = (pc.list_value_length(traces[name]).to_pylist() for name in ("source_pieces", "target_pieces"))
    return dict(zip(item_keys(traces), zip(*lengths, strict=True), strict=True))


def normal(word: str) -> str:
    """Return ``word`` as a watch list keeps it."""
    return " ".join(normalize(word).split())


def _counts(pairs: pa.Table) -> dict[tuple[str, str], tuple[int, int, int]]:
    counts: dict[tuple[str, str], tuple[int, int, int]] = {}
    row: dict[str, Any]
    for row in pairs.select(["source", "target", "df_source", "df_target", "df_both"]).to_pylist():
        source, target, df_source, df_target, df_both = row.values()
        if not 0 <= df_both <= min(df_source, df_target):
            raise ValueError(
                f"attribute: df_both must be between 0 and the documents of either word; got {df_both} for "
                f"{source!r} ({df_source}) and {target!r} ({df_target})"
            )
        counts[normal(source), normal(target)] = (df_source, df_target, df_both)
    return counts

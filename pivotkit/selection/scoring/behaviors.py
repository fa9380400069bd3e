"""What the behavior of items asks documents for: an item's pivots, both of its words, or half of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pivotkit.artifacts import require_columns, value_digest

STRICT = "strict"  # the rule of `classify` whose behaviors count
PIVOT, CO_OCCURRENCE, EXCLUDED = "pivot", "co-occurrence", "excluded"
UNSOLVED = "unsolved"  # any other behavior
BEHAVIOR_PIVOTS, BEHAVIOR_PAIRS = "behavior_pivots", "behavior_pairs"  # what documents have for either part
ASKING = {BEHAVIOR_PIVOTS: (PIVOT, UNSOLVED), BEHAVIOR_PAIRS: (CO_OCCURRENCE, UNSOLVED)}
Item: TypeAlias = int | str


@dataclass(frozen=True)
class Behaviors:
    """The behavior of each item under the strict rule.

    Attributes
    ----------
    of_items : mapping of item to {"pivot", "co-occurrence", "unsolved", "excluded"}
        At least one is not excluded.
    """

    of_items: Mapping[Item, str]

    def __repr__(self) -> str:
        return f"Behaviors({', '.join(f'{name}: {number}' for name, number in self.counts.items())})"

    @classmethod
    def of(cls, function: str, table: pa.Table) -> Behaviors:
        """Read the table of `classify`, the argument ``behaviors`` of ``function``.

        Raises
        ------
        TypeError, ValueError
            When it lacks a column; has no row of the strict rule, an item twice, or a row without item or behavior;
            when all items are excluded.
        """
        require_columns(function, "behaviors", table, ("item", "rule", "behavior"))
        rows = table.select(["item", "rule", "behavior"]).filter(pc.equal(table["rule"].cast(pa.string()), STRICT))
        if not rows.num_rows:
            told = f"hold rows of the rule {STRICT!r}; got none in {table.num_rows}"
            raise ValueError(f"{function}: behaviors must {told}")
        if nulls := rows["item"].null_count + rows["behavior"].null_count:
            raise ValueError(f"{function}: behaviors must have an item and a behavior in every row; got {nulls} nulls")
        items, shown = rows["item"].to_pylist(), rows["behavior"].to_pylist()
        known = (PIVOT, CO_OCCURRENCE, EXCLUDED)
        found = {item: name if name in known else UNSOLVED for item, name in zip(items, shown, strict=True)}
        if len(found) < len(items):
            told = f"hold each item once under the rule {STRICT!r}; got {len(items) - len(found)} rows more"
            raise ValueError(f"{function}: behaviors must {told}")
        if set(found.values()) == {EXCLUDED}:
            raise ValueError(f"{function}: behaviors must hold an item that is not excluded; got {len(found)} that are")
        return cls(found)

    @property
    def counts(self) -> dict[str, int]:
        """How many items show each behavior."""
        counted = Counter(self.of_items.values())
        return {name: counted[name] for name in (PIVOT, CO_OCCURRENCE, UNSOLVED, EXCLUDED)}

    @property
    def digest(self) -> str:
        """Of what each item shows."""
        return value_digest(sorted([str(item), shown] for item, shown in self.of_items.items()))

    @property
    def pivot_share(self) -> Fraction:
        """The part of a budget that pivots get: that of the pivot items, and half of that of the unsolved ones.

        >>> Behaviors({0: "pivot", 1: "co-occurrence", 2: "unsolved", 3: "unsolved", 4: "excluded"}).pivot_share
        Fraction(1, 2)
        """
        counts = self.counts
        asking = counts[PIVOT] + counts[CO_OCCURRENCE] + counts[UNSOLVED]
        return Fraction(2 * counts[PIVOT] + counts[UNSOLVED], 2 * asking)

    def asking(self, column: str) -> int:
        """How many items ask for documents with much in this column of `ASKING`."""
        return sum(self.counts[name] for name in ASKING[column])

    def rows_for(self, function: str, argument: str, table: pa.Table, column: str) -> NDArray[np.bool_]:
        """Which rows are of items that ask for this column; ValueError where ``table`` has none of the items.

        Items of which no behavior is known ask for nothing.
        """
        items = table["item"].to_pylist()
        if not any(item in self.of_items for item in items):
            raise ValueError(f"{function}: behaviors must be of items of {argument}; got none of them")
        return np.array([self.of_items.get(item) in ASKING[column] for item in items], np.bool_)

    def told(self) -> dict[str, Any]:
        """What the metadata of scores say."""
        return {"items": self.counts, "digest": self.digest}

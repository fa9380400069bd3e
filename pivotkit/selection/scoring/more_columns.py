"""What a table of document scores has beside the score: further scores of the same tokens, pairs, and places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pivotkit.arguments import check_strings, check_text
from pivotkit.artifacts import require_columns
from pivotkit.corpus.reading.units import Unit
from pivotkit.selection.scoring.behaviors import BEHAVIOR_PIVOTS, Behaviors
from pivotkit.selection.scoring.document_score import DocumentScore, Pivots, Totals, Weights, document_score

BEHAVIOR = "behavior"
MORE = ("distinct", "weighted", "pairs", "file_name", "folder", BEHAVIOR)
FIELDS: dict[str, tuple[pa.Field, ...]] = {
    "distinct": (pa.field("distinct", pa.int32()),),
    "weighted": (pa.field("weighted", pa.float64()),),
    "pairs": (pa.field("pair", pa.string()), pa.field("pairs", pa.int32())),
    "file_name": (pa.field("file_name", pa.string()),),
    "folder": (pa.field("folder", pa.string()),),
    BEHAVIOR: (pa.field(BEHAVIOR_PIVOTS, pa.int32()),),
}


@dataclass(frozen=True)
class MoreColumns:
    """Checked further columns.

    Attributes
    ----------
    names : tuple of str
        Of `MORE`, in that order.
    scores : list of DocumentScore
        What is scored for them, in their order; for "pairs" one for each pair.
    pairs : list of str
    behaviors : Behaviors or None
        Of the items whose pivots "behavior" counts.
    """

    names: tuple[str, ...]
    scores: list[DocumentScore] = field(default_factory=list)
    pairs: list[str] = field(default_factory=list)
    behaviors: Behaviors | None = None

    @classmethod
    def of(
        cls, function: str, names: Any, pivots: Pivots, vocab_size: int, weights: Weights | None, dtype: Any,
        behaviors: Behaviors | None = None,
    ) -> MoreColumns:  # fmt: skip
        listed = check_strings(function, "columns", names)
        for name in listed:
            check_text(function, "columns", name, MORE)
        if (BEHAVIOR in listed) != (behaviors is not None):
            told, got = ("None unless columns hold", "a table") if behaviors else ("given for", "None")
            raise ValueError(f"{function}: behaviors must be {told} {BEHAVIOR!r}; got {got}")
        wanted = tuple(name for name in MORE if name in listed)
        scores, pairs = list[DocumentScore](), list[str]()
        for name in wanted:
            if name in ("distinct", "weighted"):
                used = weights if name == "weighted" else None
                scores.append(document_score(function, pivots, vocab_size, name, used, dtype))
            elif name == "pairs":
                pairs, shares = _pair_scores(function, pivots, vocab_size)
                scores += shares
            elif name == BEHAVIOR and behaviors is not None:
                scores.append(_behavior_score(function, pivots, vocab_size, behaviors))
        return cls(wanted, scores, pairs, behaviors)

    @property
    def fields(self) -> list[pa.Field]:
        return [one for name in self.names for one in FIELDS[name]]

    def identity(self) -> dict[str, Any]:
        """What the columns of a document depend on besides its ids."""
        asked = {} if self.behaviors is None else {"behaviors": self.behaviors.digest}
        more = [score.identity() for score in self.scores]
        return {"columns": list(self.names), "pairs": self.pairs, "more": more, **asked}

    def arrays(self, unit: Unit, totals: Totals, rows: NDArray[np.int64]) -> list[pa.Array]:
        """The columns of documents that stand in these rows of a unit's file."""
        left, size = list(totals.more), len(totals.tokens)
        found: list[pa.Array] = []
        for name in self.names:
            if name in ("distinct", BEHAVIOR):
                found.append(pa.array(left.pop(0).astype(np.int32)))
            elif name == "weighted":
                found.append(pa.array(left.pop(0)))
            elif name == "pairs":
                found += _pairs(np.stack(left[: len(self.pairs)], axis=1), self.pairs, rows)
                left = left[len(self.pairs) :]
            else:
                told = unit.path.name if name == "file_name" else unit.path.parent.name
                found.append(pa.repeat(pa.scalar(told, pa.string()), size))
        return found


def _behavior_score(function: str, pivots: Pivots, vocab_size: int, behaviors: Behaviors) -> DocumentScore:
    """The pivots of the items that ask for pivots. A token that several items have counts where one of them asks."""
    if not isinstance(pivots, pa.Table) or "item" not in pivots.column_names:
        told = f"not hold {BEHAVIOR!r} unless pivots is a table with the column item"
        raise ValueError(f"{function}: columns must {told}; got none")
    require_columns(function, "pivots", pivots, ("token_id", "item"))
    is_pivot = np.zeros(vocab_size, np.bool_)
    is_pivot[pivots["token_id"].to_numpy()[behaviors.rows_for(function, "pivots", pivots, BEHAVIOR_PIVOTS)]] = True
    return DocumentScore("count", is_pivot)


def _pair_scores(function: str, pivots: Pivots, vocab_size: int) -> tuple[list[str], list[DocumentScore]]:
    """Each pair's pivots, where a token that serves n pairs counts 1 / n for each of them."""
    if not isinstance(pivots, pa.Table) or "pair" not in pivots.column_names:
        raise ValueError(f"{function}: columns must not hold 'pairs' unless pivots is a table with the column pair")
    require_columns(function, "pivots", pivots, ("token_id", "pair"))
    rows = pa.table({"token": pivots["token_id"].cast(pa.int64()), "pair": pivots["pair"].cast(pa.string())})
    if rows["pair"].null_count:
        raise ValueError(f"{function}: pivots must have a pair in every row; got {rows['pair'].null_count} nulls")
    rows = rows.group_by(["token", "pair"]).aggregate([])
    names = sorted(pc.unique(rows["pair"]).to_pylist())
    tokens, pairs = rows["token"].to_numpy(), np.asarray(pc.index_in(rows["pair"], pa.array(names)))
    served = np.bincount(tokens, minlength=vocab_size)
    scores = []
    for place in range(len(names)):
        weights = np.zeros(vocab_size, np.float32)
        mine = tokens[pairs == place]
        weights[mine] = 1 / served[mine]
        scores.append(DocumentScore("weighted", weights > 0, weights))
    return names, scores


def _pairs(shares: NDArray[np.float64], names: Sequence[str], rows: NDArray[np.int64]) -> list[pa.Array]:
    """The pair that has most of each document's pivots, null without any, and how many pairs have some.

    Of k pairs that have equally much, the one at place ``row % k`` counts.
    """
    if not len(shares):
        return [pa.array([], pa.string()), pa.array([], pa.int32())]
    covered, most = (shares > 0).sum(axis=1), shares == shares.max(axis=1, keepdims=True)
    wanted = rows % most.sum(axis=1) + 1
    place = ((np.cumsum(most, axis=1) == wanted[:, None]) & most).argmax(axis=1)
    pair = pa.array(names, pa.string()).take(pa.array(place, mask=covered == 0))
    return [pair, pa.array(covered.astype(np.int32))]

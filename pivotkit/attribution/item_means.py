"""Means over items with intervals over concepts, and the layers that they are taken over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pivotkit.arguments import check_int, elements
from pivotkit.artifacts import require_columns
from pivotkit.bootstrap import Estimate, estimate, mean_of_clusters
from pivotkit.lens.positions import ANSWER, at_blocks

POOLED = "all"
LEAST_CONCEPTS = 10  # with fewer, resamples of concepts say little about others
CONTROLS = {
    "control": "tokens of the same frequency",
    "matched": "tokens of the same frequency and form",
    "other": "the pivots of other items of the pair",
}
FEW = f"fewer than {LEAST_CONCEPTS} concepts"


@dataclass(frozen=True)
class AnswerRows:
    """The rows of a trace at the answer, in some layers.

    Attributes
    ----------
    table : pyarrow.Table
    layers : list of int
    concepts : mapping of item to concept
    """

    table: pa.Table
    layers: list[int]
    concepts: Mapping[int, str]

    def __repr__(self) -> str:
        return f"AnswerRows(rows={self.table.num_rows}, layers={self.layers})"


def answer_rows(function: str, traces: pa.Table, items: pa.Table, layers: Any, columns: Sequence[str]) -> AnswerRows:
    """Rows of ``traces`` labelled ``answer`` in ``layers``, by default the second half of the blocks without the last.

    Of two blocks or one that is the first. The last layer is the answer itself, and the first half of a raw lens shows
    what all items share.

    Raises
    ------
    TypeError, ValueError
        A column is missing, no row is labelled ``answer``, ``items`` lacks an item of ``traces`` or has it in another
        pair, or ``layers`` names a layer that is not traced.
    """
    require_columns(function, "traces", traces, ("item", "pair", "layer", "label", *columns))
    require_columns(function, "items", items, ("item", "pair", "concept"))
    table = at_blocks(traces).filter(pc.field("label") == ANSWER)
    if not table.num_rows:
        raise ValueError(f"{function}: traces must have rows labelled answer; got none")
    known = {row["item"]: row for row in items.select(["item", "pair", "concept"]).to_pylist()}
    for item, pair in {*zip(table["item"].to_pylist(), table["pair"].to_pylist(), strict=True)}:
        if item not in known or known[item]["pair"] != pair:
            raise ValueError(f"{function}: items must hold every item of traces; got none of item {item} of {pair}")
    traced = set(table["layer"].to_pylist())
    blocks = max(traced)
    if layers is None:
        first, last = min(blocks // 2 + 1, blocks - 1) or 1, max(blocks - 1, 1)
        chosen = [layer for layer in sorted(traced) if first <= layer <= last]
    else:
        chosen = elements(function, "layers", layers, "a sequence of layers or None")
        for layer in chosen:
            check_int(function, "layers", layer, 0)
            if layer not in traced:
                raise ValueError(f"{function}: layers must be of traces, which have 0 to {blocks}; got {layer}")
    if not chosen:
        raise ValueError(f"{function}: layers must be at least one that is traced; got none")
    kept = table.filter(pc.is_in(table["layer"], pa.array(chosen, table["layer"].type)))
    concepts = {item: str(row["concept"]) for item, row in known.items()}
    return AnswerRows(kept, sorted({int(layer) for layer in chosen}), concepts)


def means(
    values: Mapping[str, NDArray[np.float64]], concepts: Sequence[str], *, resamples: int, seed: int, key: str
) -> dict[str, Estimate]:
    """The mean of each of several values over items, with its interval over concepts; none of fewer than 10 concepts.

    A concept is drawn with all of its items.
    """
    names, clusters = np.unique(np.asarray(concepts, dtype=str), return_inverse=True)
    statistics = {name: mean_of_clusters(own, clusters, len(names)) for name, own in values.items()}
    if len(names) < LEAST_CONCEPTS:
        resamples = 0
    return estimate(statistics, len(names), resamples=resamples, seed=seed, key=key)

"""Are the corpus's pivots the model's? The mass of pivots in the model's layers, beside that of their controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.arguments import check_int
from pivotkit.artifacts import with_metadata
from pivotkit.attribution.item_means import (
    CONTROLS,
    FEW,
    LEAST_CONCEPTS,
    POOLED,
    answer_rows,
    means,
)
from pivotkit.bootstrap import MOST_RESAMPLES

TELLING = "other"  # the control that a claim stands on
PIVOT_MASS = pa.schema(
    [("pair", pa.string()), ("against", pa.string()), ("layers", pa.list_(pa.int32())), ("items", pa.int32()),
     ("concepts", pa.int32()), ("left_out", pa.int32()), ("mass", pa.float64()), ("control_mass", pa.float64()),
     ("difference", pa.float64()), ("low", pa.float64()), ("high", pa.float64()), ("ratio", pa.float64()),
     ("above", pa.float64()), ("claim", pa.bool_()), ("sentence", pa.string()), ("reason", pa.string())]
)  # fmt: skip


def pivot_mass(
    traces: pa.Table,
    items: pa.Table,
    *,
    layers: Sequence[int] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> pa.Table:
    """Compare the probability that layers give the corpus's pivots with what they give the pivots' controls.

    Formula: an item's mass is ``mean over layers of exp(pivot_logmass)``; the difference is the mean over items of its
    mass less that of its control, at the answer position.

    Parameters
    ----------
    traces : pyarrow.Table
        The result of `trace` with ``pivots`` a table of `find_pivots`.
    items : pyarrow.Table
        Columns ``item, pair, concept``: every item of ``traces``.
    layers : sequence of int, optional
        By default the second half of the blocks without the last, which is the answer itself.
    bootstrap : int, default 1000
        Resamples per interval; 0 gives no intervals.
    seed : int, default 0
        Seeds the resamples.

    Returns
    -------
    pyarrow.Table
        One row per pair and control, then those of all pairs together ("all"). Columns ``pair``; ``against``, which is
        ``"control"`` (tokens of the same frequency), ``"matched"`` (and of the same form) or ``"other"`` (the pivots of
        other items of the pair); ``layers``; ``items, concepts``, which are compared; ``left_out``, items that have
        pivots but fewer tokens of the control than pivots, whose masses would not compare; ``mass, control_mass,
        difference``; ``low, high``, its 95 % interval; ``ratio`` of the masses; ``above``, the share of items whose
        pivots have more than the control, which a few items of high mass do not move; ``sentence``; ``reason``, why
        there is no interval. ``claim``, null but against "other", says whether the corpus's pivots are the model's: the
        interval of the difference to other items' pivots lies above 0.

    Raises
    ------
    TypeError
        An argument is of another kind.
    ValueError
        A column is missing, no row is labelled ``answer``, ``items`` lacks an item of ``traces``, ``layers`` names one
        that is not traced, or ``bootstrap`` or ``seed`` is out of range.

    Notes
    -----
    Tokens of the same frequency are too weak a control: digits and markup, which every prompt brings up, pass it. What
    all items share, other items' pivots have too. Intervals are percentiles 2.5 and 97.5 over resamples of concepts
    with replacement; fewer than 10 concepts have none. Pivots that spell the concept in another language count as any
    other; `find_pivots` leaves them out with ``without``. Cost: one pass over the rows at the answer.

    Examples
    --------
    >>> from math import log
    >>> names = [f"word {number}" for number in range(12)]
    >>> items = pa.table({"item": range(12), "pair": ["fr-de"] * 12, "concept": names})
    >>> traces = pa.table({"item": range(12), "pair": ["fr-de"] * 12, "layer": [1] * 12, "label": ["answer"] * 12,
    ...     "pivot_ids": [[1, 2]] * 12, "other_ids": [[3, 4]] * 12,
    ...     "pivot_logmass": [log(0.4)] * 12, "other_logmass": [log(0.1)] * 12})
    >>> row = pivot_mass(traces, items, layers=[1]).to_pylist()[0]
    >>> row["against"], row["claim"], round(row["difference"], 3)
    ('other', True, 0.3)
    """
    check_int("pivot_mass", "bootstrap", bootstrap, 0, MOST_RESAMPLES)
    check_int("pivot_mass", "seed", seed, 0)
    read = answer_rows("pivot_mass", traces, items, layers, ("pivot_logmass", "pivot_ids"))
    known = [name for name in CONTROLS if f"{name}_logmass" in read.table.column_names]
    if not known:
        raise ValueError(
            "pivot_mass: traces must have a control's mass (trace with a table of find_pivots); got none named "
            f"{', '.join(f'{name}_logmass' for name in CONTROLS)}"
        )
    table = read.table.sort_by([("item", "ascending"), ("layer", "ascending")])
    held = len(read.layers)
    numbers = table["item"].to_numpy()
    if not np.array_equal(table["layer"].to_numpy(), np.tile(read.layers, len(numbers) // held)) or (
        (numbers[::held].repeat(held) != numbers).any() or len(np.unique(numbers)) * held != len(numbers)
    ):
        raise ValueError("pivot_mass: traces must have each of the layers of every item once; got others")
    firsts = table.take(np.arange(0, len(numbers), held))
    pairs = np.asarray(firsts["pair"].to_pylist(), dtype=object)
    concepts = np.asarray([read.concepts[item] for item in firsts["item"].to_pylist()], dtype=object)
    sizes = {name: _sizes(firsts, name) for name in ("pivot", *known)}
    masses = {name: _masses(table, name, held) for name in ("pivot", *known)}
    rows = []
    for pair in (*dict.fromkeys(pairs.tolist()), POOLED):
        own = (pairs == pair) | (pair == POOLED)
        for name in known:
            having = own & (sizes["pivot"] > 0)
            compared = having & (sizes[name] >= sizes["pivot"])
            values = {"mass": masses["pivot"][compared], "control_mass": masses[name][compared]}
            values["difference"] = values["mass"] - values["control_mass"]
            whose = concepts[compared].tolist()
            found = means(values, whose, resamples=bootstrap, seed=seed, key=f"mass\0{pair}\0{name}")
            apart = found["difference"]
            row: dict[str, Any] = {
                "pair": pair, "against": name, "layers": read.layers, "items": len(whose), "concepts": len(set(whose)),
                "left_out": int(having.sum() - compared.sum()), "mass": found["mass"].value,
                "control_mass": found["control_mass"].value, "difference": apart.value, "low": apart.low,
                "high": apart.high, "ratio": _ratio(found["mass"].value, found["control_mass"].value),
                "above": float((values["difference"] > 0).mean()) if whose else None,
            }  # fmt: skip
            row["reason"] = _reason(row, bool(having.any()))
            row["claim"] = (row["low"] is not None and row["low"] > 0) if name == TELLING else None
            rows.append(row | {"sentence": _sentence(row)})
    metadata = {"layers": read.layers, "bootstrap": bootstrap, "seed": seed, "least_concepts": LEAST_CONCEPTS}
    return with_metadata(pa.Table.from_pylist(rows, schema=PIVOT_MASS), metadata)


def _sizes(table: pa.Table, name: str) -> NDArray[np.int64]:
    return np.array([len(ids or ()) for ids in table[f"{name}_ids"].to_pylist()], np.int64)


def _masses(table: pa.Table, name: str, layers: int) -> NDArray[np.float64]:
    """The mean of an item's masses over the layers; NaN where the item has no such tokens."""
    logs = table[f"{name}_logmass"].cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.asarray(np.exp(logs).reshape(-1, layers).mean(axis=1))


def _ratio(mass: float | None, control: float | None) -> float | None:
    return mass / control if mass is not None and control else None


def _reason(row: dict[str, Any], pivots: bool) -> str | None:
    """Why there is no interval."""
    if row["low"] is not None:
        return None
    if not row["items"]:
        return "no item has as many tokens of this control as pivots" if pivots else "no item has pivots"
    return FEW if row["concepts"] < LEAST_CONCEPTS else "no intervals were asked for"


def _sentence(row: dict[str, Any]) -> str:
    """What a row says, in words."""
    pair = "all pairs" if row["pair"] == POOLED else row["pair"]
    if row["low"] is None:
        return f"{pair}: nothing can be said against {CONTROLS[row['against']]}: {row['reason']}."
    more = "more" if row["low"] > 0 else "less" if row["high"] < 0 else "neither more nor less"
    numbers = f"{row['mass']:.2g} against {row['control_mass']:.2g}, difference {row['difference']:.2g}"
    told = f"{numbers} [{row['low']:.2g}, {row['high']:.2g}], {row['items']} items"
    what = (
        f"{pair}: the layers give the pivots of the corpus {more} probability than {CONTROLS[row['against']]}: {told}."
    )
    if row["claim"] is None:
        return what
    return what + (" The corpus's pivots are the model's." if row["claim"] else " No claim follows.")

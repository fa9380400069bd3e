"""Mean effects of interventions, and their paired differences from the controls, with intervals over concepts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.arguments import check_int, check_strings
from pivotkit.artifacts import require_columns, table_metadata, with_metadata
from pivotkit.bootstrap import MOST_RESAMPLES, estimate, mean_of_clusters

GROUP = ("intervention", "direction", "control", "mean", "strength")
# Differences besides those of the pivot's own edit: the pivot's own part against what another item's pivot does.
PAIRED = (("orthogonal", "other"), ("orthogonal-equal", "other"))

_KINDS = {"layer": pa.int32(), "mean": pa.bool_(), "strength": pa.float32()}
_VALUES = ("delta_logprob", "delta_rank", "delta_other_logprob", "removed")
_COLUMNS = ("item", "pair", "concept", "layer", "intervention", "direction", "control", "mean", "removed", "class",
            "strength", *_VALUES[:3])  # fmt: skip

Key = tuple[Any, ...]


def causal_effects(
    table: pa.Table, *, by: Sequence[str] = ("layer", "class"), resamples: int = 1000, seed: int = 0
) -> pa.Table:
    """Sum up a causal test: the mean effect of each intervention and control, and of each pair of controls.

    Equivalent to ``table.group_by(...).aggregate([("delta_logprob", "mean")])``, and the same of the differences
    ``own - control`` within an item, layer and class.

    Parameters
    ----------
    table : pyarrow.Table
        The result of `causal_test`.
    by : sequence of str, default ("layer", "class")
        Columns of ``table`` to group by: of ``"pair"``, ``"layer"`` and ``"class"``.
    resamples : int, default 1000
        Of the bootstrap.
    seed : int, default 0
        Of the bootstrap. Every group draws its own resamples.

    Returns
    -------
    pyarrow.Table
        Columns ``*by, intervention, direction, control, mean, strength, against, items, concepts, delta_logprob, low,
        high, delta_rank, delta_other_logprob, removed``. ``against`` is null for a mean, and names the control that is
        subtracted for a difference: every control from ``own``, and ``other`` from ``orthogonal`` and
        ``orthogonal-equal``. A difference is over the items that have both. ``items`` counts rows, ``concepts`` the
        concepts among them. ``low`` and ``high`` bound ``delta_logprob`` at 95 %: percentiles over resampled concepts;
        null for a single concept. The other columns are means over the rows that have a value.

    Raises
    ------
    TypeError
        ``table`` is no table, or a column is of another kind.
    ValueError
        A column is missing, a name of ``by`` is unknown, or ``resamples`` or ``seed`` is out of range.

    Notes
    -----
    The mean is over items, so a concept counts as often as it has items. Rows are ordered by group, intervention and
    control. Cost: ``resamples`` weighted sums over the concepts per row of the result.
    """
    require_columns("causal_effects", "table", table, _COLUMNS)
    by = list(dict.fromkeys(check_strings("causal_effects", "by", by)))
    for name in by:
        if name not in ("pair", "layer", "class"):
            raise ValueError(f"causal_effects: by must be of pair, layer, class; got {name[:60]!r}")
    check_int("causal_effects", "resamples", resamples, 1, MOST_RESAMPLES)
    check_int("causal_effects", "seed", seed, 0)
    groups: dict[Key, list[dict[str, Any]]] = defaultdict(list)
    for row in table.select(_COLUMNS).to_pylist():
        groups[tuple(row[name] for name in by)].append(row)
    found = []
    for group in sorted(groups, key=lambda key: tuple((value is not None, value) for value in key)):
        for summed in _effects(groups[group], resamples, seed, str(group)):
            found.append(dict(zip(by, group, strict=True)) | summed)
    names = [*by, *GROUP, "against", "items", "concepts", "delta_logprob", "low", "high", *_VALUES[1:]]
    counted = dict.fromkeys(("items", "concepts"), pa.int32())
    measured = dict.fromkeys(("delta_logprob", "low", "high", *_VALUES[1:]), pa.float64())
    kinds = _KINDS | counted | measured
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in names])
    summary = pa.Table.from_pylist(found, schema=schema)
    return with_metadata(summary, {"causal": table_metadata(table), "resamples": resamples, "seed": seed, "by": by})


def _effects(rows: Sequence[dict[str, Any]], resamples: int, seed: int, key: str) -> list[dict[str, Any]]:
    """The rows of the result for one group."""
    concepts = {concept: at for at, concept in enumerate(dict.fromkeys(row["concept"] for row in rows))}
    cells: dict[Key, dict[Key, dict[str, Any]]] = defaultdict(dict)  # by what was done, then by what it was done to
    for row in rows:
        done = tuple(row[name] for name in GROUP)
        cells[done][row["item"], row["layer"], row["class"]] = row
    summed: list[tuple[Key, str | None, list[str], NDArray[np.float64]]] = []
    for done, subjects in cells.items():
        summed.append((done, None, [row["concept"] for row in subjects.values()], _values(subjects.values())))
        control = done[2]
        for first, against in (*(("own", other[2]) for other in cells if control == "own" and _alike(done, other)),
                               *(one for one in PAIRED if one[0] == control)):  # fmt: skip
            other = (*done[:2], against, *done[3:])
            both = [subject for subject in subjects if subject in cells.get(other, ())]
            if first == control and against != control and both:
                apart = _values(subjects[one] for one in both) - _values(cells[other][one] for one in both)
                summed.append((done, against, [subjects[one]["concept"] for one in both], apart))
    statistics = {
        str(number): mean_of_clusters(values[:, 0], np.array([concepts[one] for one in whose]), len(concepts))
        for number, (_, _, whose, values) in enumerate(summed)
    }
    found = estimate(statistics, len(concepts), resamples=resamples, seed=seed, key=key)
    result = []
    for number, (done, against, whose, values) in enumerate(summed):
        middle, several = found[str(number)], len(set(whose)) > 1
        row = dict(zip(GROUP, done, strict=True)) | {"against": against}
        row |= {"items": len(whose), "concepts": len(set(whose))}
        row |= {"delta_logprob": middle.value, "low": middle.low if several else None}
        row |= {"high": middle.high if several else None}
        for name, column in zip(_VALUES[1:], values.T[1:], strict=True):
            held = column[~np.isnan(column)]
            row[name] = float(held.mean()) if len(held) else None
        result.append(row)
    return result


def _alike(done: Key, other: Key) -> bool:
    """Whether two cells differ in their control alone."""
    return (*done[:2], *done[3:]) == (*other[:2], *other[3:]) and done != other


def _values(rows: Any) -> NDArray[np.float64]:
    """The columns `_VALUES` of rows; NaN for null."""
    return np.array([[np.nan if row[name] is None else row[name] for name in _VALUES] for row in rows], np.float64)

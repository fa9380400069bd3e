"""Are the tokens that a layer holds for an item among the pivots that the corpus has for it?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pivotkit.arguments import check_int, check_number
from pivotkit.artifacts import require_columns, with_metadata
from pivotkit.attribution.item_means import (
    CONTROLS,
    FEW,
    LEAST_CONCEPTS,
    POOLED,
    answer_rows,
    means,
)
from pivotkit.bootstrap import MOST_RESAMPLES
from pivotkit.lens.specific_tokens import LEAST_CONTRAST, LEAST_PROBABILITY, find_specific_tokens
from pivotkit.words.token_classes import PIVOT

BINS = {"1-5": (1, 5), "6-20": (6, 20), "21-100": (21, 100), "over 100": (101, None)}  # documents of the rarer word
PIVOT_AGREEMENT = pa.schema(
    [("pair", pa.string()), ("documents", pa.string()), ("against", pa.string()), ("layers", pa.list_(pa.int32())),
     ("items", pa.int32()), ("concepts", pa.int32()), ("left_out", pa.int32()), ("tokens", pa.int32()),
     ("share", pa.float64()), ("control_share", pa.float64()), ("difference", pa.float64()), ("low", pa.float64()),
     ("high", pa.float64()), ("reason", pa.string())]
)  # fmt: skip


def pivot_agreement(
    traces: pa.Table,
    pivots: pa.Table,
    items: pa.Table,
    *,
    layers: Sequence[int] | None = None,
    least_contrast: float = LEAST_CONTRAST,
    least_probability: float = LEAST_PROBABILITY,
    bootstrap: int = 1000,
    seed: int = 0,
) -> pa.Table:
    """Count how many of the tokens that layers hold for an item are pivots of the corpus, and how many are controls.

    Formula: an item's share is ``|S & P| / |S|``, S its distinct specific tokens of the class pivot in any of the
    layers (`specific_tokens`) and P its pivots; the difference is the mean over items of the share of P less that of a
    control.

    Parameters
    ----------
    traces : pyarrow.Table
        The result of `trace`, with contrasts.
    pivots : pyarrow.Table
        The result of `find_pivots` for the same items.
    items : pyarrow.Table
        Columns ``item, pair, concept, source, target, words``: every item of ``traces`` and ``pivots``.
    layers : sequence of int, optional
        By default the second half of the blocks without the last, which is the answer itself.
    least_contrast, least_probability : float
        As in `specific_tokens`: log 100 and 0.05.
    bootstrap : int, default 1000
        Resamples per interval; 0 gives no intervals.
    seed : int, default 0
        Seeds the resamples.

    Returns
    -------
    pyarrow.Table
        One row per group and control: each pair, all pairs together ("all"), and these by the documents of the rarer
        word: ``documents`` is "all", "1-5", "6-20", "21-100" or "over 100". Columns ``pair, documents``; ``against``,
        ``layers`` as in `pivot_mass`; ``items, concepts``, which have such tokens and pivots, and as many tokens of the
        control as pivots; ``left_out``, which have fewer; ``tokens``, all specific tokens of these items; ``share``,
        ``control_share``, ``difference``; ``low, high``, its 95 % interval; ``reason``, why there is none. The metadata
        counts the traced items without contrasts, specific tokens or pivots.

    Raises
    ------
    TypeError
        An argument is of another kind.
    ValueError
        A column is missing, no row is labelled ``answer``, ``items`` lacks an item of ``traces`` or ``pivots`` or has
        it in another pair, ``layers`` names one that is not traced, or a number is out of range.

    Notes
    -----
    Specific tokens of source and target are not looked for: they are no pivots of the corpus by definition. Tokens are
    compared by id. Contrasts need 10 items of a pair. Intervals are percentiles 2.5 and 97.5 over resamples of concepts
    with replacement; fewer than 10 concepts have none. Cost: `specific_tokens`, and one look-up per specific token.

    Examples
    --------
    >>> import pivotkit as pk
    >>> agreement = pk.pivot_agreement(traces, pivots, items)  # doctest: +SKIP
    >>> agreement.filter(pc.field("against") == "other")  # doctest: +SKIP
    """
    name = "pivot_agreement"
    columns = [f"{control}_id" for control in CONTROLS if f"{control}_id" in getattr(pivots, "column_names", ())]
    require_columns(name, "pivots", pivots, ("item", "pair", "token_id", "df_source", "df_target", *columns))
    if not columns:
        raise ValueError(f"{name}: pivots must have a control; got none named {', '.join(f'{c}_id' for c in CONTROLS)}")
    check_number(name, "least_contrast", least_contrast, 0)
    check_number(name, "least_probability", least_probability, 0, 1)
    check_int(name, "bootstrap", bootstrap, 0, MOST_RESAMPLES)
    check_int(name, "seed", seed, 0)
    read = answer_rows(name, traces, items, layers, ("top_contrasts",))
    pair_of = dict(zip(items["item"].to_pylist(), items["pair"].to_pylist(), strict=True))
    for item, pair in {*zip(pivots["item"].to_pylist(), pivots["pair"].to_pylist(), strict=True)}:
        if pair_of.get(item) != pair:
            raise ValueError(f"{name}: items must hold every item of pivots; got none of item {item} of {pair}")
    specific = find_specific_tokens(name, read.table, items, least_contrast, least_probability)
    shown: dict[int, set[int]] = defaultdict(set)
    of_class = specific.filter(pc.field("class") == PIVOT)
    for item, token in zip(of_class["item"].to_pylist(), of_class["token_id"].to_pylist(), strict=True):
        shown[item].add(token)
    sets = {column: _sets(pivots, column) for column in ("token_id", *columns)}
    rarer = {row["item"]: min(row["df_source"], row["df_target"])
             for row in pivots.select(["item", "df_source", "df_target"]).to_pylist()}  # fmt: skip
    traced = sorted(set(read.table["item"].to_pylist()))
    judged = [item for item in traced if shown[item] and sets["token_id"].get(item)]
    rows = []
    for pair, documents in _groups(traced, pair_of):
        low, high = BINS.get(documents, (0, None))
        own = [item for item in judged if pair in (pair_of[item], POOLED)
               and low <= rarer[item] <= (rarer[item] if high is None else high)]  # fmt: skip
        for column in columns:
            compared = [item for item in own if len(sets[column].get(item, ())) >= len(sets["token_id"][item])]
            values = {
                side: np.array([len(shown[item] & sets[one][item]) / len(shown[item]) for item in compared], np.float64)
                for side, one in (("share", "token_id"), ("control_share", column))
            }
            values["difference"] = values["share"] - values["control_share"]
            concepts = [read.concepts[item] for item in compared]
            key = f"agreement\0{pair}\0{documents}\0{column}"
            found = means(values, concepts, resamples=bootstrap, seed=seed, key=key)
            row: dict[str, Any] = {
                "pair": pair, "documents": documents, "against": column.removesuffix("_id"), "layers": read.layers,
                "items": len(compared), "concepts": len(set(concepts)), "left_out": len(own) - len(compared),
                "tokens": sum(len(shown[item]) for item in compared),
                **{side: found[side].value for side in values}, "low": found["difference"].low,
                "high": found["difference"].high,
            }  # fmt: skip
            rows.append(row | {"reason": _reason(row)})
    contrasted = set(read.table.filter(pc.field("top_contrasts").is_valid())["item"].to_pylist())
    without = Counter(
        "no contrasts" if item not in contrasted else "no specific token" if not shown[item] else "no pivots"
        for item in set(traced) - set(judged)
    )
    metadata = {
        "layers": read.layers, "least_contrast": least_contrast, "least_probability": least_probability,
        "bootstrap": bootstrap, "seed": seed, "least_concepts": LEAST_CONCEPTS, "traced": len(traced),
        "without": dict(sorted(without.items())),
    }  # fmt: skip
    return with_metadata(pa.Table.from_pylist(rows, schema=PIVOT_AGREEMENT), metadata)


def _sets(pivots: pa.Table, column: str) -> dict[int, set[int]]:
    """The tokens of each item in a column."""
    found: dict[int, set[int]] = defaultdict(set)
    for item, token in zip(pivots["item"].to_pylist(), pivots[column].to_pylist(), strict=True):
        if token is not None:
            found[item].add(token)
    return found


def _groups(traced: Sequence[int], pair_of: dict[int, str]) -> list[tuple[str, str]]:
    """Each pair, all pairs, and these by the documents of the rarer word."""
    pairs = dict.fromkeys(pair_of[item] for item in traced)
    return [*((pair, POOLED) for pair in (*pairs, POOLED)), *((POOLED, documents) for documents in BINS)]


def _reason(row: dict[str, Any]) -> str | None:
    """Why there is no interval."""
    if row["low"] is not None:
        return None
    if not row["items"]:
        return "no item has specific tokens, pivots, and as many tokens of this control"
    return FEW if row["concepts"] < LEAST_CONCEPTS else "no intervals were asked for"

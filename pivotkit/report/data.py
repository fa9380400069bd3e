"""A run folder's artifacts, read and checked. An absent artifact is None; a malformed one is refused by name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from pivotkit.artifacts import read_json, read_table, table_metadata
from pivotkit.errors import InputError
from pivotkit.lens.positions import at_blocks
from pivotkit.report.arms.drawn import drawn_arms

RESAMPLES = 1000
LABEL = "answer"  # label of the traced position that curves and word browser show

Kind = Callable[[pa.DataType], bool]


def _text(kind: pa.DataType) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _number(kind: pa.DataType) -> bool:
    return bool(types.is_integer(kind) or types.is_floating(kind))


def _list_of(inner: Kind) -> Kind:
    return lambda kind: bool(types.is_list(kind) or types.is_large_list(kind)) and inner(kind.value_type)


KINDS: dict[str, Kind] = {
    "text": _text,
    "integer": lambda kind: bool(types.is_integer(kind)),
    "number": _number,
    "key": lambda kind: _text(kind) or bool(types.is_integer(kind)),
    "truth": lambda kind: bool(types.is_boolean(kind)),
    "list of text": _list_of(_text),
    "list of integers": _list_of(lambda kind: bool(types.is_integer(kind))),
    "list of numbers": _list_of(_number),
    "shares": lambda kind: bool(types.is_map(kind)) and _text(kind.key_type) and _number(kind.item_type),
}

_ITEM = {"item": "key", "pair": "text"}
_TRACE = (
    {**_ITEM, "layer": "integer", "label": "text", "top_ids": "list of integers", "top_tokens": "list of text"}
    | {"top_logprobs": "list of numbers", "entropy": "number", "target_rank": "integer"}
    | {"source_logmass": "number", "target_logmass": "number"}
    | {"source_ids": "list of integers", "target_ids": "list of integers"}
)
TABLES: dict[str, tuple[str, dict[str, str]]] = {
    "items": (
        "items.parquet",
        {
            **_ITEM,
            "concept": "key",
            "source": "text",
            "target": "text",
            "distractors": "list of text",
            "prompt": "text",
        },
    ),
    "scores": ("scores.parquet", {**_ITEM, "p_gold": "number", "score": "number"}),
    "traces": ("traces", _TRACE),
    "fitted": ("traces_fitted", _TRACE | {"kl_to_final": "number"}),
    "behaviors": (
        "behaviors.parquet",
        {
            **_ITEM,
            "rule": "text",
            "behavior": "text",
            "peak_layer": "integer",
            "peak_id": "integer",
            "peak_token": "text",
        }
        | {"peak_logprob": "number"},
    ),
    "sensitivity": (
        "sensitivity.parquet",
        {"pair": "text", "rule": "text", "min_probability": "number", "least_contrast": "number", "items": "integer"}
        | {"co_occurrence": "number", "pivot": "number"},
    ),
    "causal": ("causal.parquet", {**_ITEM, "layer": "integer", "control": "text", "delta_logprob": "number"}),
    "effects": (
        "causal_effects.parquet",
        {"layer": "integer", "class": "text", "intervention": "text", "direction": "text", "control": "text"}
        | {"mean": "truth", "strength": "number", "against": "text", "items": "integer", "concepts": "integer"}
        | {"delta_logprob": "number", "low": "number", "high": "number", "delta_rank": "number"}
        | {"delta_other_logprob": "number", "removed": "number"},
    ),
    "pairs": (
        "counts/pairs.parquet",
        {"source": "text", "target": "text", "df_source": "integer", "df_target": "integer", "df_both": "integer"},
    ),
    "pivots": (
        "pivots.parquet",
        {**_ITEM, "rank": "integer", "token_id": "integer", "token": "text", "score": "number"}
        | {"control_id": "integer", "control_token": "text"},
    ),
    "agreement": (
        "agreement.parquet",
        {"pair": "text", "documents": "text", "against": "text", "items": "integer", "concepts": "integer"}
        | {"share": "number", "control_share": "number", "difference": "number", "low": "number", "high": "number"}
        | {"reason": "text"},
    ),
    "pivot_mass": (
        "pivot_mass.parquet",
        {"pair": "text", "against": "text", "layers": "list of integers", "items": "integer", "concepts": "integer"}
        | {"mass": "number", "control_mass": "number", "difference": "number", "low": "number", "high": "number"}
        | {"sentence": "text", "reason": "text"},
    ),
    "hubs": ("hubs.parquet", {"token_id": "integer", "token": "text", "words": "integer", "score": "number"}),
    "documents": (
        "documents.parquet",
        {"id": "text", "tokens": "integer", "pivots": "integer", "score": "number", "lang": "text"},
    ),
    "chosen": (
        "selection/provenance.parquet",
        {"id": "text", "tokens": "integer", "pivots": "integer", "score": "number", "lang": "text"},
    ),
    "arms": (
        "controls/arms.parquet",
        {"arm": "text", "documents": "integer", "tokens": "integer", "mean_length": "number", "median_length": "number"}
        | {"pivot_share": "number", "bilingual": "number", "parallel": "number", "code_switched": "number"}
        | {"languages": "shares", "overlap_tokens": "shares", "told": "text", "short": "text"},
    ),
    "dropped": ("dropped.parquet", {"unit": "text", "row": "integer", "id": "text", "filter": "text"}),
    "pretrain": (
        "pretrain.parquet",
        {"arm": "text", "seed": "integer", "step": "integer", "measure": "text", "of": "text", "value": "number"},
    ),
}
# Columns that tables of an earlier version lack. They are checked where they are there.
LATER = {
    "behaviors": {"class": "text", "language": "text", "also": "list of text"},
    "scores": {"gold_rank": "integer", "greedy": "number", "reciprocal_rank": "number", "excluded": "truth"},
    "traces": {"source_pieces": "list of integers", "target_pieces": "list of integers"}
    | {"top_contrasts": "list of numbers", "contrast_ids": "list of integers", "contrast_tokens": "list of text"}
    | {"contrasts": "list of numbers", "contrast_logprobs": "list of numbers", "kl_to_final": "number"},
}
# The stages that write the tables; those that are not here have the table's name.
WRITERS = {"traces": "trace", "fitted": "trace-fitted", "effects": "causal", "chosen": "select", "items": "task",
           "pivot_mass": "agreement", "pairs": "count", "hubs": "pivots", "documents": "score-documents",
           "sensitivity": "behaviors", "arms": "controls", "dropped": "filter"}  # fmt: skip
RECORDS = {
    "run": "run.json",
    "counts": "counts/counts.json",
    "attribution": "attribution.json",
    "manifest": "selection/manifest.json",
    "truth": "truth.json",
    "experiment": "experiment.json",
}


def read_run(run: str | Path) -> dict[str, Any]:
    """Read the artifacts of a run folder that the page shows.

    Parameters
    ----------
    run : str or Path
        The folder of a run.

    Returns
    -------
    dict
        One checked `pyarrow.Table` per name of ``TABLES`` and one dict per name of ``RECORDS``. None stands for what
        no stage has written yet. ``drawn`` holds documents of each selection (`drawn_arms`). ``languages`` holds
        the names of the items' languages by code, where they are known.

    Raises
    ------
    InputError
        The folder is absent, or an artifact lacks a column, has a column of another type, or has another format.
    """
    folder = Path(run)
    if not folder.is_dir():
        raise InputError(folder, "", "must be the folder of a run; found none")
    found: dict[str, Any] = {}
    for name, (place, columns) in TABLES.items():
        path = folder / place
        absent = not path.exists() or (path.is_dir() and not any(path.glob("*.parquet")))
        found[name] = None if absent else _checked(name, read_table(path), path, columns)
    for name in ("traces", "fitted"):
        if found[name] is not None:
            found[name] = at_blocks(found[name].filter(pc.equal(found[name]["label"], LABEL)))
    for name, place in RECORDS.items():
        path = folder / place
        found[name] = _record(path) if path.exists() else None
    found["drawn"] = drawn_arms(folder)
    found["languages"] = table_metadata(found["items"]).get("languages", {}) if found["items"] is not None else {}
    return found


def _checked(artifact: str, table: pa.Table, path: Path, columns: dict[str, str]) -> pa.Table:
    later = LATER.get(artifact, {})
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        got, stage = ", ".join(table.column_names) or "none", WRITERS.get(artifact, artifact)
        rule = f"must have the columns {', '.join(missing)}; got {got}; run `pivotkit {stage}` again"
        raise InputError(path, "", rule)
    for name, kind in (columns | {name: later[name] for name in later if name in table.column_names}).items():
        if not KINDS[kind](table.schema.field(name).type):
            raise InputError(path, "", f"column {name} must be {kind}; got {table.schema.field(name).type}")
    return table


def _record(path: Path) -> dict[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError(path, "", f"must be a JSON object; got {type(value).__name__}")
    return value


def by_pair(table: pa.Table) -> dict[str, pa.Table]:
    """Return one table per pair, pairs in alphabetical order."""
    return {pair: table.filter(pc.equal(table["pair"], pair)) for pair in sorted(pc.unique(table["pair"]).to_pylist())}


def counted(table: pa.Table) -> pa.Table:
    """Return scores or traces without the items whose two words share a piece, where the table says which."""
    if "excluded" in table.column_names:
        return table.filter(pc.invert(table["excluded"]))
    if not {"source_pieces", "target_pieces"} <= set(table.column_names):
        return table
    pieces = zip(table["source_pieces"].to_pylist(), table["target_pieces"].to_pylist(), strict=True)
    return table.filter(pa.array([set(source).isdisjoint(target) for source, target in pieces], pa.bool_()))


def concepts_of(run: dict[str, Any], keys: Sequence[tuple[str, Any]]) -> list[Any] | None:
    """Return the concept of each (pair, item), for intervals over concepts; None where the run lacks its items."""
    if run["items"] is None:
        return None
    columns = (run["items"][name].to_pylist() for name in ("pair", "item", "concept"))
    known = {(pair, item): concept for pair, item, concept in zip(*columns, strict=True)}
    return [known.get(key, str(key)) for key in keys]


def floats(table: pa.Table, column: str) -> np.ndarray:
    """Return a column as float64, NaN where it is null."""
    return np.asarray(table[column].cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def bootstrap_mean(
    values: np.ndarray, groups: Sequence[Any] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean over the first axis, and its 95 % percentile interval from 1000 resamples of that axis.

    Parameters
    ----------
    values : ndarray of shape (n, ...)
        One row per item. Items are resampled.
    groups : sequence of n, optional
        What is resampled in place of items: such as their concepts, since items of one concept are not independent.

    Returns
    -------
    mean, low, high : ndarray of shape (...)
        NaN when n is 0. The resamples are seeded, so the same run gives the same page.
    """
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    if n == 0:
        nothing = np.full(values.shape[1:], np.nan)
        return nothing, nothing, nothing
    sums, sizes = values, np.ones(n)
    if groups is not None:
        place = np.unique([str(group) for group in groups], return_inverse=True)[1]
        sizes = np.bincount(place).astype(np.float64)
        sums = np.zeros((len(sizes), *values.shape[1:]))
        np.add.at(sums, place, values)
    drawn = _resamples(len(sizes))
    weights = (drawn @ sizes).reshape(-1, *[1] * (values.ndim - 1))
    low, high = np.percentile(np.tensordot(drawn, sums, axes=1) / weights, [2.5, 97.5], axis=0)
    return values.mean(axis=0), low, high


@functools.lru_cache(maxsize=2)  # all sets of a pair have the same n
def _resamples(n: int) -> np.ndarray:
    """Return (resamples, n): how often each item is drawn in each resample."""
    return np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(np.float64)

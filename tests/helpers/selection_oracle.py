"""What a selection is, by its definition: a sort of all rows in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from pivotkit.selection.choosing.ranking import text_hashes

VALUES: dict[str, Any] = {
    "score": lambda column: column("score"),
    "pairs": lambda column: column("score"),
    "distinct": lambda column: column("distinct"),
    "weighted": lambda column: column("weighted"),
    "parallel": lambda column: column("translation_pairs"),
    "share": lambda column: column("pivots") / np.maximum(column("tokens"), 1),
    "random": lambda column: np.zeros(len(column("tokens"))),
}


def sorted_in_memory(
    scores: pa.Table, *, budget_tokens, quotas=None, quota_by="lang", rule="score", temperature=0.0, cap_by=None, cap=None,
    drop=(), exact=False, seed=0,
) -> pa.Table:  # fmt: skip
    """Sort all documents of a quota, and take them while the tokens before them are below its budget."""
    scores = scores.sort_by([("unit", "ascending"), ("row", "ascending")])
    tokens = scores["tokens"].to_numpy().astype(np.int64)
    hashes = text_hashes(scores["id"].combine_chunks(), seed)
    values = VALUES[rule](lambda name: scores[name].to_numpy().astype(float))
    if temperature:
        u = ((hashes >> np.uint64(12)).astype(float) + 0.5) / 2**52  # of 1 - u
        with np.errstate(divide="ignore"):
            values = np.log(values) + temperature * -np.log(-np.log1p(-u))
    gone = set(drop)
    kept = np.array([place not in gone for place in _names(scores, ("unit", "row"))], bool) if gone else tokens >= 0
    kept &= tokens > 0
    kept &= np.asarray(scores["pair"].is_valid()) if rule == "pairs" else True
    ranking = np.lexsort((hashes, -values))
    ranking = ranking[kept[ranking]]
    names = sorted(quotas) if quotas else ["all"]
    member = quota_names(scores, quota_by) if quotas else np.full(len(tokens), "all")
    bounds = np.rint(np.cumsum([0.0, *(quotas[name] for name in names)] if quotas else [0.0, 1.0]) * budget_tokens)
    taken, takes = [], []
    for name, budget in zip(names, np.diff(bounds).astype(int).tolist(), strict=True):
        mine = ranking[member[ranking] == name]
        if cap is not None:
            most = max(1, int(np.floor((cap if cap <= 1 else int(cap) / budget_tokens) * budget)))
            mine = mine[before_in_group(tokens[mine], quota_names(scores, cap_by)[mine]) < most]
        groups = (
            np.array(scores["pair"].to_pylist(), object)[mine].astype(str)
            if rule == "pairs"
            else np.full(len(mine), "")
        )
        available = {group: int(tokens[mine][groups == group].sum()) for group in np.unique(groups).tolist()}
        left = budget
        for done, group in enumerate(sorted(available, key=lambda group: (available[group], group))):
            part = min(available[group], left // (len(available) - done)) if rule == "pairs" else budget
            left -= part
            ours = mine[groups == group]
            before = np.cumsum(tokens[ours]) - tokens[ours]
            taken.append(ours[before < part])
            takes.append(np.minimum(tokens[ours], part - before)[before < part])
    places = np.concatenate([np.zeros(0, int), *taken]).astype(np.int64)
    order = np.argsort(places)
    found = scores.take(places[order])
    if exact:
        found = found.append_column(
            "take", pa.array(np.concatenate([np.zeros(0, int), *takes])[order].astype(np.int32))
        )
    return found


def before_in_group(tokens, groups):
    """The tokens of the same group before each document."""
    order = np.argsort(groups, kind="stable")
    ordered = tokens[order]
    total = np.cumsum(ordered) - ordered
    starts = np.r_[True, groups[order][1:] != groups[order][:-1]] if len(order) else np.zeros(0, bool)
    before = np.empty(len(tokens), np.int64)
    before[order] = total - np.maximum.accumulate(np.where(starts, total, 0))
    return before


def quota_names(scores: pa.Table, by: str):
    if by == "length":  # powers of two
        tokens = scores["tokens"].to_numpy()
        lows = np.where(tokens > 0, 2 ** np.floor(np.log2(np.maximum(tokens, 1))).astype(int), 0)
        return np.array([f"{low}-{max(2 * low - 1, 0)}" for low in lows.tolist()])
    if by == "languages":
        return np.array(["+".join(sorted(lang.split("+"))) for lang in scores["lang"].to_pylist()])
    return np.array([str(value) for value in scores[by].to_pylist()])


def _names(scores: pa.Table, columns):
    return list(zip(*(scores[name].to_pylist() for name in columns), strict=True))

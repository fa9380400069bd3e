"""What a selection is, by its definition: a sort of all rows in memory."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa

from pivotkit.selection.choosing.ranking import seed_of, text_hashes

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
    drop=(), exact=False, seed=0, behaviors=None, budgets=None,
) -> pa.Table:  # fmt: skip
    """Sort all documents of a quota, and take them while the tokens before them are below its budget.

    ``budgets`` are those of the quotas in the order of their names, where they are not their shares.
    """
    if rule == "behavior":
        return sorted_by_behavior(
            scores, behaviors, budget_tokens=budget_tokens, quotas=quotas, quota_by=quota_by, temperature=temperature,
            cap_by=cap_by, cap=cap, drop=list(drop), exact=exact, seed=seed,
        )  # fmt: skip
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
    budgets = budgets_of(budget_tokens, quotas) if budgets is None else budgets
    taken, takes = [], []
    for name, budget in zip(names, budgets, strict=True):
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


def budgets_of(budget_tokens, quotas) -> list[int]:
    """The budget of each quota, in the order of their names."""
    shares = [quotas[name] for name in sorted(quotas)] if quotas else [1.0]
    bounds = np.rint(np.cumsum([0.0, *shares]) * budget_tokens)
    return [int(budget) for budget in np.diff(bounds)]


def sorted_by_behavior(scores: pa.Table, behaviors: pa.Table, *, drop, seed, **options) -> pa.Table:
    """First the documents rich in pivots of the items that ask for them, then, of the others, those with both words."""
    shown = [
        row["behavior"] for row in behaviors.to_pylist() if row["rule"] == "strict" and row["behavior"] != "excluded"
    ]
    halves = sum({"pivot": 2, "co-occurrence": 0}.get(behavior, 1) for behavior in shown)
    whole = budgets_of(options["budget_tokens"], options["quotas"])
    rich = [round(Fraction(halves * budget, 2 * len(shown))) for budget in whole]
    share = scores["behavior_pivots"].to_numpy() / np.maximum(scores["tokens"].to_numpy(), 1)
    pairs = scores["behavior_pairs"].to_numpy().astype(float)
    parts: list[pa.Table] = []
    for merit, budgets, own_seed in (
        (share, rich, seed),
        (pairs, [all_ - some for all_, some in zip(whole, rich, strict=True)], seed_of("behavior_pairs", seed)),
    ):
        with_merit = scores.append_column("merit", pa.array(scores["score"])).drop_columns(["score"])
        with_merit = with_merit.append_column("score", pa.array(merit)).filter(pa.array(merit > 0))
        gone = [*drop, *(place for part in parts for place in _names(part, ("unit", "row")))]
        part = sorted_in_memory(with_merit, drop=gone, seed=own_seed, budgets=budgets, **options)
        part = part.drop_columns(["score"]).rename_columns({"merit": "score"})
        parts.append(part.select([*scores.column_names, *(["take"] if options["exact"] else [])]))
    return pa.concat_tables(parts).sort_by([("unit", "ascending"), ("row", "ascending")]).combine_chunks()


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

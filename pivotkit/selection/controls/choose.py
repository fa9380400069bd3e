"""Chooses the documents of a control by the engine of `select`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.artifacts import with_metadata
from pivotkit.selection.choosing.choice import Choice
from pivotkit.selection.choosing.dropped import Dropped
from pivotkit.selection.choosing.groups import in_order
from pivotkit.selection.choosing.pools import tokens_of
from pivotkit.selection.choosing.ranking import Ranking
from pivotkit.selection.choosing.score_shards import ScoreShards
from pivotkit.selection.choosing.selection_folder import HEADER, SelectionWriter, replaced_selection
from pivotkit.selection.controls.rules import Control, ControlQuotas, ControlRule


@dataclass
class Plan:
    """A control before it is chosen.

    Attributes
    ----------
    name : str
    control : Control
    rule : ControlRule
    quotas : ControlQuotas
        Their names are those of ``budgets``, in this order.
    budgets : dict of str to int
        Tokens of each label.
    seed : int
    lacks : tuple of str
        Columns that documents do not have, without which it cannot be chosen.
    available : dict of str to int
        Tokens of each label that it may take; filled by `survey`.
    """

    name: str
    control: Control
    rule: ControlRule
    quotas: ControlQuotas
    budgets: Mapping[str, int]
    seed: int
    lacks: tuple[str, ...] = ()
    available: Mapping[str, int] = field(default_factory=dict)

    @property
    def missing(self) -> dict[str, int]:
        """Tokens of each label that documents lack."""
        left = {label: budget - self.available.get(label, 0) for label, budget in self.budgets.items()}
        return {label: tokens for label, tokens in left.items() if tokens > 0}

    def refusal(self) -> str:
        """Why it cannot be chosen whole; "" where it can."""
        if self.lacks:
            return f"{self.name} needs the column {' and '.join(self.lacks)}"
        missing = self.missing
        if not missing:
            return ""
        wanted = sum(self.budgets.values())
        told = f"{self.name} lacks {sum(missing.values())} of {wanted} tokens"
        some = sorted(missing, key=lambda label: (-missing[label], label))[:3]
        return told + f" ({', '.join(f'{missing[label]} of {self.budgets[label]} of {label}' for label in some)})"


def survey(shards: ScoreShards, plans: Sequence[Plan], dropped: Dropped) -> None:
    """Fill `Plan.available`, by one reading."""
    able = [plan for plan in plans if not plan.lacks]
    names = [name for plan in able for name in (*plan.quotas.columns, *plan.rule.columns)]
    columns = list(dict.fromkeys(["tokens", *names, *(("unit", "row") if dropped else ())]))

    def look(batch: pa.RecordBatch) -> list[NDArray[np.int64]]:
        tokens = tokens_of(batch)
        if dropped:
            tokens[dropped.mask(batch)] = 0
        found = []
        for plan in able:
            quotas = plan.quotas.places(batch)
            mine = quotas >= 0
            sums = np.zeros(len(plan.budgets), np.int64)
            np.add.at(sums, quotas[mine], tokens[mine])
            found.append(sums)
        return found

    sums = [np.zeros(len(plan.budgets), np.int64) for plan in able]
    for _, parts in shards.each(columns, look, "Surveying documents"):
        for total, part in zip(sums, parts, strict=True):
            total += part
    for plan, total in zip(able, sums, strict=True):
        plan.available = dict(zip(plan.budgets, total.tolist(), strict=True))


def choose(
    shards: ScoreShards, plan: Plan, dropped: Dropped, exact: bool, about: Mapping[str, Any], out: Path | None
) -> pa.Table | Path:
    """The documents of a control: a table, or a folder as `select` writes it."""
    some = [label for label in plan.budgets if plan.available[label]]
    budgets = np.array([plan.budgets[label] for label in some], np.int64)
    ranking = Ranking(plan.rule, replace(plan.quotas, names=some), plan.seed, 0.0, None, shards.files)
    chosen = Choice(shards, ranking, budgets, None, dropped, exact=exact)
    chosen.find()
    counts = zip(chosen.tokens.tolist(), chosen.documents.tolist(), strict=True)
    taken = dict(zip(some, counts, strict=True))
    quotas = {}
    for label, budget in plan.budgets.items():
        tokens, documents = taken.get(label, (0, 0))
        quotas[label] = {
            "budget": budget,
            "tokens": tokens,
            "documents": documents,
            "available": plan.available[label],
            "missing": max(budget - tokens, 0),
        }
    summary = {
        **about,
        "tokens": sum(quota["tokens"] for quota in quotas.values()),
        "documents": sum(quota["documents"] for quota in quotas.values()),
        "quotas": quotas,
    }
    return keep(chosen.take(), chosen.schema, lambda: summary | chosen.told(), out)


def keep(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, summary: Callable[[], dict[str, Any]], out: Path | None
) -> pa.Table | Path:
    """Rows as `select` gives them: a table with the summary, or a folder; the summary is asked for at the end."""
    if out is None:
        some = [batch for batch in batches if len(batch)]
        table = pa.Table.from_batches(some, schema.remove_metadata() if not some else some[0].schema)
        return with_metadata(in_order(table), summary())
    with replaced_selection("selection_controls", out, HEADER) as folder, SelectionWriter(folder, schema) as into:
        for batch in batches:
            into.add(batch)
        into.finish(summary())
    return out

"""The checked arguments of `select`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import types

from pivotkit.arguments import check_flag, check_int, check_kind, check_number, check_text, refuse
from pivotkit.selection.choosing.groups import LENGTH, Column, Quotas
from pivotkit.selection.choosing.quota_cuts import Tokens
from pivotkit.selection.choosing.ranking import Ranking, seed_of
from pivotkit.selection.choosing.rules import BEHAVIOR, PAIR, PARTS, Rule, RuleLike
from pivotkit.selection.scoring.behaviors import BEHAVIOR_PIVOTS, Behaviors

POOL = "all"  # the name of the only pool when there are no quotas


@dataclass(frozen=True)
class Part:
    """What one ranking takes: the part of every quota's budget that goes to it.

    Attributes
    ----------
    name : str
        Of `PARTS`; "" where there is but one.
    rule : Rule
    budgets : int64 (Q,)
    seed : int
    """

    name: str
    rule: Rule
    budgets: Tokens
    seed: int


@dataclass(frozen=True)
class Request:
    """What is asked of scores.

    Attributes
    ----------
    rule : Rule
    budgets : dict of str to int
        The budget of each quota by name, in the order of the names.
    shares : dict of str to float, or None
        The quotas as they were given.
    behaviors : Behaviors or None
        For the rule "behavior", and only for it.
    """

    budget_tokens: int
    rule: Rule
    budgets: dict[str, int]
    shares: dict[str, float] | None
    quota_by: str
    temperature: float
    cap_by: str | None
    cap: float | None
    exact: bool
    seed: int
    allow_shortfall: bool
    behaviors: Behaviors | None

    @classmethod
    def of(
        cls, *, budget_tokens: int, quotas: Mapping[str, float] | None, quota_by: str, rule: RuleLike,
        temperature: float, cap_by: str | None, cap: float | None, exact: bool, seed: int, allow_shortfall: bool,
        behaviors: pa.Table | None,
    ) -> Request:  # fmt: skip
        checked = Rule.of(rule)
        check_int("select", "budget_tokens", budget_tokens, 1)
        check_text("select", "quota_by", quota_by)
        if quotas is None and quota_by != "lang":
            refuse("select", "quota_by", "be 'lang' without quotas", quota_by)
        budgets = _budgets(budget_tokens, quotas)
        check_number("select", "temperature", temperature, 0)
        if temperature and checked.name == "random":
            refuse("select", "temperature", "be 0 for the rule 'random', which has no scores", temperature)
        check_text("select", "cap_by", cap_by, none=True)
        check_number("select", "cap", cap, none=True)
        if cap is None and cap_by is not None:
            refuse("select", "cap_by", "be None without cap", cap_by)
        if cap is not None and cap_by is None:
            refuse("select", "cap", "be None without cap_by", cap)
        if cap is not None and not 0 < cap <= budget_tokens:
            refuse("select", "cap", f"be a share above 0, or tokens up to budget_tokens, {budget_tokens}", cap)
        check_flag("select", "exact", exact)
        check_int("select", "seed", seed, 0)
        check_flag("select", "allow_shortfall", allow_shortfall)
        if (empty := [name for name, budget in budgets.items() if not budget]) and not allow_shortfall:
            told = f"{budget_tokens}, of which {', '.join(empty)} would get 0"
            rule = "give each quota a token, or allow_shortfall be set"
            raise ValueError(f"select: budget_tokens must {rule}; got {told}")
        check_kind("select", "behaviors", behaviors, pa.Table, "a pyarrow.Table", none=True)
        if (checked.name == BEHAVIOR) != (behaviors is not None):
            told = "given for" if behaviors is None else "None unless rule is"
            refuse("select", "behaviors", f"be {told} {BEHAVIOR!r}", behaviors)
        asked = None if behaviors is None else Behaviors.of("select", behaviors)
        shares = None if quotas is None else {name: float(share) for name, share in quotas.items()}
        return cls(
            int(budget_tokens), checked, budgets, shares, quota_by, float(temperature), cap_by, cap, bool(exact),
            int(seed), bool(allow_shortfall), asked,
        )  # fmt: skip

    @property
    def columns(self) -> list[str]:
        """What the scores must have, whatever the quotas and caps are."""
        ranked = [name for part in self.parts for name in part.rule.columns]
        names = ["unit", "row", "id", "tokens", "lang", *ranked, *([PAIR] if self.rule.by_pair else [])]
        return list(dict.fromkeys(names))

    @property
    def parts(self) -> list[Part]:
        """The rankings that take documents, one after another; one that no item asks for is left out.

        Each has hashes of its own: what a draw by the first one's hashes left has late hashes where it ranks high, so
        that by the same hashes the next would be no draw.
        """
        budgets = np.array(list(self.budgets.values()), np.int64)
        if self.behaviors is None:
            return [Part("", self.rule, budgets, self.seed)]
        share = self.behaviors.pivot_share
        pivots = np.array([round(share * budget) for budget in budgets.tolist()], np.int64)
        found = []
        for name, rule in PARTS.items():
            own, seed = (pivots, self.seed) if name == BEHAVIOR_PIVOTS else (budgets - pivots, seed_of(name, self.seed))
            if self.behaviors.asking(name):
                found.append(Part(name, rule, own, seed))
        return found

    def ranking(self, part: Part, schema: pa.Schema, files: Mapping[str, str]) -> Ranking:
        """What a part asks of scores of these columns; TypeError or ValueError where they have no such columns."""
        for name in part.rule.columns:
            found = schema.field(name).type
            if not (types.is_integer(found) or types.is_floating(found) or types.is_null(found)):
                raise TypeError(f"select: documents must have numbers in the column {name}; got {found}")
        for name in ("row", "tokens"):
            found = schema.field(name).type
            if not (types.is_integer(found) or types.is_null(found)):
                raise TypeError(f"select: documents must have whole numbers in the column {name}; got {found}")
        quotas = None if self.shares is None else Quotas.of(list(self.budgets), self.quota_by, schema)
        if self.cap_by == LENGTH and LENGTH not in schema.names:
            refuse("select", "cap_by", "be a column of documents", self.cap_by)
        cap_by = None if self.cap_by is None else Column.of("cap_by", self.cap_by, schema)
        return Ranking(part.rule, quotas, part.seed, self.temperature, cap_by, files)

    def caps(self, part: Part) -> Tokens | None:
        """The most tokens of a source in a part of each quota."""
        if self.cap is None:
            return None
        share = self.cap if self.cap <= 1 else int(self.cap) / self.budget_tokens
        return np.asarray(np.maximum(1, np.floor(share * part.budgets)), np.int64)

    def summary(self) -> dict[str, Any]:
        return {
            "rule": self.rule.name,
            "seed": self.seed,
            "temperature": self.temperature,
            "budget_tokens": self.budget_tokens,
            "quota_by": None if self.shares is None else self.quota_by,
            "shares": self.shares,
            "cap_by": self.cap_by,
            "cap": self.cap,
            "exact": self.exact,
        }


def _budgets(budget_tokens: int, quotas: Mapping[str, float] | None) -> dict[str, int]:
    """The budget of each quota by name: whole numbers of tokens that sum to the total budget."""
    check_kind("select", "quotas", quotas, Mapping, "a mapping of name to share", none=True)
    if quotas is None:
        return {POOL: int(budget_tokens)}
    for name, share in quotas.items():
        check_text("select", "quotas", name)
        check_number("select", "quotas", share)
    if not quotas or not all(share > 0 for share in quotas.values()) or not math.isclose(sum(quotas.values()), 1.0):
        told = f"{dict(quotas)}, which sum to {sum(quotas.values()):g}"
        raise ValueError(f"select: quotas must be positive shares that sum to 1; got {told}")
    names = sorted(quotas)
    bounds = np.rint(np.cumsum([0.0, *(quotas[name] for name in names)]) * budget_tokens).astype(np.int64)
    return dict(zip(names, np.diff(bounds).tolist(), strict=True))

"""How a token is scored for two words, and which tokens are looked at."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pivotkit.arguments import check_kind, check_text, refuse_kind
from pivotkit.pivots import association, expected_association

Measure = Callable[..., NDArray[np.float64]]
Allowed = Callable[[int, str, str], bool]  # whether a token may be a pivot of source and target

STRATIFIED = "stratified"
RULES = {"paper": "delta", "npmi": "npmi", "g2": "log_likelihood"}  # of one background for all documents
COMBINE = ("geometric", "min")
CANDIDATES = ("words", "all")
FEW_DOCUMENTS = 20  # of the rarer word, below which company cannot be told from chance


@dataclass(frozen=True)
class PivotRule:
    """How tokens are scored for two words.

    Attributes
    ----------
    name : str
    measure : function of (n11, n1_, n_1, n), and of the expected count where ``stratified``
    stratified : bool
        Whether the measure takes the expected count.
    combine : {"geometric", "min"}
        The score is ``sqrt(max(a, 0) * max(b, 0))`` or ``min(a, b)`` of the measures a and b with the two words.
    """

    name: str
    measure: Measure
    stratified: bool
    combine: str

    def __repr__(self) -> str:
        return f"PivotRule({self.name!r}, combine={self.combine!r})"

    def score(self, tables: list[tuple[Any, ...]]) -> NDArray[np.float64]:
        """The score of each token, from its counts with each of the two words."""
        one, other = (self.measure(*table) for table in tables)
        if self.combine == "min":
            return np.minimum(one, other)
        mean: NDArray[np.float64] = np.sqrt(np.maximum(one, 0.0) * np.maximum(other, 0.0))
        return mean


def pivot_rule(
    rule: str | Measure, measure: str | Measure | None, combine: str | None, function: str = "find_pivots"
) -> PivotRule:
    """The rule that the arguments of `find_pivots`, or of ``function``, name."""
    check_text(function, "combine", combine, COMBINE, none=True)
    if measure is not None and rule != STRATIFIED:
        raise ValueError(f'{function}: measure must come with rule="{STRATIFIED}"; got another rule')
    found: Measure
    if callable(rule) and not isinstance(rule, type):
        name, found, stratified = _name(rule), rule, _takes_expected(rule)
    else:
        check_kind(function, "rule", rule, str, "a str or a function")
        check_text(function, "rule", rule, (STRATIFIED, *RULES))
        name, stratified = str(rule), rule == STRATIFIED
        if not stratified:
            found = getattr(association, RULES[name])
        elif measure is None or isinstance(measure, str):
            check_text(function, "measure", measure, expected_association.MEASURES, none=True)
            name = f"{name} {measure}" if measure else name
            found = getattr(expected_association, measure or "lower_ratio")
        elif _takes_expected(measure):
            name, found = f"{name} {_name(measure)}", measure
        else:
            refuse_kind(function, "measure", "be a function of (n11, n1_, n_1, n, e)", measure)
    return PivotRule(name, found, stratified, combine or ("geometric" if stratified else "min"))


def candidate_filter(candidates: str | None, rule: PivotRule, word_tokens: Any) -> Allowed | None:
    """Which tokens may be pivots of two words; None for all."""
    check_text("find_pivots", "candidates", candidates, CANDIDATES, none=True)
    if (candidates or ("words" if rule.stratified else "all")) == "all":
        return None
    if not all(hasattr(word_tokens, part) for part in ("whole_word", "variant")):
        refuse_kind("find_pivots", "word_tokens", 'have whole_word and variant for candidates="words"', word_tokens)

    def allowed(token: int, source: str, target: str) -> bool:
        own = bool(word_tokens.whole_word(token))
        return own and not word_tokens.variant(token, source) and not word_tokens.variant(token, target)

    return allowed


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", repr(function)))


def _takes_expected(function: Any) -> bool:
    """Whether a measure takes five arguments."""
    if hasattr(function, "nin"):  # a ufunc, whose signature says nothing
        return bool(function.nin == 5)
    try:
        return len(inspect.signature(function).parameters) == 5
    except (TypeError, ValueError):
        return False

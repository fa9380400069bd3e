"""The first screen: what the run found, in words, its caveats before it; the headline figures and the curves."""

from __future__ import annotations

from typing import Any

import numpy as np

from pivotkit.errors import InputError
from pivotkit.lens.behavior import STRICT
from pivotkit.report.causal_sections import conclusion
from pivotkit.report.curve_sections import pooled
from pivotkit.report.data import bootstrap_mean, by_pair, concepts_of, counted
from pivotkit.report.figures import BEHAVIORS
from pivotkit.report.score_sections import correct
from pivotkit.report.text import number, visible
from pivotkit.report.verdicts import validity_lines

KINDS = ("caveat", "finding")
FEW = 0.5  # of the items answered; below it what follows says little of the model


def finding(run: dict[str, Any]) -> dict[str, Any]:
    """Return the caveats, then the findings, and the figures of all pairs; of the stages that have run."""
    told = _told(run["attribution"] or {})
    caveats = [text for kind, text in told if kind == "caveat"]
    findings = [text for kind, text in told if kind == "finding"]
    if (answered := _answered(run)) is not None:
        share, line = answered
        (caveats if share < FEW else findings).append(line)
    if not told:
        findings += _shares(run)
    if run["behaviors"] is not None:
        caveats += validity_lines(run["behaviors"], run["languages"])
    if (cause := conclusion(run)) is not None:
        findings.append(f"Cause: {cause[0].lower()}{cause[1:]}")
    return {"caveats": caveats, "findings": findings, "missing": _missing(run), "curves": pooled(run)}


def _told(record: dict[str, Any]) -> list[tuple[str, str]]:
    """What the attribution stage says, as (kind, text)."""
    entries = record.get("finding") or []
    for entry in entries if isinstance(entries, list) else [entries]:
        if not isinstance(entry, dict) or entry.get("kind") not in KINDS or not isinstance(entry.get("text"), str):
            raise InputError(
                "attribution.json",
                "",
                f"finding must hold a text and one of the kinds {', '.join(KINDS)}; got {entry!r}",
            )
    return [(entry["kind"], visible(entry["text"])) for entry in entries]


def _answered(run: dict[str, Any]) -> tuple[float, str] | None:
    """The share of items that the model answers, and a line that says it."""
    if run["traces"] is None or not (traces := counted(run["traces"])).num_rows:
        return None
    right = np.concatenate([correct(table) for table in by_pair(traces).values()])
    line = f"The model's first choice begins the target for {int(right.sum()):,} of {len(right):,} items"
    return float(right.mean()), f"{line} ({right.mean():.0%})."


def shares(run: dict[str, Any], rule: str = STRICT) -> dict[str, tuple[float, float, float]] | None:
    """Return the share of each behavior among the items that the rule does not exclude, with intervals over concepts.

    None where the rule judged no item.
    """
    if run["behaviors"] is None:
        return None
    rows = [row for row in run["behaviors"].select(["rule", "pair", "item", "behavior"]).to_pylist()
            if row["rule"] == rule and row["behavior"] != "excluded"]  # fmt: skip
    if not rows:
        return None
    groups = concepts_of(run, [(row["pair"], row["item"]) for row in rows])
    seen = np.array([[row["behavior"] == name for name in BEHAVIORS[:-1]] for row in rows], dtype=np.float64)
    mean, low, high = (part.tolist() for part in bootstrap_mean(seen, groups))
    return dict(zip(BEHAVIORS[:-1], zip(mean, low, high, strict=True), strict=True))


def _shares(run: dict[str, Any]) -> list[str]:
    """How the items divide under the headline's rule."""
    found = shares(run)
    if found is None:
        return []
    judged = sum(rule == STRICT and behavior != "excluded" for rule, behavior in zip(
        run["behaviors"]["rule"].to_pylist(), run["behaviors"]["behavior"].to_pylist(), strict=True))  # fmt: skip
    told = [f"{name} {mean:.0%} [{number(100 * low, 0)}, {number(100 * high, 0)}]"
            for name, (mean, low, high) in found.items()]  # fmt: skip
    return [f"Rule {STRICT}, of the {judged:,} items that it judges: {', '.join(told)}; 95 % intervals over concepts."]


def _missing(run: dict[str, Any]) -> list[tuple[str, str]]:
    """What the finding lacks, and the stage that would tell it."""
    lacking = [
        ("what each layer shows", "traces", "trace"),
        ("which items go through a pivot", "behaviors", "behaviors"),
        ("whether the corpus predicts that", "attribution", "attribution"),
        ("whether the model uses what its layers show", "effects", "causal"),
    ]
    return [(what, stage) for what, name, stage in lacking if run[name] is None]

"""The first screen: what the run found, in words, its caveats before it; the headline figures and the curves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from pivotkit.artifacts import table_metadata
from pivotkit.attribution.evidence import UNTESTED
from pivotkit.errors import InputError
from pivotkit.lens.behavior import STRICT
from pivotkit.report.causal_sections import conclusion
from pivotkit.report.curve_sections import pooled
from pivotkit.report.data import bootstrap_mean, by_pair, concepts_of, counted
from pivotkit.report.figures import BEHAVIORS
from pivotkit.report.score_sections import correct
from pivotkit.report.text import arrow, number, visible

KINDS = ("caveat", "finding")
FEW = 0.5  # of the items answered; below it what follows says little of the model
MOST_ON_ONE_TOKEN = 0.1  # of a rule's items; a verdict that rests on one token more often says so
MOST_REASONS = 3  # that a line lists


def finding(run: dict[str, Any]) -> dict[str, Any]:
    """Return the caveats, then the findings, and the figures of all pairs; of the stages that have run."""
    told = _told(run["attribution"] or {})
    caveats = [text for kind, text in told if kind == "caveat"]
    findings = [text for kind, text in told if kind == "finding"]
    if not told:
        answered, lines = _answered(run)
        (caveats if answered < FEW else findings).extend(lines)
        findings += _shares(run)
    if run["behaviors"] is not None:
        caveats += validity_lines(run["behaviors"], run["languages"])
    cause = conclusion(run)
    if cause is not None and (not told or UNTESTED in caveats):  # the attribution tells it, if it came after the test
        caveats = [text for text in caveats if text != UNTESTED]
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


def _answered(run: dict[str, Any]) -> tuple[float, list[str]]:
    """The share of items that the model answers, and a line that says it; none without traces."""
    if run["traces"] is None or not (traces := counted(run["traces"])).num_rows:
        return 0.0, []
    right = np.concatenate([correct(table) for table in by_pair(traces).values()])
    line = f"The model's first choice begins the target for {int(right.sum()):,} of {len(right):,} items"
    return float(right.mean()), [f"{line} ({right.mean():.0%})."]


def shares(run: dict[str, Any]) -> tuple[int, dict[str, tuple[float, float, float]]]:
    """Return how many items the headline's rule judges, and the share of each behavior with its interval over concepts.

    Excluded items are not judged. Where none is, there are no shares.
    """
    table = run["behaviors"]
    rows = [] if table is None else [
        row for row in table.select(["rule", "pair", "item", "behavior"]).to_pylist()
        if row["rule"] == STRICT and row["behavior"] != "excluded"
    ]  # fmt: skip
    if not rows:
        return 0, {}
    groups = concepts_of(run, [(row["pair"], row["item"]) for row in rows])
    seen = np.array([[row["behavior"] == name for name in BEHAVIORS[:-1]] for row in rows], dtype=np.float64)
    mean, low, high = (part.tolist() for part in bootstrap_mean(seen, groups))
    return len(rows), dict(zip(BEHAVIORS[:-1], zip(mean, low, high, strict=True), strict=True))


def _shares(run: dict[str, Any]) -> list[str]:
    """How the items divide under the headline's rule."""
    judged, found = shares(run)
    if not judged:
        return []
    told = [f"{name} {mean:.0%} [{number(100 * low, 0)}, {number(100 * high, 0)}]"
            for name, (mean, low, high) in found.items()]  # fmt: skip
    return [f"Rule {STRICT}, of the {judged:,} items that it judges: {', '.join(told)}; 95 % intervals over concepts."]


def _missing(run: dict[str, Any]) -> list[tuple[str, str]]:
    """What the finding lacks, and the stage that would tell it."""
    lacking = [
        ("what each layer shows", "traces", "trace"),
        ("which items go through a pivot", "behaviors", "behaviors"),
        ("whether the corpus predicts it", "attribution", "attribution"),
        ("whether the model uses what its layers show", "effects", "causal"),
    ]
    return [(what, stage) for what, name, stage in lacking if run[name] is None]


def hanging_lines(behaviors: pa.Table) -> dict[str, str]:
    """One line per rule with a token that is the peak of more than a tenth of the items that are not excluded."""
    names = ("rule", "behavior", "peak_id", "peak_token")
    items: Counter[str] = Counter()
    peaks: dict[str, Counter[tuple[int, str]]] = {}
    for rule, behavior, token, text in zip(*(behaviors[name].to_pylist() for name in names), strict=True):
        if behavior != "excluded":
            items[rule] += 1
            if token is not None:
                peaks.setdefault(rule, Counter())[token, text] += 1
    lines = {}
    for rule in sorted(peaks, key=lambda rule: (rule != STRICT, rule)):
        told = [(text, n) for (_, text), n in peaks[rule].most_common() if n > MOST_ON_ONE_TOKEN * items[rule]]
        if told:
            shown = ", ".join(f"“{visible(text)}” for {n}" for text, n in told)
            lines[rule] = f"Rule {visible(rule)} hangs on single tokens: {shown} of {items[rule]} items."
    return lines


def validity_lines(behaviors: pa.Table, languages: Mapping[str, str]) -> list[str]:
    """What the headline's rule hangs on: single tokens, the order of its questions, items without contrasts.

    A table without the strict rule has the lines of its rules on single tokens.
    """
    rows = _strict_rows(behaviors)
    hanging = hanging_lines(behaviors)
    lines = [line for rule, line in hanging.items() if rule == STRICT or not rows]
    pivots = [row for row in rows if row["behavior"] == "pivot"]
    both = sum("copy" in (row.get("also") or ()) for row in pivots)
    if both:
        lines.append(
            f"{both} of the {len(pivots)} pivot items show a token of the source too, before the target: "
            "they would be copy if that were asked first."
        )
    absent = table_metadata(behaviors).get("contrast", {}).get("absent") or {}
    if rows and absent:
        reasons = [visible(absent)] if isinstance(absent, str) else [
            f"{_group(group, languages)} ({visible(why)})" for group, why in absent.items()
        ]  # fmt: skip
        more = [f"and {len(reasons) - MOST_REASONS} more"] * (len(reasons) > MOST_REASONS)
        lines.append(f"Excluded for want of contrasts: {', '.join(reasons[:MOST_REASONS] + more)}.")
    return lines


def language_line(behaviors: pa.Table, languages: Mapping[str, str]) -> str | None:
    """The languages of the pivots under the strict rule; None without pivots."""
    spoken = Counter(_spoken(row["language"], languages) for row in _strict_rows(behaviors)
                     if row["behavior"] == "pivot" and "language" in row)  # fmt: skip
    if not spoken:
        return None
    n, unknown = spoken.total(), spoken.pop("", 0)
    shown = [f"{name} {n}" for name, n in spoken.most_common()] + [f"in no word list {unknown}"] * bool(unknown)
    return f"Languages of the {n} pivots: {', '.join(shown)}."


def _strict_rows(behaviors: pa.Table) -> list[dict[str, Any]]:
    columns = [name for name in ("rule", "behavior", "language", "also") if name in behaviors.column_names]
    return [row for row in behaviors.select(columns).to_pylist() if row["rule"] == STRICT]


def _group(group: str, languages: Mapping[str, str]) -> str:
    """A pair as an arrow, with the pieces that its items are read behind."""
    pair, _, pieces = group.partition(" after ")
    return arrow(pair, languages) + (f" after {visible(pieces)}" if pieces else "")


def _spoken(codes: str | None, languages: Mapping[str, str]) -> str:
    """The languages of a pivot by name; empty where none is known."""
    return " or ".join(visible(languages.get(code, code)) for code in codes.split("|")) if codes else ""

"""What the verdicts on behavior rest on, in words: single tokens, the order of the questions, languages, contrasts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pivotkit.artifacts import table_metadata
from pivotkit.lens.behavior import STRICT
from pivotkit.report.text import arrow, visible

MOST_ON_ONE_TOKEN = 0.1  # of a rule's items; a verdict that rests on one token more often says so
MOST_REASONS = 5  # that a line lists


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

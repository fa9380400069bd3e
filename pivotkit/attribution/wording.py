"""Figures in sentences: with their intervals and numbers of items."""

from __future__ import annotations

from typing import Any

ENDS = ("low", "high")


def caveat(text: str) -> dict[str, str]:
    return {"text": text, "kind": "caveat"}


def found(text: str) -> dict[str, str]:
    return {"text": text, "kind": "finding"}


def count(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def estimated(row: dict[str, Any], name: str) -> str:
    """A number of a row with its interval, to three significant digits where it is small."""
    numbers = [row[name], *(row[end] for end in ENDS)]
    if None in numbers:
        return f"{_number(row[name])} (no interval)"
    return f"{_number(numbers[0])} [{_number(numbers[1])}, {_number(numbers[2])}]"


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"


def of_class(row: dict[str, Any]) -> str:
    """How many items of each class an AUC is of."""
    copied = f", {row['n_copy']} copy" * bool(row["n_copy"])
    return f"n {row['n']} ({row['n_co_occurrence']} co-occurrence{copied}, {row['n_pivot']} pivot)"

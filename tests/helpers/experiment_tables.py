"""The tables of the experiment in docs/study.md, from its recorded figures. Run this file to write them anew."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pivotkit.testbed.experiment.recorded import recorded

PAGE = Path(__file__).resolve().parents[2] / "docs" / "study.md"
BLOCK = re.compile(r"(<!-- experiment -->\n).*?(<!-- /experiment -->)", re.DOTALL)
VERDICTS = {"holds": "**holds**", "fails": "**fails**", "open": "open"}
Row = dict[str, Any]


def tables(figures: Row) -> str:
    """What stands between the marks."""
    made = figures["made"]
    seeds = {pool: len(found["seeds"]) for pool, found in figures["pools"].items()}
    told = ", ".join(f"{number} seeds of *{pool}*" for pool, number in seeds.items()) or "No seed yet"
    lines = [f"{told}; `{made['command']}`, {made['date']}, {made['machine']}, torch {made['torch']}.", ""]
    for pool, found in figures["pools"].items():
        lines += [f"**Pool: {pool}**", "", *_statements(found), "", *_arms(found), "", *_causal(found), ""]
        shown = "; ".join(
            f"{kind} concepts: {', '.join(f'{name} {count}' for name, count in counts.items())}"
            for kind, counts in found["behaviors"].items()
        )
        spent = figures["cpu_seconds"][pool]
        lines += [
            f"Behaviors on the base models, in items: {shown}. CPU seconds a unit: {min(spent):.0f} to {max(spent):.0f}.",
            "",
        ]
    return "\n".join([*lines, *_grid(figures["grid"])]).rstrip() + "\n"


def _statements(found: Row) -> Iterator[str]:
    yield "| | statement | difference [95 %] | seeds above 0 | |"
    yield "|---|---|---|---|---|"
    for row in found["statements"]:
        above = f"{row['seeds_above']} of {row['seeds']}"
        yield f"| {row['key']} | {row['text']} | {told(row, '+')} | {above} | {VERDICTS[row['verdict']]} |"


def _arms(found: Row) -> Iterator[str]:
    yield "| arm | pivot concepts | direct concepts | loss P | loss A | loss B | with P | A with B | pivot tokens |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for arm in found["order"]:
        row = found["arms"][arm]
        loss = " | ".join(f"{row['loss'][language]:.2f}" for language in "pab")
        facts = row.get("facts", {})
        made_of = " | ".join(f"{facts[name]:.2f}" if facts else "" for name in ("with P", "parallel", "pivot tokens"))
        yield f"| {arm} | {told(row['pivot'])} | {told(row['direct'])} | {loss} | {made_of} |"


def _causal(found: Row) -> Iterator[str]:
    yield "| removing the pivot's direction, beyond another item's (nats) | mean | change from before |"
    yield "|---|---|---|"
    for arm, row in found["causal"].items():
        yield f"| {arm} | {told(row['effect'], '+')} | {told(row['more'], '+') if 'more' in row else ''} |"


def _grid(cells: list[Row]) -> Iterator[str]:
    if not cells:
        return
    budgets = sorted({cell["tokens"] for cell in cells})
    yield f"**Grid**, gain of pivot-aware over bilingual on pivot concepts, {cells[0]['seeds']} seeds:"
    yield ""
    yield f"| documents with pivots among bilingual ones | {' | '.join(f'{tokens:,} tokens' for tokens in budgets)} |"
    yield "|---|" + "---|" * len(budgets)
    for share in sorted({cell["share"] for cell in cells}):
        gains = {cell["tokens"]: told(cell["pivot"]["gain"], "+") for cell in cells if cell["share"] == share}
        yield f"| {share:.0%} | {' | '.join(gains[tokens] for tokens in budgets)} |"


def told(row: Row, sign: str = "") -> str:
    """A value with its interval, without the zero before the point."""
    if row["value"] is None:
        return "–"
    value, low, high = (re.sub(r"^([+-]?)0\.", r"\1.", f"{row[end]:{sign}.2f}") for end in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def written(page: str, figures: Row) -> str:
    """The page with its tables made anew."""
    return BLOCK.sub(lambda found: found[1] + tables(figures) + found[2], page)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8"), recorded()), "utf-8")

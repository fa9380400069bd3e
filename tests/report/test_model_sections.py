"""Behaviors on the page equal those computed from the tables, and lead to their words."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

from pivotkit.artifacts import read_table
from pivotkit.report.text import number


def test_behavior_counts_equal_the_table(page: Any, full_run: Path) -> None:
    found = Counter(
        (row["rule"], row["pair"], row["behavior"]) for row in read_table(full_run / "behaviors.parquet").to_pylist()
    )
    names = ("co-occurrence", "pivot", "copy", "other", "excluded")
    for rule in ("paper", "strict", "threshold"):
        counts = [found[rule, "en-fr", name] for name in names]
        told = number(counts[1] / (counts[0] + counts[1]))
        assert page.has("en → fr", str(sum(counts)), *map(str, counts), told)


def test_sensitivity_equals_the_table(source: str, page: Any, full_run: Path) -> None:
    rows = read_table(full_run / "sensitivity.parquet").to_pylist()
    shares = {
        (row["pair"], row["rule"], row["least_contrast"], row["min_probability"]): row["pivot"]
        / (row["pivot"] + row["co_occurrence"])
        for row in rows
    }
    shown = number(shares["all", "strict", math.log(100), 0.25])
    assert f"strict, contrast log 100, 0.25: {shown}</title>" in source
    assert f"paper, 0.00: {number(shares['all', 'paper', None, 0.0])}</title>" in source
    for pair, label in (("en-fr", "en → fr"), ("all", "all pairs")):
        ranges = []
        for variant in (("paper", None), ("strict", math.log(10)), ("strict", math.log(100)), ("threshold", None)):
            own = [share for key, share in shares.items() if key[:3] == (pair, *variant)]
            ranges.append(f"{number(min(own), 2)} to {number(max(own), 2)}")
        assert page.has(label, *ranges)


def test_every_bar_leads_to_the_words_of_its_behavior(page: Any, full_run: Path) -> None:
    rows = read_table(full_run / "behaviors.parquet").to_pylist()
    there = {f"#words?pair={row['pair']}&behavior={row['behavior']}&rule={row['rule']}" for row in rows}
    links = {value for tag, name, value in page.attributes if name == "href" and "behavior=" in value}
    assert links == there

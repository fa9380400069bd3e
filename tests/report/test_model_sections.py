"""Scores, curves and behaviours on the page equal those computed from the tables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pivotkit.artifacts import read_table, write_table
from pivotkit.errors import InputError
from pivotkit.report import write_report
from pivotkit.report.text import number


def test_scores_equal_their_means(page: Any, full_run: Path) -> None:
    scores = read_table(full_run / "scores.parquet").to_pylist()
    for pair, label in (("fr-zh", "fr → zh"), ("en-fr", "en → fr")):
        values = [row["score"] for row in scores if row["pair"] == pair]
        assert page.has(label, str(len(values)), number(sum(values) / len(values)))
        assert number(sum(value > 0 for value in values) / len(values)) in page.words


def test_curves_equal_mean_masses(source: str, full_run: Path) -> None:
    traces = read_table(full_run / "traces").to_pylist()
    for name in ("source", "en", "target", "pivot"):
        logs = [row[f"{name}_logmass"] for row in traces if row["pair"] == "fr-zh" and row["layer"] == 15]
        assert f"layer 15, {name}: {number(float(np.exp(logs).mean()))} [" in source


def test_a_latent_language_that_is_the_source_is_drawn_once(source: str) -> None:
    first, second = re.findall(r'aria-label="Probability mass by layer, [^"]*".*?</svg>', source, re.DOTALL)
    assert ", en: " not in first  # en → fr
    assert ", en: " in second  # fr → zh


def test_top1_shares_equal_a_count(source: str, full_run: Path) -> None:
    rows = [row for row in read_table(full_run / "traces").to_pylist() if row["pair"] == "fr-zh" and row["layer"] == 18]
    share = sum(row["top_ids"][0] in row["target_ids"] for row in rows) / len(rows)
    assert f"layer 18, target: {share:.1%}" in source


def test_behavior_counts_equal_the_table(page: Any, full_run: Path) -> None:
    found = Counter(
        (row["rule"], row["pair"], row["behavior"]) for row in read_table(full_run / "behaviors.parquet").to_pylist()
    )
    names = ("co-occurrence", "pivot", "copy", "other", "excluded")
    for rule in ("paper", "strict", "threshold"):
        counts = [found[rule, "en-fr", name] for name in names]
        told = number(counts[1] / (counts[0] + counts[1]))
        assert page.has("en → fr", str(sum(counts)), *map(str, counts), told)


def test_an_item_without_one_of_its_layers_is_refused(new_run: Callable[[], Path]) -> None:
    run = new_run()
    part = sorted((run / "traces").glob("*.parquet"))[0]
    write_table(read_table(part)[1:], part)
    with pytest.raises(InputError, match="every item must have each of the 19 layers once"):
        write_report(run)

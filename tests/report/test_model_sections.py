"""Curves and behaviors on the page equal those computed from the tables."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pivotkit.artifacts import read_table, write_table
from pivotkit.errors import InputError
from pivotkit.report import write_report
from pivotkit.report.text import number


def test_curves_equal_mean_masses(source: str, full_run: Path) -> None:
    traces = read_table(full_run / "traces").to_pylist()
    for name in ("source", "en", "target", "pivot", "control", "matched", "other"):
        logs = [row[f"{name}_logmass"] for row in traces if row["pair"] == "fr-zh" and row["layer"] == 15]
        assert f"layer 15, {name}: {number(float(np.exp(logs).mean()))} [" in source


def test_controls_are_drawn_with_the_pivots_and_are_no_languages(source: str) -> None:
    assert "pivots of other items of the pair" in source
    assert not re.search(r"(control|matched|other) \(latent language\)", source)


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


def test_curves_leave_out_items_whose_words_share_a_piece(new_run: Callable[[], Path], read_page: Any) -> None:
    run = new_run()
    parts = sorted((run / "traces").glob("*.parquet"))
    for part in parts:
        table = read_table(part)
        shared = pa.array([[1, 2] if item == 0 else [2] for item in table["item"].to_pylist()])
        table = table.append_column("source_pieces", shared)
        ones = pa.array([[1]] * table.num_rows)
        write_table(table.append_column("target_pieces", ones), part)
    items = read_table(run / "items.parquet").to_pylist()
    n = sum(item["pair"] == items[0]["pair"] for item in items)
    page = read_page(write_report(run))
    assert f"n = {n - 1}" in page.words
    assert f"n = {n}" in page.words  # the other pair

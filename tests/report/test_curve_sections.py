"""Curves on the page equal those computed from the tables: masses, specific tokens, first choices."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pivotkit.artifacts import read_table, write_table
from pivotkit.errors import InputError
from pivotkit.lens.specific_tokens import specific_tokens
from pivotkit.report import write_report
from pivotkit.report.curve_sections import CONTROLS, grids, latent_languages, pooled, token_sets
from pivotkit.report.data import read_run
from pivotkit.report.specific import class_shares
from pivotkit.report.text import number


def test_curves_equal_mean_masses(source: str, full_run: Path) -> None:
    traces = read_table(full_run / "traces").to_pylist()
    for name in ("source", "en", "target", "pivot"):
        logs = [row[f"{name}_logmass"] for row in traces if row["pair"] == "fr-zh" and row["layer"] == 15]
        assert f"layer 15, {name}: {number(float(np.exp(logs).mean()))} [" in source


def test_a_latent_language_that_is_the_source_is_drawn_once(source: str) -> None:
    first, second = re.findall(r'aria-label="Probability mass by layer, (?!all)[^"]*".*?</svg>', source, re.DOTALL)
    assert ", en: " not in first  # en → fr
    assert ", en: " in second  # fr → zh


def test_top1_shares_equal_a_count(source: str, full_run: Path) -> None:
    rows = [row for row in read_table(full_run / "traces").to_pylist() if row["pair"] == "fr-zh" and row["layer"] == 18]
    share = sum(row["top_ids"][0] in row["target_ids"] for row in rows) / len(rows)
    assert f"layer 18, target: {share:.1%}" in source


def test_an_item_without_one_of_its_layers_is_refused(new_run: Callable[[], Path]) -> None:
    run = new_run()
    part = sorted((run / "traces").glob("*.parquet"))[0]
    write_table(read_table(part)[1:], part)
    with pytest.raises(InputError, match="every item must have each of the 19 layers once"):
        write_report(run)


def test_curves_leave_out_items_whose_words_share_a_piece(new_run: Callable[[], Path], read_page: Any) -> None:
    run = new_run()
    parts = sorted((run / "traces").glob("*.parquet"))
    for part in parts:
        table = read_table(part)
        shared = pa.array([[1, 2] if item == 0 else [2] for item in table["item"].to_pylist()])
        own = pa.array([[1]] * table.num_rows)
        for name, pieces in (("source_pieces", shared), ("target_pieces", own)):
            table = table.set_column(table.column_names.index(name), name, pieces)
        write_table(table, part)
    items = read_table(run / "items.parquet").to_pylist()
    n = sum(item["pair"] == items[0]["pair"] for item in items)
    page = read_page(write_report(run))
    assert f"n = {n - 1}" in page.words
    assert f"n = {n}" in page.words  # the other pair


def test_controls_are_drawn_beside_the_pivots_and_are_no_languages(source: str, full_run: Path) -> None:
    traces = read_table(full_run / "traces")
    assert latent_languages(traces) == ["en"]
    assert not set(token_sets(traces)) & set(CONTROLS)
    for name, label in CONTROLS.items():
        assert f">{label}</li>" in source
        logs = [row[f"{name}_logmass"] for row in traces.to_pylist() if row["pair"] == "fr-zh" and row["layer"] == 15]
        assert f"layer 15, {name}: {number(float(np.exp(logs).mean()))} [" in source


def test_specific_tokens_are_counted_by_class_and_layer(full_run: Path) -> None:
    run = read_run(full_run)
    found = grids(run["traces"])
    shown = class_shares(*found["fr-zh"])
    assert shown is not None
    listed = {(row["class"], row["item"], row["layer"]) for row in specific_tokens(run["traces"]).to_pylist()}
    items = sorted({row for row in found["fr-zh"].table["item"].to_pylist()})
    seen = 0
    for name, values in shown.items():
        for place, item in enumerate(items):
            for column, layer in enumerate(found["fr-zh"].layers):
                assert values[place, column] == ((name, item, layer) in listed)
        seen += int(values.sum())
    assert seen > 20
    assert class_shares(*found["en-fr"]) is None  # no contrasts


def test_an_item_without_contrasts_has_no_share(full_run: Path) -> None:
    run = read_run(full_run)
    found = grids(run["traces"])["fr-zh"]
    table = found.table
    item = table["item"][0].as_py()
    values = [None if own == item else row for row, own in
              zip(*(table[name].to_pylist() for name in ("top_contrasts", "item")), strict=True)]  # fmt: skip
    column = pa.array(values, table.schema.field("top_contrasts").type)
    table = table.set_column(table.column_names.index("top_contrasts"), "top_contrasts", column)
    shown = class_shares(table, found.layers, found.n)
    assert shown is not None
    assert all(math.isnan(value) for values in shown.values() for value in values[0])
    assert not any(math.isnan(value) for values in shown.values() for value in values[1])


def test_the_curves_of_all_pairs_are_means_over_items_that_have_the_set(full_run: Path) -> None:
    run = read_run(full_run)
    view = pooled(run)
    assert view is not None
    rows = [row for row in run["traces"].to_pylist() if row["layer"] == 15]
    curves = {curve["name"]: curve for curve in view["series"]}
    for name in ("source", "target", "pivot", "other"):
        assert curves[name]["mean"][15] == pytest.approx(np.mean([math.exp(row[f"{name}_logmass"]) for row in rows]))
        assert curves[name]["n"] == len(rows)
    own = [row for row in rows if row["pair"] == "fr-zh"]  # English is the source of the other pair
    assert curves["en"]["mean"][15] == pytest.approx(np.mean([math.exp(row["en_logmass"]) for row in own]))
    assert curves["en"]["n"] == len(own)
    assert all(np.all(curve["low"] <= curve["mean"] + 1e-12) for curve in curves.values())


def test_traces_from_before_contrasts_have_curves_of_masses_alone(
    new_run: Callable[[], Path], read_page: Callable[[Path], Any]
) -> None:
    run = new_run()
    old = read_table(run / "traces").drop_columns(["top_contrasts", "words"])
    for path in (run / "traces").glob("*.parquet"):
        path.unlink()
    write_table(old, run / "traces" / "part-00000.parquet")
    page = write_report(run).read_text(encoding="utf-8")
    assert "They are not shown: these traces have no contrasts." in page
    assert "Probability mass by layer, all pairs" in page
    assert "Specific tokens by layer" not in page

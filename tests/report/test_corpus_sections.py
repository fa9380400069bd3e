"""Pivots, selection and training on the page equal those computed from the tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pivotkit.artifacts import read_table, write_table
from pivotkit.report import write_report
from pivotkit.report.arms.drawn import drawn_arms
from pivotkit.report.corpus_sections import controls
from pivotkit.report.text import number


def test_selection_shows_got_against_asked(page: Any, full_run: Path) -> None:
    chosen = read_table(full_run / "selection" / "provenance.parquet").to_pylist()
    for lang, asked in (("en", "20,000"), ("fr", "40,000"), ("zh", "40,000")):
        assert page.has(lang, asked, f"{sum(row['tokens'] for row in chosen if row['lang'] == lang):,}")
    pooled = sum(row["pivots"] for row in chosen) / sum(row["tokens"] for row in chosen)
    assert page.has("selected documents", f"{len(chosen):,}", number(pooled))


def test_the_guard_shows_what_each_filter_took_by_language(page: Any) -> None:
    assert page.has("gopher", "2", "1,234", "2", "0")
    assert page.has("all documents", "3,000", "810,009", "1,800", "1,200")
    assert "c4" not in page.words  # it took nothing


def test_documents_of_each_arm_are_shown_with_their_pivots_marked(
    new_run: Callable[[], Path], read_page: Callable[[Path], Any]
) -> None:
    run = new_run()
    hub = next(token for token in read_table(run / "hubs.parquet")["token"].to_pylist() if token.strip().isalpha())
    rows = read_table(run / "selection" / "provenance.parquet").slice(0, 2)
    write_table(rows, run / "selection" / "provenance.parquet")
    write_table(rows, run / "controls" / "random" / "provenance.parquet")
    lines = [{"id": identity, "text": f"<b>1 {hub.strip()} 2"} for identity in rows["id"].to_pylist()]
    (run / "selection" / "part-0.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    page = read_page(write_report(run))
    assert page.has("<b>1", hub.strip(), "2")
    assert page.tags["mark"] == 2 + 1  # one in the caption
    assert page.words.count("This arm holds token ids and no text.") == 2  # those of the control


def test_an_arm_whose_documents_are_cut_has_the_tokens_that_were_taken(new_run: Callable[[], Path]) -> None:
    run = new_run()
    rows = read_table(run / "selection" / "provenance.parquet").slice(0, 2)
    cut = rows.append_column("take", pa.array([1, None], pa.int32()))  # null: the whole document
    write_table(cut, run / "controls" / "random" / "provenance.parquet")
    assert {arm.name: arm.tokens for arm in drawn_arms(run)}["random"] == 1 + rows["tokens"].to_pylist()[1]


def test_only_an_arm_that_lacks_something_is_told_to_be_short(full_run: Path) -> None:
    arms = read_table(full_run / "controls" / "arms.parquet")
    short = pa.array([None, *["40 tokens of fr"] * (arms.num_rows - 1)], pa.string())
    view = controls({"arms": arms.set_column(arms.column_names.index("short"), "short", short)})
    assert view is not None
    assert [row["short"] for row in view["rows"]] == ["", *["40 tokens of fr"] * (arms.num_rows - 1)]


def test_pretraining_shows_every_seed(page: Any, source: str, full_run: Path) -> None:
    ends = [
        row for row in read_table(full_run / "pretrain.parquet").to_pylist() if (row["of"], row["step"]) == ("all", 40)
    ]
    for row in ends:
        assert f"{row['arm']}, seed {row['seed']}: {number(row['value'])}" in source
    of_arm = [row["value"] for row in ends if (row["measure"], row["arm"]) == ("accuracy", "parallel")]
    assert len(of_arm) == 3
    assert any(words.startswith(number(float(np.mean(of_arm))) + " (") for words in page.words)


def test_pivots_in_the_layers_are_counted_against_controls(page: Any, full_run: Path) -> None:
    tops: dict[int, set[int]] = {}
    for row in read_table(full_run / "traces").to_pylist():
        tops.setdefault(row["item"], set()).update(row["top_ids"])
    hits: dict[int, bool] = {}
    for row in read_table(full_run / "pivots.parquet").to_pylist():
        if row["pair"] == "fr-zh" and row["rank"] < 10:
            hits[row["item"]] = hits.get(row["item"], False) or row["token_id"] in tops[row["item"]]
    assert page.has("fr → zh", str(len(hits)), number(sum(hits.values()) / len(hits)))


def test_tokens_without_text_and_missing_controls_are_shown(
    new_run: Callable[[], Path], read_page: Callable[[Path], Any]
) -> None:
    run = new_run()
    pivots = read_table(run / "pivots.parquet").to_pylist()
    for row in pivots:
        row |= {"token": None, "control_token": None}
    pivots[0]["control_id"] = None
    kinds = read_table(run / "pivots.parquet").schema
    write_table(pa.Table.from_pylist(pivots, schema=kinds), run / "pivots.parquet")
    page = read_page(write_report(run))
    assert f"#{pivots[0]['token_id']}" in page.words
    first = next(word for word in page.data()["words"] if word["id"] == str(pivots[0]["item"]))
    assert [pivot[2] for pivot in first["pivots"][:2]] == ["–", f"#{pivots[1]['control_id']}"]


def test_a_long_table_of_pivots_is_cut_and_says_so(
    new_run: Callable[[], Path], monkeypatch: pytest.MonkeyPatch, read_page: Callable[[Path], Any]
) -> None:
    monkeypatch.setattr("pivotkit.report.corpus_sections.SHOWN_ITEMS", 5)
    assert "the first 5 of 12 items; pivots.parquet holds the rest" in read_page(write_report(new_run())).words

"""Scores on the page equal those computed from the tables, and the matrices those of the lens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pivotkit.artifacts import read_table, write_table
from pivotkit.errors import InputError
from pivotkit.lens.matrix import score_matrix
from pivotkit.report import write_report
from pivotkit.report.text import interval, number

LATER = ["gold_rank", "greedy", "reciprocal_rank", "excluded"]


def test_scores_equal_their_means_without_the_excluded(page: Any, full_run: Path) -> None:
    scores = read_table(full_run / "scores.parquet").to_pylist()
    for pair, label in (("fr-zh", "fr → zh"), ("en-fr", "en → fr")):
        own = [row for row in scores if row["pair"] == pair]
        values = [row["score"] for row in own if not row["excluded"]]
        assert 0 < len(values) < len(own)
        left_out = str(len(own) - len(values))
        assert page.has(label, str(len(values)), left_out, number(sum(values) / len(values)))
        assert number(sum(value > 0 for value in values) / len(values)) in page.words


def test_every_measure_is_a_matrix_of_source_by_target(page: Any, full_run: Path) -> None:
    rows = {row["pair"]: row for row in score_matrix(read_table(full_run / "scores.parquet")).to_pylist()}
    titles = {"score": "Mean score", "accuracy": "Right source first", "greedy": "Greedy decoding",
              "reciprocal_rank": "Mean reciprocal rank"}  # fmt: skip
    for measure, title in titles.items():

        def cell(pair: str, measure: str = measure) -> list[str]:
            row = rows[pair]
            return [number(row[measure]), interval(row[f"{measure}_low"], row[f"{measure}_high"])]

        begin = page.words.index(title)
        assert " ".join(cell("all")) in page.words[begin + 1]
        # en to fr stands in the first column, fr to zh in the second.
        table = ["source", "fr", "zh", "en", *cell("en-fr"), "fr", *cell("fr-zh")]
        assert page.words[begin + 2 : begin + 2 + len(table)] == table


def test_scores_of_an_earlier_version_are_shown_as_far_as_they_go(new_run: Callable[[], Path], read_page: Any) -> None:
    run = new_run()
    scores = read_table(run / "scores.parquet")
    write_table(scores.drop_columns(LATER), run / "scores.parquet")
    (run / "sensitivity.parquet").unlink()
    page = read_page(write_report(run))
    n = scores.filter(pc.equal(scores["pair"], "fr-zh")).num_rows
    assert page.has("fr → zh", str(n), "–")
    assert "Mean score" in page.words
    assert "Greedy decoding" not in page.words
    assert "How far the rule decides" not in page.words


def test_a_later_column_of_another_type_is_refused_by_name(new_run: Callable[[], Path]) -> None:
    run = new_run()
    scores = read_table(run / "scores.parquet")
    words = pa.array(["often"] * scores.num_rows)
    write_table(scores.set_column(scores.column_names.index("greedy"), "greedy", words), run / "scores.parquet")
    with pytest.raises(InputError, match=r"scores\.parquet: column greedy must be number; got string"):
        write_report(run)

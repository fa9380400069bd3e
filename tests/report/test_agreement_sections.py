"""Agreement on the page: sentences of the table, figures with intervals, and why there are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pivotkit.artifacts import read_table, write_table
from pivotkit.errors import InputError
from pivotkit.report.agreement_sections import agreement
from pivotkit.report.data import read_run
from pivotkit.report.text import interval, number


def test_the_sentences_are_those_against_other_items_and_all_pairs_come_first(page: Any, full_run: Path) -> None:
    shown = agreement(read_run(full_run))
    assert shown is not None
    assert shown["words"] == ["all: a sentence of other.", "fr-zh: a sentence of other.", "en-fr: a sentence of other."]
    assert shown["layers"] == "10 to 11"
    assert "all: a sentence of other." in page.words


def test_every_difference_is_drawn_and_listed_with_its_interval(source: str, page: Any, full_run: Path) -> None:
    for name, places in (("pivot_mass", 4), ("agreement", 3)):
        for row in read_table(full_run / f"{name}.parquet").to_pylist():
            if row["pair"] == "fr-zh" or row["low"] is None:
                told = number(row["difference"], places)
                if row["low"] is not None:
                    told += f" {interval(row['low'], row['high'], places)}"
                assert f"{told}, n = {row['items']}" in source
    assert page.words.count("fewer than 10 concepts") == 3


def test_a_run_without_agreement_has_no_such_section(new_run: Callable[[], Path]) -> None:
    run = new_run()
    (run / "agreement.parquet").unlink()
    assert agreement(read_run(run)) is None


def test_a_table_without_a_column_is_refused(new_run: Callable[[], Path]) -> None:
    run = new_run()
    write_table(read_table(run / "pivot_mass.parquet").drop_columns(["sentence"]), run / "pivot_mass.parquet")
    with pytest.raises(InputError, match=r"pivot_mass\.parquet: must have the columns sentence"):
        read_run(run)

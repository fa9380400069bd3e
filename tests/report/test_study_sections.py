"""The head, the planted truth and attribution are shown as they were written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pivotkit.artifacts import read_json, write_json
from pivotkit.errors import InputError
from pivotkit.report import write_report
from pivotkit.report.text import number


def test_auc_and_its_reasons_are_shown_as_computed(page: Any, full_run: Path) -> None:
    for entry in read_json(full_run / "attribution.json")["auc"]:
        shown = number(entry["auc"])
        assert shown in page.words
        assert (entry.get("reason") or f"[{number(entry['low'])}, {number(entry['high'])}]") in page.words


def test_the_testbeds_truth_is_shown(page: Any) -> None:
    assert page.has("Planted pivots recovered", "120", "119", "99.2%")
    assert page.has("pivot", "1", "39")


@pytest.mark.parametrize(("model", "title"), [("/models/tiny-1b", "tiny-1b"), ("owner/tiny-1b", "owner/tiny-1b")])
def test_the_title_is_the_models_name_and_not_where_it_lies(
    new_run: Callable[[], Path], model: str, title: str
) -> None:
    run = new_run()
    record = read_json(run / "run.json")
    record["config"]["model"] = model
    write_json(record, run / "run.json")
    assert "<h1>testbed</h1>" in write_report(run).read_text(encoding="utf-8")  # with a planted truth
    (run / "truth.json").unlink()
    assert f"<h1>{title}</h1>" in write_report(run).read_text(encoding="utf-8")


@pytest.mark.parametrize("rules", [("paper", "strict"), ("paper",)])
def test_the_headline_is_the_auc_of_the_strict_rule_or_none(new_run: Callable[[], Path], rules: tuple[str]) -> None:
    run = new_run()
    values = {"paper": 0.123, "strict": 0.876}
    counts = {"low": None, "high": None, "n_co_occurrence": 4, "n_pivot": 4}
    rows = [{"rule": rule, "pair": "all", "predictor": "log_df_both", "auc": values[rule]} | counts for rule in rules]
    write_json({"auc": rows}, run / "attribution.json")
    cards = write_report(run).read_text(encoding="utf-8").split('<div class="cards">')[1].split("<dl")[0]
    assert ("0.876" in cards) == ("AUC of log co-occurrence, all pairs, rule strict" in cards) == ("strict" in rules)
    assert "0.123" not in cards


def test_an_incomplete_attribution_is_refused(new_run: Callable[[], Path]) -> None:
    run = new_run()
    write_json({"auc": [{"rule": "paper", "pair": "all"}]}, run / "attribution.json")
    with pytest.raises(InputError, match="auc must have the keys predictor, auc, low"):
        write_report(run)

"""The head and the planted truth are shown as they were written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pivotkit.artifacts import read_json, write_json
from pivotkit.report import write_report


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

"""What the page says of the verdicts on behavior, against tables of a few rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pivotkit.artifacts import read_table, with_metadata, write_table
from pivotkit.lens.behavior import BEHAVIORS
from pivotkit.report import write_report
from pivotkit.report.first_screen import hanging_lines, language_line, validity_lines

NAMES = {"en": "English", "de": "German", "fr": "French", "zh": "Chinese"}


def table(rows: list[dict[str, Any]], contrast: Any = None) -> pa.Table:
    whole = [{"item": number, "pair": "fr-zh", "rule": "strict", **row} for number, row in enumerate(rows)]
    return with_metadata(pa.Table.from_pylist(whole, schema=BEHAVIORS), {"contrast": contrast or {}})


def peaks(rule: str, *tokens: int | None, behavior: str = "pivot") -> list[dict[str, Any]]:
    return [{"rule": rule, "behavior": behavior, "peak_id": token, "peak_token": None if token is None else f" t{token}"}
            for token in tokens]  # fmt: skip


def test_a_token_that_is_the_peak_of_more_than_a_tenth_of_the_items_is_named() -> None:
    rows = peaks("paper", 7, 7, 8, 8, 8, *range(20, 35)) + peaks("strict", *range(20))
    assert hanging_lines(table(rows)) == {"paper": "Rule paper hangs on single tokens: “␣t8” for 3 of 20 items."}


def test_a_tenth_of_the_items_is_not_more_than_a_tenth() -> None:
    assert hanging_lines(table(peaks("strict", 7, 7, *range(20, 38)))) == {}
    assert len(hanging_lines(table(peaks("strict", 7, 7, 7, *range(20, 37))))) == 1


def test_excluded_items_and_items_without_a_peak_are_counted_as_they_should() -> None:
    alone = peaks("strict", 7, 7, *range(20, 30))
    assert "for 2 of 12 items" in hanging_lines(table(alone))["strict"]
    excluded = hanging_lines(table(alone + peaks("strict", *[None] * 30, behavior="excluded")))
    assert "for 2 of 12 items" in excluded["strict"]
    assert hanging_lines(table(alone + peaks("strict", *[None] * 30, behavior="co-occurrence"))) == {}


def test_a_warning_of_another_rule_is_no_caveat_of_the_headline() -> None:
    junk = peaks("paper", *[7] * 20)
    assert validity_lines(table(junk), NAMES) == ["Rule paper hangs on single tokens: “␣t7” for 20 of 20 items."]
    assert validity_lines(table(junk + peaks("strict", *range(20))), NAMES) == []


def test_the_languages_and_the_order_of_pivots_are_counted() -> None:
    rows = [
        {"behavior": "pivot", "language": "en", "also": ["copy", "piece"]},
        {"behavior": "pivot", "language": "en", "also": []},
        {"behavior": "pivot", "language": "de|fr", "also": ["copy"]},
        {"behavior": "pivot", "also": ["direct"]},
        {"behavior": "copy", "also": []},
    ]
    assert language_line(table(rows), NAMES) == (
        "Languages of the 4 pivots: English 2, German or French 1, in no word list 1."
    )
    assert validity_lines(table(rows), NAMES) == [
        "2 of the 4 pivot items show a token of the source too, before the target: they would be copy if that were "
        "asked first."
    ]
    assert language_line(table(peaks("paper", *range(20))), NAMES) is None
    assert validity_lines(table(peaks("paper", *range(20))), NAMES) == []


def test_why_items_have_no_contrasts_is_said() -> None:
    few = {"absent": {"fr-zh": "5 items; a contrast needs at least 10"}}
    [line] = validity_lines(table([{"behavior": "excluded"}], few), NAMES)
    assert line == "Excluded for want of contrasts: fr → zh (5 items; a contrast needs at least 10)."
    assert validity_lines(table(peaks("paper", *range(20)), few), NAMES) == []
    [line] = validity_lines(table([{"behavior": "excluded"}], {"absent": "not asked for"}), NAMES)
    assert line == "Excluded for want of contrasts: not asked for."
    many = {"absent": {f"fr-zh after {number}": "1 item" for number in range(8)}}
    [line] = validity_lines(table([{"behavior": "excluded"}], many), NAMES)
    assert line.count("(1 item)") == 3
    assert "fr → zh after 0 (1 item), fr → zh after 1 (1 item)" in line
    assert line.endswith("and 5 more.")


@pytest.mark.parametrize("rule", ["strict", "paper"])
def test_the_headline_is_the_strict_rule_s_and_the_warning_comes_first(new_run: Callable[[], Path], rule: str) -> None:
    run = new_run()
    behaviors = read_table(run / "behaviors.parquet")
    rows = [row | {"peak_id": 5, "peak_token": " в"} for row in behaviors.to_pylist() if row["rule"] == rule]
    write_table(pa.Table.from_pylist(rows, schema=behaviors.schema), run / "behaviors.parquet")
    page = write_report(run).read_text(encoding="utf-8")
    assert page.index(f"Rule {rule} hangs on single tokens: “␣в” for") < page.index("<h2>Behaviors</h2>")
    assert ("pivot / (pivot + co-occurrence), rule strict" in page) == (rule == "strict")
    assert "pivot / (pivot + co-occurrence), rule paper" not in page

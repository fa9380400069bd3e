"""The first screen: caveats before findings, what is not known with its stage, the figures of all pairs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pivotkit.artifacts import read_json, read_table, write_json, write_table
from pivotkit.attribution.evidence import UNTESTED
from pivotkit.errors import InputError
from pivotkit.report import write_report
from pivotkit.report.data import read_run
from pivotkit.report.first_screen import finding, shares

TOLD = [
    {"text": "Words that meet are translated directly.", "kind": "finding"},
    {"text": "Few words.", "kind": "caveat"},
]


def tell(run: Path, told: Any) -> None:
    write_json(read_json(run / "attribution.json") | {"finding": told}, run / "attribution.json")


def first(run: Path) -> str:
    page = write_report(run).read_text(encoding="utf-8")
    return page[page.index('<section id="finding">') : page.index("</section>")]


def test_the_caveats_of_the_attribution_stand_before_its_findings(new_run: Callable[[], Path]) -> None:
    run = new_run()
    tell(run, TOLD)
    screen = first(run)
    assert (
        screen.index("Few words.") < screen.index("Words that meet are translated directly.") < screen.index("<figure")
    )
    assert "that it judges" not in screen  # the finding says it


@pytest.mark.parametrize(
    "told", [[{"text": "x"}], [{"text": 1, "kind": "caveat"}], "words", [{"kind": "fact", "text": "x"}]]
)
def test_a_finding_of_another_form_is_refused(new_run: Callable[[], Path], told: Any) -> None:
    run = new_run()
    tell(run, told)
    with pytest.raises(
        InputError, match=r"attribution.json: finding must hold a text and one of the kinds caveat, find"
    ):
        write_report(run)


def test_a_finding_is_text_and_never_markup(new_run: Callable[[], Path]) -> None:
    run = new_run()
    tell(run, [{"text": "<b>\u202e", "kind": "caveat"}])
    assert "&lt;b&gt;⟨U+202E⟩" in first(run)


def test_without_a_finding_the_page_says_what_the_run_can_say(new_run: Callable[[], Path]) -> None:
    run = new_run()
    view = finding(read_run(run))
    rows = [row for row in read_table(run / "behaviors.parquet").to_pylist() if row["rule"] == "strict"]
    judged = [row["behavior"] for row in rows if row["behavior"] != "excluded"]
    [line] = [line for line in view["findings"] if "judges" in line]
    assert f"of the {len(judged)} items" in line
    assert f"pivot {judged.count('pivot') / len(judged):.0%} [" in line
    assert view["missing"] == []


def test_shares_are_those_of_judged_items_with_intervals_over_concepts(new_run: Callable[[], Path]) -> None:
    run = new_run()
    table = read_table(run / "behaviors.parquet")
    alike = pa.array(["pivot" if item % 12 < 6 else "copy" for item in table["item"].to_pylist()])
    write_table(table.set_column(table.column_names.index("behavior"), "behavior", alike), run / "behaviors.parquet")
    judged, both = shares(read_run(run))
    assert judged == 24
    assert both["pivot"][0] == both["copy"][0] == 0.5
    # Twelve concepts in two pairs, alike in both: as uncertain as twelve items, and more than twenty-four.
    low = both["pivot"][1]
    (run / "items.parquet").unlink()
    _, alone = shares(read_run(run))
    assert low < alone["pivot"][1] < 0.5


@pytest.mark.parametrize(
    ("artifact", "what", "stage"),
    [
        ("behaviors.parquet", "which items go through a pivot", "behaviors"),
        ("attribution.json", "whether the corpus predicts it", "attribution"),
        ("causal_effects.parquet", "whether the model uses what its layers show", "causal"),
    ],
)
def test_what_is_not_known_is_said_with_the_stage_that_tells(
    new_run: Callable[[], Path], artifact: str, what: str, stage: str
) -> None:
    run = new_run()
    (run / artifact).unlink()
    assert f"Not known: {what} (<code>pivotkit {stage}</code>)." in first(run)


def test_a_model_that_answers_few_items_is_a_caveat(new_run: Callable[[], Path]) -> None:
    run = new_run()
    assert "begins the target for 23 of 24 items (96%)" in " ".join(finding(read_run(run))["findings"])
    for part in (run / "traces").glob("*.parquet"):
        table = read_table(part)
        table = table.set_column(table.column_names.index("target_rank"), "target_rank", pa.array([1] * table.num_rows))
        write_table(table, part)
    assert "begins the target for 0 of 24 items (0%)" in " ".join(finding(read_run(run))["caveats"])


def test_the_causal_test_closes_the_finding(plain_run: Path) -> None:
    *_, last = finding(read_run(plain_run))["findings"]
    assert last.startswith("Cause: at layer 14 the pivot is a station with a part of its own.")


def test_the_causal_test_is_told_once(new_run: Callable[[], Path]) -> None:
    run = new_run()
    after = "That a pivot does something to the answer shows in 1 layer."
    tell(run, [{"text": after, "kind": "finding"}])
    assert finding(read_run(run))["findings"] == [after]
    tell(run, [{"text": UNTESTED, "kind": "caveat"}])
    view = finding(read_run(run))
    assert UNTESTED not in view["caveats"]
    assert view["findings"][-1].startswith("Cause: ")


def test_costs_come_last(source: str) -> None:
    assert (
        source.index('<section id="words">') < source.index('<section id="run">') < source.index("Cost of each stage")
    )

"""Causes on the page: the sentences follow from the intervals, and the figures from the table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pivotkit.artifacts import read_table, write_table
from pivotkit.report import write_report
from pivotkit.report.causal_sections import cause
from pivotkit.report.data import read_run
from pivotkit.report.text import interval, number


@pytest.fixture
def shown(new_run: Callable[[], Path]) -> Callable[..., dict[str, Any]]:
    """The section of a run whose effects are changed by a function of a row."""

    def section(change: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda row: row) -> dict[str, Any]:
        run = new_run()
        table = read_table(run / "causal_effects.parquet")
        rows = [new for row in table.to_pylist() if (new := change(dict(row))) is not None]
        write_table(pa.Table.from_pylist(rows, schema=table.schema), run / "causal_effects.parquet")
        found = cause(read_run(run))
        assert found is not None
        return found

    return section


def test_every_layer_has_its_orthogonal_figures_and_what_follows(shown: Callable[..., dict[str, Any]]) -> None:
    [all_layers, first, second, third] = shown()["words"]
    assert "Layer 13 (35 items, 30 concepts)" in first
    assert (
        "changes the answer by −0.21 [−0.35, −0.07] nats; the pivot's whole direction, −3.35 [−3.49, −3.21], of which that is 6%"
        in first
    )
    assert "Less what another item's pivot does, it is −0.10 [−0.24, 0.04]: the interval holds 0" in first
    assert "Reflected, so that as much is taken as by the whole direction, it changes the answer by −1.62" in first
    assert "−0.52 [−0.66, −0.38]: a part of its own" in second
    assert "0.38 [0.24, 0.52]: without it the answer gains" in third
    assert all_layers.startswith("At layer 14 the pivot is a station with a part of its own. At layers 13, 16 it is")


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.4, -0.1, "In every layer tested (13, 14, 16) the pivot is a station"),
        (-0.4, 0.1, "In no layer tested (13, 14, 16) does the pivot show a part of its own"),
        (0.1, 0.4, "In no layer tested (13, 14, 16) does the pivot show a part of its own"),
        (None, None, "No layer tested has 10 concepts"),
    ],
)
def test_the_conclusion_follows_from_the_intervals(
    low: float | None, high: float | None, words: str, shown: Callable[..., dict[str, Any]]
) -> None:
    assert shown(lambda row: row | ({"low": low, "high": high} if row["against"] else {}))["words"][0].startswith(words)


@pytest.mark.parametrize(("concepts", "told"), [(9, "nothing follows"), (10, "a part of its own")])
def test_nothing_follows_from_less_than_ten_concepts(
    concepts: int, told: str, shown: Callable[..., dict[str, Any]]
) -> None:
    found = shown(lambda row: row | {"concepts": concepts, "items": 1, "low": -2.0, "high": -1.0})["words"]
    assert told in found[0]
    assert f"Layer 13 (1 item, {concepts} concepts)" in found[1]
    assert told in found[1]


def test_a_mean_without_an_interval_stands_alone(shown: Callable[..., dict[str, Any]]) -> None:
    found = shown(lambda row: row | {"low": None, "high": None})
    assert found["panels"][0]["rows"][0]["effect"] == "−0.21"


def test_without_pivots_nothing_follows(shown: Callable[..., dict[str, Any]]) -> None:
    found = shown(lambda row: None if row["class"] == "pivot" else row)
    assert found["words"] == ["No item that the model solves holds a pivot that could be tested."]
    assert [panel["class"] for panel in found["panels"]] == ["direct"]


def test_every_control_stands_beside_the_headline(page: Any, full_run: Path) -> None:
    effects = read_table(full_run / "causal_effects.parquet")
    keep = pc.and_(pc.is_null(effects["against"]), pc.equal(effects["intervention"], "ablate"))
    rows = [row for row in effects.filter(keep).to_pylist() if not row["mean"]]
    assert len(rows) == 29
    for row in rows:
        told = f"{number(row['delta_logprob'], 2)} {interval(row['low'], row['high'], 2)}"
        assert page.has(str(row["layer"]), row["control"], str(row["items"]), str(row["concepts"]), told)


def test_swaps_and_other_interventions_have_their_own_place(page: Any, shown: Callable[..., dict[str, Any]]) -> None:
    found = shown()
    assert found["swap"][0].startswith("Layer 13, pivots exchanged: the other item's translation changes by 2.50 nats")
    assert [table["title"] for table in found["others"]] == [
        "ablate, direction of the unembedding, towards the other items' mean",
        "swap, direction of the unembedding",
    ]
    assert "The coordinates of two items' pivots are exchanged" in " ".join(page.words)


def test_the_ledger_of_items_left_out_is_shown(page: Any, shown: Callable[..., dict[str, Any]]) -> None:
    assert [tuple(row.values()) for row in shown()["left_out"]] == [
        ("matched", "all nearest tokens are shown", 2, 3), ("the item", "not solved", 7, 7),
    ]  # fmt: skip
    assert page.has("the item", "not solved", "7", "7")


def test_effects_alone_are_shown_without_a_ledger(new_run: Callable[[], Path], read_page: Any) -> None:
    run = new_run()
    (run / "causal.parquet").unlink()
    page = read_page(write_report(run))
    assert "Left out" not in page.words
    assert page.has("13", "orthogonal", "35", "30")

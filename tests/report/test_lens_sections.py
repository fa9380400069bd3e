"""Two lenses side by side: what is drawn and said equals what the two traces hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pivotkit.artifacts import read_table, write_table
from pivotkit.errors import InputError
from pivotkit.report import write_report
from pivotkit.report.data import read_run
from pivotkit.report.lens_sections import lenses
from pivotkit.report.text import number

NAME = "ridge lens for gemma3-270m"


def masses(run: Path, folder: str, pair: str, name: str) -> np.ndarray:
    table = read_table(run / folder)
    table = table.filter(pc.equal(table["pair"], pair)).sort_by([("item", "ascending"), ("layer", "ascending")])
    return np.exp(table[f"{name}_logmass"].to_numpy()).reshape(-1, 19)


def trace_rows(layers: int, firsts: list[list[int]], **columns: Any) -> pa.Table:
    """A trace with these first choices, one list per item, and one value per row of each column."""
    rows = [
        {"item": item, "pair": "fr-zh", "layer": layer, "label": "answer", "top_ids": [token], "kl_to_final": 0.0}
        | {"top_logprobs": [-0.1], "target_logmass": -1.0}
        for item, own in enumerate(firsts)
        for layer, token in zip(range(layers), own, strict=True)
    ]
    table = pa.Table.from_pylist(rows)
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    return table


def shown(raw: pa.Table, fitted: pa.Table) -> dict[str, Any]:
    found = lenses({"traces": raw, "fitted": fitted, "languages": {}})
    assert found is not None
    return found


def test_masses_are_compared_where_the_raw_lens_has_most(page: Any, full_run: Path) -> None:
    for pair, label, name, shown in (("fr-zh", "fr → zh", "en", "English"), ("en-fr", "en → fr", "target", "target")):
        raw, fitted = masses(full_run, "traces", pair, name), masses(full_run, "traces_fitted", pair, name)
        best = int(raw[:, :-1].mean(axis=0).argmax())
        values = [raw[:, best].mean(), fitted[:, best].mean(), (fitted - raw)[:, best].mean()]
        assert page.has(label, shown, str(len(raw)), str(best), *map(number, values))


def test_the_page_names_both_lenses_and_what_each_answers(page: Any) -> None:
    assert "when the answer is settled" in page.words
    assert "what is held" in page.words
    assert NAME in page.words
    assert any(
        f"through the {NAME}, half of the items" in words and "from layer 12 on" in words for words in page.words
    )


def test_settled_is_the_layer_that_keeps_the_last_first_choice_for_half_of_the_items() -> None:
    raw = trace_rows(4, [[1, 9, 9, 9], [1, 2, 3, 9], [9, 9, 1, 9]])  # from 1, 3 and 3 on
    fitted = trace_rows(4, [[9, 9, 9, 9], [1, 2, 9, 9], [1, 9, 9, 9]])  # from 0, 2 and 1 on
    [first, second] = shown(raw, fitted)["words"]
    assert "have the model's own first choice from layer 1 on; through the raw lens, from layer 3 on" in first
    assert "not known here: no pair has enough items for contrasts" in second


def test_what_is_held_is_the_layer_with_most_specific_tokens_below_the_last() -> None:
    firsts = [[1, 2, 3], [1, 2, 3]]
    contrasts = [[0.0], [5.0], [9.0], [0.0], [4.6], [9.0]]  # log 100 is 4.605
    raw = trace_rows(3, firsts, top_contrasts=contrasts)
    assert "at layer 1 the raw lens shows a token that is specific" in shown(raw, trace_rows(3, firsts))["words"][1]
    assert "for 50% of items" in shown(raw, trace_rows(3, firsts))["words"][1]
    none = trace_rows(3, firsts, top_contrasts=[[0.0]] * 6)
    assert "below the last layer, none shows a token" in shown(none, trace_rows(3, firsts))["words"][1]


def test_layers_that_a_lens_lacks_are_left_out() -> None:
    fitted = trace_rows(4, [[1, 9, 9, 9]])
    fitted = fitted.filter(pc.greater(fitted["layer"], 0))
    found = shown(trace_rows(4, [[1, 2, 9, 9]]), fitted)
    assert found["rows"][0]["layer"] == 1
    assert "from layer 1 on; through the raw lens, from layer 2 on" in found["words"][0]


def test_without_a_fitted_lens_the_page_says_how_to_give_one(new_run: Callable[[], Path], read_page: Any) -> None:
    run = new_run()
    for path in (run / "traces_fitted").glob("*.parquet"):
        path.unlink()
    page = read_page(write_report(run))
    assert "pivotkit trace-fitted --tuned-lens LENS" in page.words
    assert "when the answer is settled" not in page.words


def test_traces_of_other_items_are_refused(new_run: Callable[[], Path]) -> None:
    run = new_run()
    path = run / "traces_fitted" / "part-00000.parquet"
    table = read_table(path)
    write_table(table.filter(pc.not_equal(table["item"], 3)), path)
    with pytest.raises(InputError, match="traces_fitted, pair fr-zh: must have the items of traces; got others"):
        lenses(read_run(run))


def test_raw_traces_without_divergence_are_refused() -> None:
    raw = trace_rows(2, [[1, 2]])
    with pytest.raises(InputError, match="must have the column kl_to_final; run `pivotkit trace` again"):
        shown(raw.drop_columns(["kl_to_final"]), raw)

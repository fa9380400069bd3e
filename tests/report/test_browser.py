"""The word browser holds the traces without loss, in little room."""

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
from pivotkit.report import write_report
from pivotkit.report.browser import HIGHEST, RAISED
from pivotkit.report.text import visible


def test_the_script_writes_text_only(page: Any) -> None:
    for script in page.scripts[1:]:
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|fetch\(", script)


def test_words_are_packed_without_loss(page: Any, full_run: Path) -> None:
    data = page.data()
    layers = {pair["code"]: pair["layers"] for pair in data["pairs"]}
    traces = {(row["pair"], str(row["item"]), row["layer"]): row for row in read_table(full_run / "traces").to_pylist()}
    assert len(data["words"]) == read_table(full_run / "items.parquet").num_rows
    for word in data["words"]:
        for place, layer in enumerate(layers[word["pair"]]):
            row = traces[word["pair"], word["id"], layer]
            begin = place * data["k"]
            shown = word["prob"][begin : begin + data["k"]]
            assert shown == [round(1000 * value) for value in np.exp(row["top_logprobs"]).tolist()]
            assert word["rank"][place] == row["target_rank"]
    chien = next(word for word in data["words"] if word["source"] == "chien")
    texts = {name: {chien["tokens"][place] for place in places} for name, places in chien["sets"].items()}
    assert texts["source"] == {"␣chien"}
    assert texts["target"] == {"狗"}
    assert "␣dog" in texts["en"]
    assert chien["counts"][0] - chien["counts"][2] == 900


def test_contrasts_stand_beside_probabilities(page: Any, full_run: Path) -> None:
    data = page.data()
    k, raised = data["k"], data["raised"]
    traces = {(row["pair"], str(row["item"]), row["layer"]): row for row in read_table(full_run / "traces").to_pylist()}
    layers = {pair["code"]: pair["layers"] for pair in data["pairs"]}
    words = [word for word in data["words"] if word["pair"] == "fr-zh"]
    seen = 0
    for word in words:
        for place, layer in enumerate(layers["fr-zh"]):
            row, cells = traces["fr-zh", word["id"], layer], slice(place * raised, (place + 1) * raised)
            assert word["lift"][place * k : (place + 1) * k] == [round(10 * value) for value in row["top_contrasts"]]
            own = [at - place * k for at in word["specific"] if at // k == place]
            pairs = zip(row["top_contrasts"], row["top_logprobs"], strict=True)
            assert own == [at for at, (c, p) in enumerate(pairs) if c >= math.log(100) and math.exp(p) >= 0.05]
            seen += len(own)
            best = word["raised"]
            assert [word["tokens"][at] for at in best["top"][cells]] == [
                visible(text) for text in row["contrast_tokens"][:raised]
            ]
            assert best["lift"][cells] == [round(10 * value) for value in row["contrasts"][:raised]]
            probabilities = np.exp(row["contrast_logprobs"][:raised]).tolist()
            assert best["prob"][cells] == [round(1000 * value) for value in probabilities]
    assert seen > 50


def test_the_list_of_words_shows_the_strict_rule(page: Any) -> None:
    ruled = [[rule for rule, *_ in word["behaviors"]] for word in page.data()["words"] if word["behaviors"]]
    assert {rules[0] for rules in ruled} == {"strict"}
    assert any("paper" in rules for rules in ruled)


def test_a_pair_without_contrasts_says_why(page: Any) -> None:
    data = page.data()
    told = {pair["code"]: pair["absent"] for pair in data["pairs"]}
    assert told == {"fr-zh": "", "en-fr": "9 items; a contrast needs at least 10"}
    for word in data["words"]:
        absent = told[word["pair"]] != ""
        assert absent == (word["lift"] is None) == (word["raised"] is None)
        assert not (absent and word["specific"])


def test_words_that_are_read_behind_shared_pieces_say_so_and_may_lack_contrasts_alone(
    new_run: Callable[[], Path], read_page: Callable[[Path], Any]
) -> None:
    run = new_run()
    table = read_table(run / "traces")
    behind = [item == 2 for item in table["item"].to_pylist()]
    for name in ("top_contrasts", *HIGHEST):
        values = [None if late else value for late, value in zip(behind, table[name].to_pylist(), strict=True)]
        column = pa.array(values, table.schema.field(name).type)
        table = table.set_column(table.column_names.index(name), name, column)
    table = table.append_column("appended", pa.array([" " if late else "" for late in behind]))
    for path in (run / "traces").glob("*.parquet"):
        path.unlink()
    few = "1 item; a contrast needs at least 10"
    why = {"absent": {f"fr-zh after {piece}": few for piece in "_abcd"} | {"fr": "not of this pair"}}
    write_table(table, run / "traces" / "part-00000.parquet", {"contrast": why})
    data = read_page(write_report(run)).data()
    told = "; ".join([*(f"fr-zh after {piece}: {few}" for piece in "_ab"), "2 more groups like these"])
    assert data["pairs"][1]["absent"] == told
    words = [word for word in data["words"] if word["pair"] == "fr-zh"]
    assert [word["id"] for word in words if word["lift"] is None] == ["2"]
    assert {word["id"]: word["appended"] for word in words if word["appended"]} == {"2": "␣"}


def test_traces_from_before_contrasts_are_shown_without_them(
    new_run: Callable[[], Path], read_page: Callable[[Path], Any]
) -> None:
    run = new_run()
    old = read_table(run / "traces").drop_columns(["top_contrasts", *HIGHEST])
    for path in (run / "traces").glob("*.parquet"):
        path.unlink()
    write_table(old, run / "traces" / "part-00000.parquet")
    data = read_page(write_report(run)).data()
    assert {pair["absent"] for pair in data["pairs"]} == {"these traces were made before pivotkit had contrasts"}
    assert all(word["lift"] is None for word in data["words"])


def test_counts_are_found_by_their_folded_words_in_either_direction(
    new_run: Callable[[], Path], tmp_path: Path, read_page: Callable[[Path], Any]
) -> None:
    run = new_run()
    row = {"source": "狗", "target": "chien", "df_source": 4, "df_target": 9, "df_both": 2}
    write_table(pa.Table.from_pylist([row]), run / "counts" / "pairs.parquet")
    data = read_page(write_report(run, tmp_path / "page.html")).data()
    assert [word["counts"] for word in data["words"] if word["source"] == "chien"] == [[9, 4, 2]]
    assert all(word["counts"] is None for word in data["words"] if word["source"] != "chien")


def test_three_thousand_words_stay_under_six_megabytes(source: str, page: Any) -> None:
    data = page.data()
    each = len(page.scripts[0].encode()) / len(data["words"])
    rest = len(source.encode()) - len(page.scripts[0].encode())
    assert rest + 3000 * each < 6e6


def test_a_long_run_shows_the_first_words_of_each_pair_and_says_so(
    new_run: Callable[[], Path], monkeypatch: pytest.MonkeyPatch, read_page: Callable[[Path], Any]
) -> None:
    monkeypatch.setattr("pivotkit.report.browser.CELLS", 2 * 19 * (10 + RAISED) * 5)
    data = read_page(write_report(new_run())).data()
    assert [(pair["shown"], pair["of"]) for pair in data["pairs"]] == [(5, 12), (5, 12)]
    assert len(data["words"]) == 10


def test_a_traced_item_that_the_task_lacks_is_refused(new_run: Callable[[], Path]) -> None:
    run = new_run()
    write_table(read_table(run / "items.parquet")[1:], run / "items.parquet")
    with pytest.raises(InputError, match=r"every item must be in items.parquet; got 0"):
        write_report(run)

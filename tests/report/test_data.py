"""Artifacts are read as they are documented, and refused by name when they are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pivotkit.artifacts import read_table, write_table
from pivotkit.errors import InputError
from pivotkit.report.data import RECORDS, TABLES, bootstrap_mean, by_pair, floats, read_run


def test_an_empty_folder_is_a_run_without_stages(tmp_path: Path) -> None:
    found = read_run(tmp_path)
    assert found.pop("languages") == {}
    assert found.pop("drawn") == []
    assert set(found) == {*TABLES, *RECORDS}
    assert all(value is None for value in found.values())


def test_a_folder_that_is_absent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be the folder of a run; found none"):
        read_run(tmp_path / "none")


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_missing_column_is_refused_by_name(name: str, new_run: Callable[[], Path]) -> None:
    run = new_run()
    place, columns = TABLES[name]
    column = next(iter(columns))
    table = read_table(run / place)
    for part in (run / place).glob("*.parquet") if (run / place).is_dir() else [run / place]:
        part.unlink()
    write_table(table.drop_columns([column]), run / place if "." in place else run / place / "part-0.parquet")
    with pytest.raises(InputError, match=rf"{Path(place).name}: must have the columns {column}; got "):
        read_run(run)


def test_a_column_of_another_type_is_refused_by_name(new_run: Callable[[], Path]) -> None:
    run = new_run()
    scores = read_table(run / "scores.parquet")
    words = pa.array(["high"] * scores.num_rows)
    place = scores.column_names.index("score")
    write_table(scores.set_column(place, "score", words), run / "scores.parquet")
    with pytest.raises(InputError, match=r"scores.parquet: column score must be number; got string"):
        read_run(run)


def test_a_record_that_is_no_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(InputError, match="must be a JSON object; got list"):
        read_run(tmp_path)


def test_a_table_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "items.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(InputError, match="must be a Parquet file"):
        read_run(tmp_path)


def test_only_the_answer_position_is_read_from_traces(new_run: Callable[[], Path]) -> None:
    run = new_run()
    traces = read_table(run / "traces")
    place = traces.column_names.index("label")
    other = traces.set_column(place, "label", pa.array(["source"] * traces.num_rows))
    write_table(other, run / "traces" / "part-99999.parquet")
    assert read_run(run)["traces"].num_rows == traces.num_rows


def test_pairs_come_in_alphabetical_order_with_their_own_rows() -> None:
    table = pa.table({"pair": ["fr-zh", "en-fr", "fr-zh"], "x": [1, 2, None]})
    assert {pair: rows["x"].to_pylist() for pair, rows in by_pair(table).items()} == {"en-fr": [2], "fr-zh": [1, None]}
    assert np.isnan(floats(table, "x")).tolist() == [False, False, True]


def test_the_bootstrap_equals_resampling_by_hand() -> None:
    values = np.random.default_rng(3).normal(size=(40, 2))
    mean, low, high = bootstrap_mean(values)
    np.testing.assert_allclose(mean, values.mean(axis=0))
    drawn = np.random.default_rng(0).multinomial(40, np.full(40, 1 / 40), size=1000)
    by_hand = [np.repeat(values, weights, axis=0).mean(axis=0) for weights in drawn]
    np.testing.assert_allclose([low, high], np.percentile(by_hand, [2.5, 97.5], axis=0))


def test_the_bootstrap_interval_has_the_width_of_the_normal_one() -> None:
    values = np.random.default_rng(5).normal(size=400)
    _, low, high = bootstrap_mean(values)
    assert float(high - low) == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_the_bootstrap_of_nothing_is_no_number_and_of_one_is_itself() -> None:
    assert all(np.isnan(value) for value in bootstrap_mean(np.empty(0)))
    assert [float(value) for value in bootstrap_mean(np.array([0.25]))] == [0.25, 0.25, 0.25]


def test_items_of_one_group_are_resampled_together() -> None:
    values = np.array([0.0, 0.0, 1.0, 1.0, 1.0])
    mean, low, high = bootstrap_mean(values, ["a"] * 5)
    assert mean == low == high == 0.6
    _, low, high = bootstrap_mean(values[:, None] * [1.0, 2.0], ["a", "a", "b", "b", "b"])
    assert low.tolist() == [0.0, 0.0]
    assert high.tolist() == [1.0, 2.0]


def test_groups_of_one_item_each_are_resampled_as_items() -> None:
    values = np.random.default_rng(1).uniform(size=(30, 3))
    for alone, grouped in zip(bootstrap_mean(values), bootstrap_mean(values, range(10, 40)), strict=True):
        np.testing.assert_allclose(alone, grouped)


def test_an_artifact_of_an_earlier_version_names_its_stage(new_run: Callable[[], Path]) -> None:
    run = new_run()
    behaviors = read_table(run / "behaviors.parquet")
    write_table(behaviors.drop_columns(["peak_token"]), run / "behaviors.parquet")
    with pytest.raises(InputError, match=r"must have the columns peak_token; got .*; run `pivotkit behaviors` again"):
        read_run(run)

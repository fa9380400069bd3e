"""Runs side by side: their figures are those of each run, differences are paired, others are refused by name."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import pivotkit as pk
from pivotkit.artifacts import read_json, read_table, with_metadata, write_json, write_table
from pivotkit.errors import InputError
from pivotkit.report.comparison import comparison as compared
from pivotkit.report.data import read_run
from pivotkit.report.text import interval, number


def change(run: Path, artifact: str, column: str, values: Callable[[dict[str, Any]], Any]) -> None:
    """Write another column into a table of a run."""
    table = read_table(run / artifact)
    made = pa.array([values(row) for row in table.to_pylist()], table.schema.field(column).type)
    place = run / artifact
    for part in place.glob("*.parquet") if place.is_dir() else ():
        part.unlink()
    written = table.set_column(table.column_names.index(column), column, made)
    write_table(written, place / "part-00000.parquet" if place.is_dir() else place)


@pytest.fixture
def runs(plain_run: Path, tmp_path: Path) -> list[Path]:
    """A run, and one of another model: it has half of the score and answers nothing with an even number."""
    folders = [Path(shutil.copytree(plain_run, tmp_path / name)) for name in ("small", "large")]
    change(folders[1], "scores.parquet", "score", lambda row: row["score"] / 2)
    change(folders[1], "traces", "target_rank", lambda row: row["target_rank"] if row["item"] % 2 else 9)
    swap = {"pivot": "copy", "copy": "pivot"}
    change(folders[1], "behaviors.parquet", "behavior", lambda row: swap.get(row["behavior"], row["behavior"]))
    record = read_json(folders[1] / "run.json")
    record["config"]["model"] = "owner/large"
    write_json(record, folders[1] / "run.json")
    (folders[1] / "truth.json").unlink()
    return folders


def view(folders: list[Path]) -> dict[str, Any]:
    return compared(folders, [read_run(folder) for folder in folders])


def verdicts(run: Path) -> dict[int, str]:
    rows = read_table(run / "behaviors.parquet").to_pylist()
    return {row["item"]: row["behavior"] for row in rows if row["rule"] == "strict"}


def test_means_are_those_of_each_run(runs: list[Path]) -> None:
    found = {panel["title"]: panel["rows"] for panel in view(runs)["measures"]}
    for place, run in enumerate(runs):
        scores = [row["score"] for row in read_table(run / "scores.parquet").to_pylist() if not row["excluded"]]
        right = [row["target_rank"] == 0 for row in read_table(run / "traces").to_pylist() if row["layer"] == 18]
        shown = [name for name in verdicts(run).values() if name != "excluded"]
        means = {
            "Contrastive score": np.mean(scores),
            "Accuracy": np.mean(right),
            "Pivot": shown.count("pivot") / len(shown),
        }
        for title, mean in means.items():
            assert found[title][place]["mean"] == number(float(mean))
    assert found["Accuracy"][0]["mean"] != found["Accuracy"][1]["mean"]


def test_differences_are_paired_over_items_that_count_in_both(runs: list[Path]) -> None:
    [row] = next(panel["rows"] for panel in view(runs)["differences"] if panel["title"] == "Contrastive score")
    scores = {row["item"]: row for row in read_table(runs[0] / "scores.parquet").to_pylist()}
    apart = [-own["score"] / 2 for own in scores.values() if not own["excluded"]]
    assert (row["n"], row["mean"]) == (len(apart), number(float(np.mean(apart))))
    change(runs[1], "scores.parquet", "excluded", lambda row: row["excluded"] or row["item"] < 6)
    [row] = next(panel["rows"] for panel in view(runs)["differences"] if panel["title"] == "Contrastive score")
    apart = [-own["score"] / 2 for item, own in scores.items() if not own["excluded"] and item >= 6]
    assert (row["n"], row["mean"]) == (len(apart), number(float(np.mean(apart))))


def test_a_run_differs_in_nothing_from_its_copy(plain_run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(plain_run, tmp_path / "copy"))
    found = view([plain_run, copy])
    for panel in found["differences"]:
        assert [(row["mean"], row["interval"]) for row in panel["rows"]] == [("0.000", interval(0.0, 0.0))]
    [table] = found["changes"]
    assert all(n == 0 or row["name"] == then for row in table["rows"]
               for (n, _), then in zip(row["cells"], table["columns"], strict=True))  # fmt: skip


def test_changes_of_behavior_are_counted_by_item(runs: list[Path]) -> None:
    [table] = view(runs)["changes"]
    one, other = (verdicts(run) for run in runs)
    counts = Counter((one[item], other[item]) for item in one)
    for row in table["rows"]:
        assert [n for n, _ in row["cells"]] == [counts[row["name"], then] for then in table["columns"]]


def test_excluded_items_are_not_counted_as_judged(runs: list[Path]) -> None:
    change(runs[1], "behaviors.parquet", "behavior", lambda row: "excluded")
    first, second = view(runs)["behaviors"]["rows"]
    assert first["n"] == sum(name != "excluded" for name in verdicts(runs[0]).values()) > 0
    assert (second["n"], set(second["cells"])) == (0, {"–"})


def test_what_the_rule_hangs_on_is_told_of_each_run(
    runs: list[Path], tmp_path: Path, read_page: Callable[[Path], Any]
) -> None:
    table = read_table(runs[1] / "behaviors.parquet")
    contrast = {"absent": {"en-fr": "4 items; a contrast needs at least 10"}}
    write_table(with_metadata(table, {"contrast": contrast}), runs[1] / "behaviors.parquet")
    line = "Excluded for want of contrasts: en → fr (4 items; a contrast needs at least 10)."
    assert ("large", line) in view(runs)["behaviors"]["validity"]
    assert read_page(pk.write_comparison(runs, tmp_path / "page.html")).has(f": {line}")


def test_the_page_shows_every_part_of_every_run(
    runs: list[Path], tmp_path: Path, read_page: Callable[[Path], Any]
) -> None:
    page = read_page(pk.write_comparison(runs, tmp_path / "page.html"))
    assert page.has("2 runs compared")
    assert page.has("small", "testbed", "18")
    assert page.has("large", "owner/large", "18")
    for title in ("Behaviors", "Layer curves", "Attribution", "Cause", "By pair"):
        assert title in page.words
    assert page.tags["script"] == 1
    source = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert source.count("small, log co-occurrence: ") == source.count("large, log co-occurrence: ") == 1
    assert "layer 13, small, orthogonal: −0.21 [−0.35, −0.07]</title>" in source
    links = {value[1:] for _, name, value in page.attributes if name == "href"}
    assert links <= {value for _, name, value in page.attributes if name == "id"}


def test_what_a_run_lacks_is_named_and_what_all_lack_is_left_out(
    runs: list[Path], tmp_path: Path, read_page: Callable[[Path], Any]
) -> None:
    for artifact in ("causal_effects.parquet", "attribution.json"):
        (runs[0] / artifact).unlink()
    page = read_page(pk.write_comparison(runs, tmp_path / "page.html"))
    assert "pivotkit attribution, pivotkit causal" in page.words
    (runs[1] / "causal_effects.parquet").unlink()
    page = read_page(pk.write_comparison(runs, tmp_path / "page.html"))
    assert "Cause" not in page.words
    assert "Attribution" in page.words


def test_runs_that_have_a_task_alone_can_be_compared(runs: list[Path], tmp_path: Path) -> None:
    for run in runs:
        for path in run.iterdir():
            if path.name not in ("items.parquet", "run.json"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    page = pk.write_comparison(runs, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "pivotkit score, pivotkit trace, pivotkit behaviors, pivotkit attribution, pivotkit causal" in page


def test_models_of_other_depth_are_drawn_by_depth(runs: list[Path]) -> None:
    table = read_table(runs[1] / "traces")
    for part in (runs[1] / "traces").glob("*.parquet"):
        part.unlink()
    shallow = table.filter(pa.array([layer <= 9 for layer in table["layer"].to_pylist()]))
    write_table(shallow, runs[1] / "traces" / "part-00000.parquet")
    [panel] = [panel for panel in view(runs)["curves"] if (panel["set"], panel["kind"]) == ("source", "probability")]
    assert [row["of"] for row in panel["rows"]] == [18, 9]
    assert panel["figure"].count('class="band ') == 2
    assert "small, 1.00: " in panel["figure"]
    assert "large, 1.00: " in panel["figure"]


def test_folders_of_one_name_are_told_apart(plain_run: Path, tmp_path: Path) -> None:
    folders = [Path(shutil.copytree(plain_run, tmp_path / name / "run")) for name in ("a", "b")]
    assert view(folders)["names"] == ["a/run", "b/run"]


# ---- what is refused


def test_runs_of_other_items_are_refused_by_name_with_what_to_do(runs: list[Path], tmp_path: Path) -> None:
    again = "; make both with the same lexicon, pairs, limit, contexts and seed, and compare them then"
    change(runs[1], "items.parquet", "target", lambda row: row["target"] + "x" * (row["item"] == 2))
    told = rf"large, items.parquet: must have the items of .*small; got another target in row 2{again}$"
    with pytest.raises(InputError, match=told):
        pk.write_comparison(runs, tmp_path / "page.html")
    write_table(read_table(runs[1] / "items.parquet")[:20], runs[1] / "items.parquet")
    with pytest.raises(InputError, match=rf"must have the 24 items of .*small; got 20{again}$"):
        pk.write_comparison(runs, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_runs_whose_scores_are_means_over_other_numbers_of_contexts_are_refused(
    runs: list[Path], tmp_path: Path
) -> None:
    change(runs[1], "items.parquet", "contexts", lambda row: [*row["contexts"], "another"])
    told = "large, items.parquet: must have 1 contexts an item as .*small; got 2; make both with the same"
    with pytest.raises(InputError, match=told):
        pk.write_comparison(runs, tmp_path / "page.html")


def test_other_prompts_are_told_and_not_refused(runs: list[Path]) -> None:
    assert view(runs)["prompts"] == []
    change(runs[1], "items.parquet", "prompt", lambda row: row["prompt"] + "x" * (row["item"] < 3))
    assert view(runs)["prompts"] == ["3 items have another prompt in large than in small."]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"pivotkit": "0.0.9"}, "with None as the version of pivotkit; got 0.0.9"),
        ({"settings": {"least_contrast": 2.0}}, "with None as least_contrast; got 2.0"),
    ],
)
def test_runs_of_other_versions_and_settings_are_refused(
    runs: list[Path], tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    record = read_json(runs[1] / "run.json")
    record["stages"]["behaviors"] |= change
    write_json(record, runs[1] / "run.json")
    told = f"large, stage behaviors: must be made as in .*small, {told}; run `pivotkit behaviors` again in one of them"
    with pytest.raises(InputError, match=told):
        pk.write_comparison(runs, tmp_path / "page.html")


def test_what_each_model_has_of_its_own_may_differ(runs: list[Path], tmp_path: Path) -> None:
    record = read_json(runs[1] / "run.json")
    record["stages"]["trace"]["settings"] = {"dtype": "bfloat16", "layers": [3]}
    write_json(record, runs[1] / "run.json")
    assert pk.write_comparison(runs, tmp_path / "page.html").exists()


def test_a_run_without_its_items_or_record_is_refused(runs: list[Path], tmp_path: Path) -> None:
    (runs[1] / "run.json").unlink()
    with pytest.raises(InputError, match=r"large: must hold run.json, which says how it was made; found none"):
        pk.write_comparison(runs, tmp_path / "page.html")
    (runs[1] / "items.parquet").unlink()
    with pytest.raises(InputError, match=r"large: must hold items.parquet; run `pivotkit task` first"):
        pk.write_comparison(runs, tmp_path / "page.html")


def test_one_run_and_a_run_twice_are_refused(plain_run: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"write_comparison: runs must name at least two run folders; got '[^,]+plain'$"
    ):
        pk.write_comparison([plain_run], tmp_path / "page.html")
    with pytest.raises(ValueError, match=r"write_comparison: runs must name each run folder once; got '"):
        pk.write_comparison([plain_run, plain_run / ".." / plain_run.name], tmp_path / "page.html")

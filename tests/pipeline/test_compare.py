"""`pivotkit compare` sets finished runs side by side, and refuses those that are not whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pivotkit.artifacts import read_table, write_table
from pivotkit.cli import main


@pytest.fixture
def two(finished, tmp_path) -> list[str]:
    return [str(shutil.copytree(finished, tmp_path / name)) for name in ("one", "two")]


def test_finished_runs_stand_side_by_side(two, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["compare", *two, "--out", str(page), "--json"]) == 0
    assert f'"comparison": "{page}"' in capsys.readouterr().out
    assert "2 runs compared" in page.read_text("utf-8")


def test_a_run_whose_table_was_changed_is_refused(two, tmp_path, capsys):
    scores = Path(two[1]) / "scores.parquet"
    write_table(read_table(scores)[1:], scores)
    assert main(["compare", *two, "--out", str(tmp_path / "page.html")]) == 2
    assert "two/scores.parquet: must be as `pivotkit score` wrote it; got other bytes" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


def test_runs_with_other_thresholds_are_refused_until_they_are_made_again(two, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["behaviors", two[1], "--least-contrast", "2"]) == 0
    assert main(["compare", *two, "--out", str(page)]) == 2
    assert "run `pivotkit attribution` again" in capsys.readouterr().err
    assert main(["attribution", two[1]]) == 0
    assert main(["compare", *two, "--out", str(page)]) == 2
    assert "stage behaviors: must be made as in " in capsys.readouterr().err
    for stage in ("behaviors", "attribution"):
        assert main([stage, two[0], *["--least-contrast", "2"] * (stage == "behaviors")]) == 0
    assert main(["compare", *two, "--out", str(page)]) == 0


def test_a_folder_that_is_no_run_is_refused_and_left_as_it_is(two, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    assert main(["compare", two[0], str(tmp_path / "other"), "--out", str(tmp_path / "page.html")]) == 2
    assert "other: must hold run.json, which says how it was made; found none" in capsys.readouterr().err
    assert not list((tmp_path / "other").iterdir())

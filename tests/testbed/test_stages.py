"""The testbed's own stages, beside those of every run."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pivotkit.testbed
from pivotkit.artifacts import read_json
from pivotkit.cli import main
from pivotkit.pipeline import run as pipeline
from pivotkit.testbed.commands.stages import STAGES
from pivotkit.testbed.experiment.recorded import recorded


def test_the_table_holds_the_stages_of_a_run_and_its_own():
    others = list(pipeline.EVERY)
    own = [stage.name for stage in STAGES if stage not in others]
    assert [stage.name for stage in STAGES] == [*(stage.name for stage in others), *own]
    assert own == ["world", "recovery", "experiment"]


def test_the_table_of_stages_is_read_without_torch():
    script = "import sys, pivotkit.testbed.commands.study; print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"


def test_every_name_of_the_testbed_is_there():
    assert sorted(pivotkit.testbed._MODULES) == sorted(pivotkit.testbed.__all__)
    for name in pivotkit.testbed.__all__:
        assert getattr(pivotkit.testbed, name).__name__ == name
    with pytest.raises(AttributeError, match=r"module 'pivotkit.testbed' has no attribute 'planet'"):
        pivotkit.testbed.planet  # noqa: B018


def test_a_world_is_written_by_its_command(tmp_path, capsys):
    assert main(["world", str(tmp_path / "run"), "--seed", "3"]) == 0
    assert read_json(tmp_path / "run" / "run.json")["config"] == {"seed": 3}
    assert {path.name for path in (tmp_path / "run" / "world").iterdir()} == {
        "corpus.jsonl.zst", "lines.jsonl.zst", "lexicon.tsv", "world.json",
    }  # fmt: skip


def test_the_experiment_is_trained_with_the_seeds_asked_for(tmp_path, monkeypatch):
    seen = []

    def run_experiment(folder, *, seeds, grid):
        seen.append((folder, seeds, grid))
        return {"pools": {}, "grid": []}

    monkeypatch.setattr("pivotkit.testbed.experiment.experiment.run_experiment", run_experiment)
    run = tmp_path / "run"
    assert main(["experiment", str(run), "--full", "--seeds", "2", "--no-grid"]) == 0
    assert seen == [(run / "experiment", 2, False)]
    made = read_json(run / "experiment.json")["made"]
    assert made["command"] == "pivotkit experiment --full"
    assert "recorded" not in made
    assert main(["experiment", str(run), "--full", "--seeds", "2", "--no-grid"]) == 0
    assert len(seen) == 1  # nothing to do


def test_without_training_the_recorded_figures_are_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "pivotkit.testbed.experiment.experiment.run_experiment", lambda *_, **__: pytest.fail("trained")
    )
    assert main(["experiment", str(tmp_path / "run")]) == 0
    assert read_json(tmp_path / "run" / "experiment.json") == recorded()


@pytest.mark.parametrize("command", [["demo", "--full", "--out"], ["experiment", "--full"]])
def test_a_torch_without_muon_is_told_before_anything_runs(command, tmp_path, monkeypatch, capsys):
    monkeypatch.delattr("torch.optim.Muon")
    assert main([*command, str(tmp_path / "run")]) != 0
    assert "torch must have torch.optim.Muon" in capsys.readouterr().err
    assert not (tmp_path / "run" / "world").exists()

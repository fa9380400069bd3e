"""`pivotkit pretrain` trains a run's model on arms, and its results are artifacts of the run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_training import make_given

from pivotkit.artifacts import read_json, read_table
from pivotkit.cli import main
from pivotkit.pipeline.pretrain_stage import PRETRAIN, PretrainSettings
from pivotkit.run_folder import RunFolder


@pytest.fixture
def started(made_once, tmp_path):
    """A run folder with items, and what is given."""
    given = made_once("training", make_given)
    run = tmp_path / "run"
    task = [
        "--lexicon",
        str(given / "world" / "lexicon.tsv"),
        "--pairs",
        "a-b,b-a",
        "--prompt",
        "testbed",
        "--shots",
        "2",
    ]
    assert main(["task", str(run), *task, "--contexts", "1", "--distractors", "2"]) == 0
    return given, run


FLAGS = ["--train-tokens", "2048", "--train-seeds", "0", "--latent", "p"]


def test_arms_are_trained_and_nothing_is_done_twice(started, tmp_path, capsys):
    given, run = started
    (tmp_path / "recipe.yaml").write_text("length: 32\nbatch: 4\nlearning_rate: 0.01\n")
    command = ["pretrain", str(run), "--model", str(given / "model"), *FLAGS, "--recipe", str(tmp_path / "recipe.yaml")]
    command += ["--arms", f"one={given / 'one'}"]
    assert main(command) == 0
    table = read_table(run / "pretrain.parquet")
    assert set(table["arm"].to_pylist()) == {"before", "one"}
    record = read_json(run / "run.json")["stages"]["pretrain"]
    assert "pretrain/one/seed-0/step-16/scores.parquet" in record["outputs"]
    assert read_json(run / "run.json")["config"]["train_tokens"] == 2048
    capsys.readouterr()
    assert main(command) == 0
    assert "pretrain: nothing to do" in capsys.readouterr().err
    assert main(["report", str(run)]) == 0
    assert "one, seed 0: " in (run / "report.html").read_text("utf-8")
    # The settings of one stage stay when another one runs.
    assert main(["task", str(run), "--shots", "3"]) == 0
    assert read_json(run / "run.json")["config"]["train_tokens"] == 2048


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ([], "run: must hold selection; run `pivotkit select` first"),
        (["--arms", "one=nowhere"], "nowhere/manifest.json: must be there for the stage pretrain; found none"),
        (["--arms", "one=ONE", "--recipe", "none.yaml"], "none.yaml: must be a YAML file; "),
    ],
)
def test_what_is_not_there_is_named(started, change, message, tmp_path, monkeypatch, capsys):
    given, run = started
    monkeypatch.chdir(tmp_path)
    change = [one.replace("ONE", str(given / "one")) for one in change]
    assert main(["pretrain", str(run), "--model", str(given / "model"), *FLAGS, *change]) == 2
    assert message in capsys.readouterr().err
    assert not (run / "pretrain").exists()


def test_the_tokens_must_be_given(started, capsys):
    given, run = started
    assert main(["pretrain", str(run), "--model", str(given / "model"), "--arms", f"one={given / 'one'}"]) == 2
    assert "pretrain: --train-tokens must be given; got none" in capsys.readouterr().err


def test_a_changed_arm_or_sentence_is_noticed_whatever_the_arm_is_called(started, tmp_path):
    given, run = started
    sentences = tmp_path / "sentences"
    sentences.mkdir()
    (sentences / "a.tsv").write_text("a\tb\n")
    (sentences / "notes").mkdir()
    settings = PretrainSettings(arms={"parallel": str(given / "one")}, parallel=str(sentences / "a.tsv"), latent=["p"])
    other, folder = replace(settings, arms={"parallel": str(given / "two")}), replace(settings, parallel=str(sentences))
    with RunFolder(run) as opened:
        assert PRETRAIN.depends(opened, settings) != PRETRAIN.depends(opened, other)
        before = PRETRAIN.depends(opened, folder)
        assert PRETRAIN.depends(opened, folder) == before
        (sentences / "a.tsv").write_text("a\tb\n1\t2\n")
        assert PRETRAIN.depends(opened, folder) != before

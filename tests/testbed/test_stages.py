"""The testbed's own stages, beside those of every run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import pivotkit.testbed
from pivotkit.artifacts import read_json, read_table
from pivotkit.cli import main
from pivotkit.pipeline import run as pipeline
from pivotkit.testbed.commands.stages import STAGES


def test_the_table_holds_the_stages_of_a_run_and_its_own():
    others = list(pipeline.EVERY)
    own = [stage.name for stage in STAGES if stage not in others]
    assert [stage.name for stage in STAGES] == [*(stage.name for stage in others), *own]
    assert own == ["world", "recovery", "pretrain"]


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


def test_the_arms_are_selected_in_a_run_folder_of_their_own(tmp_path, monkeypatch):
    from pivotkit.testbed import arms

    def planted(world, *, seed):
        place = tmp_path / "checkpoint"
        pivotkit.testbed.plant(world).save_pretrained(place / "model")
        pivotkit.testbed.build_tokenizer(world.vocabulary).save_pretrained(place / "model")
        return place

    seen = {}

    def pretrain(checkpoint, texts, lines, held_out, **more):
        seen.update(more, texts={arm: len(list(documents)) for arm, documents in texts.items()})
        return pa.table({"arm": ["random"]})

    monkeypatch.setattr(arms, "train_model", planted)
    monkeypatch.setattr(arms, "pretrain", pretrain)
    monkeypatch.setattr(arms, "POOL", {"documents": 1500, "blocks": 50})
    monkeypatch.setattr(arms, "DOCUMENT_TOKENS", 2000)
    assert main(["world", str(tmp_path / "run")]) == 0
    assert main(["pretrain", str(tmp_path / "run"), "--seeds", "1"]) == 0
    assert read_table(tmp_path / "run" / "pretrain.parquet")["arm"].to_pylist() == ["random"]
    assert list(seen["seeds"]) == [0]
    assert set(seen["texts"]) == set(arms.ARMS)
    assert min(seen["texts"].values()) > 5
    below = read_json(tmp_path / "run" / "pretrain" / "run.json")["stages"]
    assert set(below) == {"world", "task", "tokens", "count", "pivots", "score-documents", "arms"}
    before = seen.pop("texts")
    assert main(["pretrain", str(tmp_path / "run"), "--seeds", "1"]) == 0
    assert "texts" not in seen  # nothing to do
    assert main(["pretrain", str(tmp_path / "run"), "--seeds", "2"]) == 0
    assert seen["texts"] == before


def test_the_arms_are_trained_with_the_seed_of_the_run(tmp_path, monkeypatch):
    seen = {}

    def arms(run, *, seeds, seed):
        seen.update(seeds=seeds, seed=seed)
        (run / "pretrain.parquet").touch()

    monkeypatch.setattr("pivotkit.testbed.arms.pretrain_arms", arms)
    assert main(["pretrain", str(tmp_path)]) == 2  # no world
    assert main(["world", str(tmp_path), "--seed", "3"]) == 0
    assert main(["pretrain", str(tmp_path), "--seeds", "1"]) == 0
    assert seen == {"seeds": 1, "seed": 3}


@pytest.mark.parametrize(
    ("stage", "flags", "what"),
    [
        ("task", ["--lexicon", "words.tsv", "--pairs", "en-fr"], "lexicon"),
        ("task", ["--lexicon", "words.tsv", "--pairs", "fr-en", "--limit", "3"], "lexicon"),
        ("tokens", ["--corpus", "corpus.jsonl", "--model", "model"], "corpus"),
        ("tokens", ["--corpus", "corpus.txt", "--model", "model"], "corpus"),
        ("tokens", ["--corpus", "both", "--model", "model"], "corpus"),
    ],
)  # fmt: skip
def test_a_run_that_is_not_the_testbeds_is_not_trained(stage, flags, what, tmp_path, monkeypatch, capsys, small_world):
    def never(*_, **__):
        pytest.fail("nothing may begin")

    monkeypatch.setattr("pivotkit.testbed.arms.pretrain_arms", never)
    monkeypatch.chdir(tmp_path)
    Path("words.tsv").write_text("en\tfr\n" + "".join(f"word{n}\tmot{n}\n" for n in range(20)))
    Path("both").mkdir()
    for name in ("corpus.jsonl", "both/a.jsonl"):
        Path(name).write_text('{"text": "a1 p1"}\n')
    Path("corpus.txt").write_text("a1 p1\n")
    pivotkit.testbed.build_tokenizer(small_world.vocabulary).save_pretrained("model")
    Path("model/config.json").write_text("{}")
    assert main([stage, "run", *flags]) == 0
    capsys.readouterr()
    assert main(["pretrain", "run"]) == 2
    assert "run: must hold world; run `pivotkit world` first" in capsys.readouterr().err
    assert main(["world", "run"]) == 0
    before = read_json(tmp_path / "run" / "run.json")
    capsys.readouterr()
    assert main(["pretrain", "run"]) == 2
    line = capsys.readouterr().err
    assert "pretrain: run must be of the testbed's world, as `pivotkit demo` makes it; got run, " in line
    assert f"`pivotkit {stage}` read another {what}" in line
    assert read_json(tmp_path / "run" / "run.json") == before
    assert not (tmp_path / "run" / "pretrain").exists()


@pytest.mark.parametrize("damage", ["empty", "gone", "other"])
def test_a_world_that_is_not_as_it_was_written_is_not_trained_on(damage, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("pivotkit.testbed.arms.pretrain_arms", lambda *_, **__: pytest.fail("nothing may begin"))
    folder = tmp_path / "run"
    if damage == "empty":
        (folder / "world").mkdir(parents=True)
    else:
        assert main(["world", str(folder)]) == 0
        file = folder / "world" / "world.json"
        file.unlink() if damage == "gone" else file.write_text("{}")
    capsys.readouterr()
    assert main(["pretrain", str(folder)]) == 2
    assert "run `pivotkit world` again" in capsys.readouterr().err

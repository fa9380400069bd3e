"""Continued pre-training: its losses are those of a plain loop, and every checkpoint is measured."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from small_training import RECIPE, TOKENS, read_items, train
from transformers import AutoModelForCausalLM

import pivotkit as pk
from pivotkit.artifacts import read_table
from pivotkit.cli import main
from pivotkit.errors import CorpusError, InputError
from pivotkit.training import trainer
from pivotkit.training.arms import open_documents
from pivotkit.training.packing import PackedRows
from pivotkit.training.pretrain import TABLE

UPDATES = TOKENS // 32 // 4


def losses(folder: Path) -> list[float]:
    lines = [orjson.loads(line) for line in (folder / "log.jsonl").read_bytes().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [line["loss"] for line in lines]


@pytest.fixture(scope="module")
def trained(given, tmp_path_factory):
    """One finished call: two arms, two checkpoints, held-out text, sentences."""
    folder = tmp_path_factory.mktemp("trained")
    rows = "".join(f"{n}\ta{n % 12} a{n // 12}\tb{n % 12} b{n // 12}\n" for n in range(100))
    (folder / "parallel.tsv").write_text("id\ta\tb\n" + rows)
    arms = {"one": given / "one", "two": given / "two"}
    arguments = {"held_out": {"a": [[5, 6, 7, 8] * 20]}, "parallel": folder / "parallel.tsv", "lines": 4, "keep": True}
    table = pk.pretrain(
        given / "model", arms, read_items(given), tokens=TOKENS, out=folder / "out", seeds=[0], recipe=RECIPE,
        checkpoints=2, latent=["p"], **arguments,
    )  # fmt: skip
    return folder / "out", table


def plain_losses(given: Path, arm: str) -> list[float]:
    """The oracle: the same rows, updates and rates in a loop of PyTorch."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(given / "model")
    documents = open_documents("f", "arms", arm, given / arm, tokenizer, len(tokenizer))
    rows = PackedRows("f", documents, 32, UPDATES * 4, 0)
    model = AutoModelForCausalLM.from_pretrained(given / "model").train()
    matrices = [weight for name, weight in model.named_parameters() if "norm" not in name]
    norms = [weight for name, weight in model.named_parameters() if "norm" in name]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": norms, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.999), eps=1e-8)
    found = []
    for update in range(UPDATES):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * min((update + 1) / 2, 1) * (1 - update / UPDATES)
        ids = torch.stack([rows[row]["input_ids"] for row in range(4 * update, 4 * update + 4)])
        loss = model(input_ids=ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        found.append(loss.item())
    return found


def test_losses_are_those_of_a_plain_loop(given, trained):
    for arm in ("one", "two"):
        assert losses(trained[0] / arm / "seed-0") == pytest.approx(plain_losses(given, arm), abs=1e-4)


def test_accumulated_gradients_give_the_same_losses(given, trained, tmp_path):
    for more in ({"micro_batch": 1}, {"micro_batch": 2, "gradient_checkpointing": True}):
        out = tmp_path / str(more["micro_batch"])
        train(given, out, checkpoints=1, recipe={**RECIPE, **more})
        assert losses(out / "one" / "seed-0") == pytest.approx(losses(trained[0] / "one" / "seed-0"), abs=1e-4)


def test_every_checkpoint_is_measured_by_pair_and_for_all(trained):
    out, table = trained
    assert table.schema == TABLE
    assert table.equals(read_table(out / "pretrain.parquet"))
    rows = table.to_pylist()
    places = {(row["arm"], row["seed"], row["step"], row["tokens"]) for row in rows}
    half = UPDATES // 2
    assert places == {("before", None, 0, 0)} | {
        (arm, 0, step, step * 128) for arm in ("one", "two") for step in (half, UPDATES)
    }
    for row in rows:
        if row["measure"] in ("pivot", "copy", "co-occurrence", "other", "accuracy"):
            assert 0 <= row["value"] <= 1
    last = {(row["measure"], row["of"]): row for row in rows if (row["arm"], row["step"]) == ("one", UPDATES)}
    behaviors = [last[behavior, "a-b"]["value"] for behavior in ("pivot", "copy", "co-occurrence", "other")]
    assert sum(behaviors) == pytest.approx(1)
    scores = read_table(out / "one" / "seed-0" / f"step-{UPDATES}" / "scores.parquet")
    own = scores.filter(pc.equal(scores["pair"], "a-b"))
    assert last["score", "a-b"]["value"] == pytest.approx(pc.mean(own["score"]).as_py())
    assert last["held-out loss", "a"]["n"] == 2 * 31
    assert last["chrF", "a-b"]["n"] == 4
    assert not [row for row in rows if row["measure"] == "chrF" and row["step"] == half]


def test_layer_curves_are_means_of_the_masses(trained):
    folder = trained[0] / "two" / "seed-0" / f"step-{UPDATES}"
    traces, curves = read_table(folder / "traces").to_pandas(), read_table(folder / "curves.parquet").to_pandas()
    own = traces[(traces["pair"] == "b-a") & (traces["layer"] == 1) & (traces["label"] == "answer")]
    row = curves[(curves["pair"] == "b-a") & (curves["layer"] == 1)].iloc[0]
    assert row["items"] == len(own)
    for name in ("source", "target", "p"):
        assert row[name] == pytest.approx(np.exp(own[f"{name}_logmass"].astype(float)).mean())


def test_checkpoints_are_compared_as_runs_are(trained, tmp_path):
    out = trained[0]
    folders = [out / "before" / "step-0", *(out / arm / "seed-0" / f"step-{UPDATES}" for arm in ("one", "two"))]
    assert main(["compare", *map(str, folders), "--out", str(tmp_path / "page.html")]) == 0
    assert "3 runs compared" in (tmp_path / "page.html").read_text("utf-8")


def test_kept_weights_are_those_that_were_measured(given, trained):
    out = trained[0]
    folder = out / "one" / "seed-0"
    loaded, tokenizer = pk.load_model(folder / "model")
    scores = pk.score(loaded, read_items(given), tokenizer)
    assert scores.equals(read_table(folder / f"step-{UPDATES}" / "scores.parquet").cast(scores.schema))
    assert not list(folder.glob("checkpoint-*"))


def again(given: Path, trained: Path, out: Path, **change: object) -> pa.Table:
    """The call of `trained`, with a change."""
    arguments = {
        "arms": {"one": given / "one", "two": given / "two"}, "tokens": TOKENS, "seeds": [0], "recipe": RECIPE,
        "checkpoints": 2, "latent": ["p"], "held_out": {"a": [[5, 6, 7, 8] * 20]},
        "parallel": trained.parent / "parallel.tsv", "lines": 4, "items": read_items(given),
    }  # fmt: skip
    return pk.pretrain(given / "model", out=out, **{**arguments, **change})


def test_a_finished_call_reads_its_results_and_trains_nothing(given, trained, monkeypatch, tmp_path):
    out, table = trained
    copy = shutil.copytree(out, tmp_path / "out")
    monkeypatch.setattr("pivotkit.training.trainer.train_arm", None)
    monkeypatch.setattr("pivotkit.training.units.load_model", None)
    assert again(given, out, copy).equals(table)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"tokens": 1024}, "tokens"),
        ({"recipe": {**RECIPE, "learning_rate": 1e-3}}, "recipe"),
        ({"lines": 5}, "measures"),
        ({"checkpoints": 1}, "measured at"),
    ],
)
def test_results_of_another_training_are_refused_by_what_differs(given, trained, tmp_path, change, name):
    copy = shutil.copytree(trained[0], tmp_path / "out")
    with pytest.raises(InputError, match=rf"unit.json: must be of this training, with .* as {name}; got "):
        again(given, trained[0], copy, **change)


def test_a_checkpoint_of_another_arm_is_refused(given, tmp_path, monkeypatch):
    monkeypatch.setattr("pivotkit.training.units.write_json", stop)
    with pytest.raises(KeyboardInterrupt):
        train(given, tmp_path)
    monkeypatch.undo()
    arms = {"one": given / "two"}
    with pytest.raises(InputError, match=r"checkpoint-16: must be of this training, with \w+ as documents; got \w+;"):
        pk.pretrain(
            given / "model", arms, read_items(given), tokens=TOKENS, out=tmp_path, seeds=[0], recipe=RECIPE,
            checkpoints=2, latent=["p"],
        )  # fmt: skip


def test_a_checkpoint_before_which_nothing_was_measured_is_refused(given, tmp_path, monkeypatch):
    monkeypatch.setattr("pivotkit.training.units.write_json", stop)
    with pytest.raises(KeyboardInterrupt):
        train(given, tmp_path)
    monkeypatch.undo()
    message = "seed-0: must hold what was measured after update 4, as `checkpoints` asks; found none"
    with pytest.raises(InputError, match=message):
        train(given, tmp_path, checkpoints=4)
    assert train(given, tmp_path).num_rows


def test_weights_that_were_not_kept_are_refused(given, trained, tmp_path):
    copy = shutil.copytree(trained[0], tmp_path / "out")
    again(given, trained[0], copy, keep=True)
    shutil.rmtree(copy / "two" / "seed-0" / "model")
    with pytest.raises(InputError, match="seed-0: must hold the weights, as `keep` asks; got a training without them"):
        again(given, trained[0], copy, keep=True)


def test_a_checkpoint_left_by_a_killed_process_is_removed_when_the_training_is_done(given, trained, tmp_path):
    copy = shutil.copytree(trained[0], tmp_path / "out")
    left = copy / "one" / "seed-0" / "checkpoint-16"
    left.mkdir()
    again(given, trained[0], copy)
    assert not left.exists()


def stop(value, path):
    if Path(path).parent.name == "seed-0":
        raise KeyboardInterrupt
    from pivotkit.artifacts import write_json

    write_json(value, path)


def test_a_loss_that_is_not_finite_stops_before_the_update_and_keeps_the_last_good_checkpoint(
    given, tmp_path, monkeypatch
):
    plain = trainer.Trainer.training_step

    def spoiled(self, model, inputs, *more, **named):
        loss = plain(self, model, inputs, *more, **named)
        return loss * float("nan") if self.state.global_step == 4 else loss

    monkeypatch.setattr(trainer.Trainer, "training_step", spoiled)
    message = (
        r"loss must be finite; got nan at update 5 of arm 'one', seed 0; the last good checkpoint is .*checkpoint-3"
    )
    with pytest.raises(FloatingPointError, match=message):
        train(given, tmp_path)
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "one" / "seed-0").glob("checkpoint-*")] == ["checkpoint-3"]
    train(given, tmp_path)
    assert len(losses(tmp_path / "one" / "seed-0")) == UPDATES


def test_an_arm_file_that_changes_in_the_middle_is_refused_by_name(given, tmp_path, monkeypatch):
    folder = tmp_path / "given"
    shutil.copytree(given, folder)
    shard = sorted((folder / "one").glob("*.npy"))[0]
    finish = trainer.finish

    def changed(*arguments):
        finish(*arguments)
        shard.write_bytes(shard.read_bytes()[:-4])

    monkeypatch.setattr(trainer, "finish", changed)
    with pytest.raises(CorpusError, match=f"{shard.name}"):
        train(folder, tmp_path / "out")


def test_a_short_arm_is_refused_before_any_arm_is_trained(given, tmp_path):
    with pytest.raises(ValueError, match=r"arms must hold at least 2048 tokens each, .*; got 6 in 'short'"):
        pk.pretrain(
            given / "model", {"one": given / "one", "short": [[1, 2], [3, 4]]}, read_items(given), tokens=TOKENS,
            out=tmp_path / "out", recipe=RECIPE,
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("precision", ["mixed", "bfloat16"])
def test_a_precision_gives_about_the_losses_of_float32(given, trained, tmp_path, precision):
    train(given, tmp_path, checkpoints=1, recipe={**RECIPE, "precision": precision})
    found, exact = losses(tmp_path / "one" / "seed-0"), losses(trained[0] / "one" / "seed-0")
    assert found == pytest.approx(exact, abs=0.02)
    assert found != exact


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_adapters_train_and_are_merged_into_what_is_kept(given, tmp_path):
    pytest.importorskip("peft")
    train(given, tmp_path, checkpoints=1, recipe={**RECIPE, "lora": {"r": 4}}, keep=True)
    found = losses(tmp_path / "one" / "seed-0")
    assert found[-1] < found[0]
    loaded, tokenizer = pk.load_model(tmp_path / "one" / "seed-0" / "model")
    scores = pk.score(loaded, read_items(given), tokenizer)["score"].to_pylist()
    measured = read_table(tmp_path / "one" / "seed-0" / f"step-{UPDATES}" / "scores.parquet")["score"].to_pylist()
    assert scores == pytest.approx(measured, abs=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": 10}, "tokens must be at least one update of 4 rows of 32; got 10"),
        ({"checkpoints": 17}, "checkpoints must be at most the number of updates, 16; got 17"),
        ({"recipe": {"lenght": 3}}, "recipe must have the fields length, .*; got 'lenght'"),
        (
            {"recipe": {**RECIPE, "micro_batch": 3}},
            "batch must hold whole forward passes of 3 rows in each of 1 processes",
        ),
        ({"arms": {"before": [[1]]}}, "arms must be named as a folder can be, and not 'before'; got 'before'"),
        ({"arms": {"a/b": [[1]]}}, "arms must be named as a folder can be"),
        ({"arms": {"pretrain.parquet": [[1]]}}, "arms must be named as a folder can be"),
        ({"recipe": {**RECIPE, "lora": {"rank": 4}}}, "lora must have fields of peft.LoraConfig; .*'rank'"),
        ({"arms": {}}, "arms must hold at least one; got none"),
        ({"held_out": {"a": [[1]]}}, "held_out must hold at least one row of 32 tokens a language; got 2 in 'a'"),
    ],
)
def test_what_cannot_be_trained_is_refused(given, tmp_path, change, message):
    arguments = {"arms": {"one": given / "one"}, "tokens": TOKENS, "recipe": RECIPE, **change}
    with pytest.raises(ValueError, match=message):
        pk.pretrain(given / "model", items=read_items(given), out=tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()

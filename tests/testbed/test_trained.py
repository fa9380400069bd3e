from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

import pivotkit.training.loop as loop
from pivotkit.artifacts import read_json
from pivotkit.testbed import Recipe, World, train_model
from pivotkit.testbed.trained import cache_folder, new_model, training_rows

TINY = Recipe(layers=2, hidden=16, heads=2, feed_forward=16, length=32, batch=8, early=5)


def test_a_training_leaves_two_checkpoints_a_tokenizer_and_its_record(small_world: World, tmp_path: Path) -> None:
    folder = train_model(small_world, tmp_path, recipe=TINY)
    assert sorted(path.name for path in folder.iterdir()) == ["early", "model", "training.json"]
    record = read_json(folder / "training.json")
    assert len(record["loss"]) == len(training_rows(small_world, TINY.length, 0)) // TINY.batch
    assert record["recipe"] == dataclasses.asdict(TINY)
    early, late = (AutoModelForCausalLM.from_pretrained(folder / name) for name in ("early", "model"))
    assert isinstance(late, LlamaForCausalLM)
    assert not torch.equal(early.lm_head.weight, late.lm_head.weight)
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    assert len(tokenizer) == late.config.vocab_size == len(small_world.vocabulary)


def test_equal_worlds_recipes_and_seeds_give_equal_weights(small_world: World, tmp_path: Path) -> None:
    weights = [
        (train_model(small_world, tmp_path / name, recipe=TINY, seed=seed) / "model" / "model.safetensors").read_bytes()
        for name, seed in (("one", 0), ("two", 0), ("three", 1))
    ]
    assert weights[0] == weights[1] != weights[2]


def test_a_trained_model_is_found_again_and_not_trained_again(
    small_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = train_model(small_world, tmp_path, recipe=TINY)

    def refuse(*_: object, **__: object) -> list[float]:
        raise AssertionError("trained again")

    monkeypatch.setattr(loop, "train", refuse)
    assert train_model(small_world, tmp_path, recipe=TINY) == folder
    for change in ({"recipe": dataclasses.replace(TINY, early=6)}, {"recipe": TINY, "seed": 1}):
        with pytest.raises(AssertionError, match="trained again"):
            train_model(small_world, tmp_path, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError])
def test_a_killed_training_leaves_nothing_to_be_trusted(
    small_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: type[BaseException]
) -> None:
    def fail(*_: object, **__: object) -> list[float]:
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train", fail)
        with pytest.raises(fault):
            train_model(small_world, tmp_path, recipe=TINY)
    assert list(tmp_path.iterdir()) == []
    assert (train_model(small_world, tmp_path, recipe=TINY) / "model" / "model.safetensors").exists()


def test_what_a_power_cut_left_behind_is_not_taken_for_a_model(small_world: World, tmp_path: Path) -> None:
    folder = train_model(small_world, tmp_path / "whole", recipe=TINY)
    (tmp_path / "cut" / f".{folder.name}.0123.part" / "model").mkdir(parents=True)
    again = train_model(small_world, tmp_path / "cut", recipe=TINY)
    assert (again / "training.json").exists()


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIVOTKIT_CACHE", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    monkeypatch.delenv("PIVOTKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "pivotkit"


def test_making_a_model_leaves_the_global_random_state_alone(small_world: World) -> None:
    state = torch.random.get_rng_state()
    model = new_model(small_world, TINY, seed=7)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_the_rows_hold_the_documents_and_the_lines(small_world: World) -> None:
    rows = training_rows(small_world, 32, seed=0)
    texts = (small_world.documents.ids, small_world.lines.ids)
    total = sum(int((ids >= 0).sum()) + len(ids) for ids in texts)
    assert total - 2 * 32 < rows.numel() <= total


def test_late_lines_come_last(small_world: World) -> None:
    config = dataclasses.replace(small_world.config, late=0.5, late_pivot_lines={"pp": 1.0}, direct_lines={"aa": 1.0})
    rows = training_rows(World(config), 32, seed=0)
    text = small_world.text(rows.numpy().ravel())
    assert "A: " in text
    last = max(text.rfind(f"{source}: {source.lower()}{n} P:") for source in "AB" for n in range(16))
    first = min(place for n in range(16) if (place := text.find(f"P: p{n} P: p{n}")) >= 0)
    assert 0 < last < first

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from pivotkit.testbed import (
    Recipe,
    World,
    WorldConfig,
    build_tokenizer,
    expected_trace,
    held_out_items,
    plant,
    train_model,
)
from pivotkit.training.pretrain import answer, pretrain


@pytest.fixture(scope="module")
def world() -> World:
    return World(WorldConfig(concepts=16, held_out=8, background=20, documents=400, blocks=200))


@pytest.fixture(scope="module")
def checkpoint(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = Recipe(layers=1, hidden=16, heads=2, feed_forward=16, length=32, batch=4, early=2)
    return train_model(world, tmp_path_factory.mktemp("cache"), recipe=recipe) / "early"


@pytest.fixture(scope="module")
def texts(world: World) -> dict[str, list[str]]:
    return {
        "documents": [record["text"] for record in world.records(world.documents)],
        "lines": [record["text"] for record in world.records(world.lines)],
    }


def test_every_arm_and_seed_is_trained_on_the_same_number_of_tokens(
    world: World, checkpoint: Path, texts: dict[str, list[str]]
) -> None:
    items = held_out_items(world)
    table = pretrain(
        checkpoint,
        {"few": texts["documents"][:3], "many": texts["documents"]},
        texts["lines"],
        items,
        tokens=700,
        seeds=(0, 1),
        held_out=texts["documents"][300:],
        length=32,
        batch=4,
    )
    rows = table.to_pylist()
    assert len(rows) == (1 + 2 * 2) * 2 * 2
    assert {row["tokens"] for row in rows if row["arm"] != "before"} == {640}
    assert {(row["arm"], row["seed"], row["tokens"]) for row in rows if row["arm"] == "before"} == {("before", None, 0)}
    assert {(row["kind"], row["direction"], row["n"]) for row in rows} == {
        (kind, pair, 4) for kind in ("direct", "pivot") for pair in ("a-b", "b-a")
    }
    assert all(0 <= row["accuracy"] <= 1 and 0 < row["probability"] < 1 for row in rows)
    losses = {(row["arm"], row["seed"]): row["held_out_loss"] for row in rows}
    assert len(losses) == len(set(losses.values())) == 5


def test_equal_seeds_give_equal_tables_and_the_checkpoint_stays(
    world: World, checkpoint: Path, texts: dict[str, list[str]]
) -> None:
    before = (checkpoint / "model.safetensors").read_bytes()
    tables = [
        pretrain(
            checkpoint,
            {"all": texts["documents"]},
            texts["lines"],
            held_out_items(world),
            tokens=300,
            seeds=(3,),
            batch=4,
        )
        for _ in range(2)
    ]
    assert tables[0].equals(tables[1])
    assert tables[0]["held_out_loss"].null_count == tables[0].num_rows
    assert (checkpoint / "model.safetensors").read_bytes() == before


def test_answers_of_the_planted_model_are_those_that_were_planted(world: World) -> None:
    items = held_out_items(world)
    correct, probability = answer(plant(world), build_tokenizer(world.vocabulary), items, batch=5)
    expected = [expected_trace(world, row["concept"], row["pair"].replace("-", ""))[-1, 2] for row in items.to_pylist()]
    assert correct.all()
    np.testing.assert_allclose(probability, expected, atol=1e-6)


def test_a_target_of_several_tokens_is_right_when_each_of_them_is(checkpoint: Path) -> None:
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(checkpoint).eval(),
        AutoTokenizer.from_pretrained(checkpoint),
    )
    prompts, targets = ["A: a1 B:", "A: a2 B: b2\nA: a1 B:"], ["b1 g1 g2", "b1"]
    correct, probability = answer(model, tokenizer, pa.table({"prompt": prompts, "target": targets}))
    for number, (prompt, target) in enumerate(zip(prompts, targets, strict=True)):
        head, tail = tokenizer(prompt)["input_ids"], tokenizer(target)["input_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([head + tail])).logits[0, len(head) - 1 : -1]
        gold = torch.tensor(tail)
        found = torch.log_softmax(logits.double(), -1)[torch.arange(len(tail)), gold].sum().exp().item()
        assert probability[number] == pytest.approx(found, rel=1e-4)
        assert correct[number] == (logits.argmax(-1) == gold).all().item()


def test_ids_are_trained_on_as_their_texts_are(world: World, checkpoint: Path, texts: dict[str, list[str]]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    separator = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    encoded = tokenizer(texts["documents"], add_special_tokens=False)["input_ids"]
    ids = [np.array([*document, separator], "<u2") for document in encoded]
    arms = {"all": texts["documents"]}, {"all": ids}
    tables = [
        pretrain(checkpoint, arm, texts["lines"], held_out_items(world), tokens=300, seeds=(3,), length=32, batch=4)
        for arm in arms
    ]
    assert tables[0].equals(tables[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arms": {"far": [[1, 10**6]]}}, "arms must hold ids of the tokenizer, below .*; got 1000000"),
        ({"arms": {}}, "arms must be named"),
        ({"arms": {"before": ["a1"]}}, "arms must be named"),
        ({"arms": {"empty": []}}, "arms must hold text"),
        ({"tokens": 10}, "tokens must be at least"),
        ({"line_share": 1.0}, "line_share must be"),
        ({"lines": []}, "lines must hold text"),
        ({"seeds": ()}, "seeds must not be empty"),
        ({"items": pa.table({"prompt": ["A:"]})}, "items must have rows, and the columns"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    world: World, checkpoint: Path, texts: dict[str, list[str]], change: dict[str, object], message: str
) -> None:
    arguments: dict[str, object] = {
        "arms": {"all": texts["documents"]},
        "lines": texts["lines"],
        "items": held_out_items(world),
        "tokens": 2000,
    }
    with pytest.raises(ValueError, match=message):
        pretrain(checkpoint, **{**arguments, **change})  # type: ignore[arg-type]

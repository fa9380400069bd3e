"""The model that ships: its files, its record and its behaviors."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections import Counter
from pathlib import Path

import orjson
import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from pivotkit.artifacts import read_json, read_table, write_json
from pivotkit.errors import InputError
from pivotkit.lens.model.loading import load_model
from pivotkit.testbed import Recipe, World, WorldConfig, shipped_model, train_model
from pivotkit.testbed.items import demo_items
from pivotkit.testbed.ship import MARGIN, MOST_BYTES, close_choices, observed_behaviors, ship
from pivotkit.testbed.shipped import RECORD, SEED, SHIPPED, file_digest, read_record, world_digest
from pivotkit.testbed.trained import FORMAT

TINY = Recipe(layers=2, hidden=16, heads=2, feed_forward=16, length=32, batch=8)


@pytest.fixture(scope="module")
def record() -> dict:
    return read_record()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "model"))


def _by_source(behaviors: dict[str, str]) -> dict[str, str]:
    return {word: behavior for behavior, words in behaviors.items() for word in words.split()}


def test_the_files_are_the_recorded_ones_and_fit_3_mb(record: dict) -> None:
    assert shipped_model(World()) == SHIPPED
    files = {path.name: file_digest(path) for path in SHIPPED.iterdir() if path.name != RECORD}
    assert files == record["files"]
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= MOST_BYTES == 3_000_000


def test_the_record_says_what_would_be_trained_today(record: dict) -> None:
    assert record["recipe"] == dataclasses.asdict(Recipe())
    assert (record["format"], record["seed"]) == (FORMAT, SEED)
    assert record["world"] == orjson.loads(orjson.dumps(dataclasses.asdict(WorldConfig())))
    assert record["world_sha256"] == world_digest(World())


def test_the_weights_are_stored_in_16_bits_and_loaded_in_32(record: dict) -> None:
    model = AutoModelForCausalLM.from_pretrained(SHIPPED)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    half = getattr(torch, record["dtype"])
    assert half in (torch.float16, torch.bfloat16)
    assert all(torch.equal(weight, weight.to(half).float()) for weight in model.parameters())
    assert list(AutoTokenizer.from_pretrained(SHIPPED).get_vocab()) != []


def test_every_item_of_the_demo_behaves_as_recorded(demo_run: Path, record: dict) -> None:
    items, table = read_table(demo_run / "items.parquet"), read_table(demo_run / "behaviors.parquet")
    sources = dict(zip(items["item"].to_pylist(), items["source"].to_pylist(), strict=True))
    strict = {sources[row["item"]]: row["behavior"] for row in table.to_pylist() if row["rule"] == "strict"}
    expected = _by_source(record["behaviors"])
    assert set(expected) == set(strict)
    decided = {word: behavior for word, behavior in expected.items() if behavior != "undecided"}
    assert {word: strict[word] for word in decided} == decided
    assert len(decided) >= 0.95 * len(strict)


def test_most_items_behave_as_planted(record: dict) -> None:
    planted = {
        concept.words[code]: "pivot" if concept.kind == "pivot" else "co-occurrence"
        for concept in World().concepts
        for code in "ab"
    }
    agree = sum(planted[word] == behavior for word, behavior in _by_source(record["behaviors"]).items())
    assert agree >= 0.9 * len(planted)


def test_the_items_that_are_recorded_are_those_of_the_demo(demo_run: Path) -> None:
    assert demo_items(World()).equals(read_table(demo_run / "items.parquet"))


def test_a_choice_within_the_margin_leaves_an_item_undecided() -> None:
    """Four items, and the gap of each block's two choices; the target is among them in all but the last item."""
    gaps = ((1, 1, 1), (1, MARGIN / 2, 1), (1, 1, MARGIN / 2), (MARGIN / 2,) * 3)
    rows = [
        {"item": item, "layer": layer, "top_ids": [7, 8], "top_logprobs": [-0.5, -0.5 - gap],
         "target_ids": [9] if item == 3 else [8]}
        for item, own in enumerate(gaps)
        for layer, gap in enumerate((0, *own))  # the rule does not read layer 0, the embedding output
    ]  # fmt: skip
    assert close_choices(pa.Table.from_pylist(rows)) == {1, 2}


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_damaged_file_is_refused_by_name(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(
        InputError, match=rf"model/{name}: must have the sha256 digest [0-9a-f]{{64}}; got [0-9a-f]{{64}}"
    ):
        shipped_model(World(), copy)
    (copy / name).unlink()
    with pytest.raises(InputError, match=rf"model/{name}: must have the sha256 digest [0-9a-f]{{64}}; got no file"):
        shipped_model(World(), copy)


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"{}"])
def test_a_damaged_record_is_refused_by_name(copy: Path, content: bytes | None) -> None:
    (copy / RECORD).unlink() if content is None else (copy / RECORD).write_bytes(content)
    with pytest.raises(InputError, match=f"model/{RECORD}"):
        shipped_model(World(), copy)


@pytest.mark.parametrize("change", [{"seed": 1}, {"spread": 0.3}, {"background": 81}])
def test_the_model_of_another_world_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="shipped_model: world must be the one that the model was trained on"):
        shipped_model(World(WorldConfig(**change)))  # type: ignore[arg-type]


def test_what_ship_writes_is_what_was_trained_in_16_bits(small_world: World, tmp_path: Path) -> None:
    trained, out = train_model(small_world, tmp_path, recipe=TINY), tmp_path / "out"
    for _ in range(2):  # the second replaces the first
        ship(small_world, trained, out)
        assert shipped_model(small_world, out) == out
    first, second = load_model(trained / "model")[0], load_model(out)[0]
    for one, two in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(two, one, rtol=2**-11, atol=2**-25)
    found = read_json(out / RECORD)
    assert found["recipe"] == dataclasses.asdict(TINY)
    assert Counter(_by_source(found["behaviors"])).keys() == set(demo_items(small_world)["source"].to_pylist())
    (out / "config.json").rename(tmp_path / "config.json")
    with pytest.raises(InputError, match=r"config\.json"):
        shipped_model(small_world, out)


@pytest.mark.parametrize(
    "moment", ["save_pretrained", "write_json", "observed_behaviors", "file_digest", "load_model", "too large"]
)
def test_ship_keeps_the_old_model_until_the_new_one_is_whole(
    moment: str, small_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import PreTrainedModel

    from pivotkit.testbed import ship as module

    trained, out = train_model(small_world, tmp_path, recipe=TINY), tmp_path / "out"
    ship(small_world, trained, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if moment == "too large":
            patch.setattr(module, "MOST_BYTES", 10)
        else:
            patch.setattr(PreTrainedModel if moment == "save_pretrained" else module, moment, fail)
        with pytest.raises((KeyboardInterrupt, ValueError)):
            ship(small_world, trained, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert not list(tmp_path.glob(".out*"))
    out.rename(tmp_path / ".out.old")  # as a kill between the two renames leaves it
    ship(small_world, trained, out)
    assert not list(tmp_path.glob(".out*"))
    assert shipped_model(small_world, out) == out


def test_ship_replaces_nothing_but_a_shipped_model(small_world: World, tmp_path: Path) -> None:
    write_json({}, tmp_path / "mine" / "notes.json")
    with pytest.raises(ValueError, match=f"ship: out must be empty or hold {RECORD}"):
        ship(small_world, tmp_path, tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.json").exists()


@pytest.mark.skipif(os.environ.get("PIVOTKIT_BENCH") != "full", reason="trains for minutes; set PIVOTKIT_BENCH=full")
def test_the_recipe_gives_a_model_that_behaves_as_the_shipped_one(record: dict, tmp_path: Path) -> None:
    """Processors round differently in training, so a few items may differ."""
    world = World(WorldConfig(seed=SEED))
    found = _by_source(observed_behaviors(world, train_model(world, tmp_path, seed=SEED) / "model"))
    expected = _by_source(record["behaviors"])
    assert sum(found[word] == behavior for word, behavior in expected.items()) >= 0.9 * len(expected)

"""The causal test on trained models of the testbed, which learned their behaviors: the plan of their world is known.

The shipped model is seed 0. ``PIVOTKIT_BENCH=full`` trains five more, of three to five minutes each.
"""

from __future__ import annotations

import os
from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest

from pivotkit.artifacts import table_metadata
from pivotkit.causal.causal_test import causal_test
from pivotkit.causal.effects import causal_effects
from pivotkit.lens.model.loading import load_model
from pivotkit.lens.trace import trace
from pivotkit.testbed import World, train_model
from pivotkit.testbed.items import demo_items
from pivotkit.testbed.shipped import SEED, shipped_model

FULL = pytest.mark.skipif(
    os.environ.get("PIVOTKIT_BENCH") != "full", reason="trains for minutes; set PIVOTKIT_BENCH=full"
)


@pytest.fixture(scope="module", params=[SEED, *(pytest.param(seed, marks=FULL) for seed in range(1, 6))])
def effects(request):
    """Of the P word's direction, by the kind of its concept, in the layer that shows it most."""
    world = World()
    folder = shipped_model(world) if request.param == SEED else train_model(world, seed=request.param) / "model"
    model, tokenizer = load_model(folder)
    items = demo_items(world)
    kinds = {concept.words["p"]: concept.kind for concept in world.concepts}
    words = {row["item"]: dict(row["words"])["p"] for row in items.to_pylist()}
    pivots = {item: word for item, word in words.items() if kinds[word] == "pivot"}
    layer = most_shown(model, items, tokenizer, pivots)
    rows = [
        {"item": item, "layer": layer, "token_id": tokenizer.convert_tokens_to_ids(word), "class": kinds[word]}
        for item, word in words.items()
    ]
    table = causal_test(model, items, tokenizer, pa.Table.from_pylist(rows), interventions=["ablate"])
    assert table_metadata(table)["items"]["tested"] > 0.9 * items.num_rows
    return {(row["class"], row["control"], row["against"], row["mean"]): row
            for row in causal_effects(table).to_pylist()}  # fmt: skip


def most_shown(model, items, tokenizer, words: dict[int, str]) -> int:
    """The layer where the words are most probable at the answer."""
    shown: dict[int, list[float]] = defaultdict(list)
    for row in trace(model, items, tokenizer).to_pylist():
        if row["item"] in words:
            top = dict(zip(row["top_ids"], row["top_logprobs"], strict=True))
            shown[row["layer"]].append(np.exp(top.get(tokenizer.convert_tokens_to_ids(words[row["item"]]), -np.inf)))
    return max(shown, key=lambda layer: np.mean(shown[layer]))


@pytest.mark.parametrize("mean", [False, True])
def test_pivot_items_break_and_direct_items_do_not(effects, mean):
    assert effects["pivot", "own", "other", mean]["high"] < (-0.3 if mean else -1)
    for control in ("own", "orthogonal", "orthogonal-equal"):
        assert abs(effects["direct", control, None, mean]["delta_logprob"]) < 0.05
    for control in ("other", "matched"):
        assert effects["pivot", control, None, mean]["delta_logprob"] > -0.2


def test_pivot_items_break_by_the_part_of_the_pivot_that_is_its_own(effects):
    assert effects["pivot", "orthogonal-equal", "other", False]["high"] < -0.05

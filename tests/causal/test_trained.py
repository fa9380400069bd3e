"""The causal test on the testbed's trained model, which learned its behaviors: the plan of its world is known."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pivotkit.artifacts import table_metadata
from pivotkit.causal.causal_test import causal_test
from pivotkit.causal.effects import causal_effects
from pivotkit.lens.model.loading import load_model
from pivotkit.testbed import World
from pivotkit.testbed.items import demo_items
from pivotkit.testbed.shipped import shipped_model

LAYERS = (2, 3)


@pytest.fixture(scope="module")
def effects():
    """Of the P word's direction, by the kind of its concept."""
    world = World()
    model, tokenizer = load_model(shipped_model(world))
    items = demo_items(world)
    kinds = {concept.words["p"]: concept.kind for concept in world.concepts}
    words = {row["item"]: dict(row["words"])["p"] for row in items.to_pylist()}
    rows = [
        {"item": item, "layer": layer, "token_id": tokenizer.convert_tokens_to_ids(word), "class": kinds[word]}
        for item, word in words.items() for layer in LAYERS
    ]  # fmt: skip
    table = causal_test(model, items, tokenizer, pa.Table.from_pylist(rows), interventions=["ablate"])
    assert table_metadata(table)["items"]["tested"] > 0.9 * items.num_rows
    return {(row["layer"], row["class"], row["control"], row["against"], row["mean"]): row
            for row in causal_effects(table).to_pylist()}  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("mean", [False, True])
def test_pivot_items_break_also_by_the_pivots_own_part_and_direct_items_do_not(effects, layer, mean):
    for control in ("own", "orthogonal", "orthogonal-equal"):
        assert effects[layer, "pivot", control, "other", mean]["high"] < (-0.05 if mean else -0.3)
        assert abs(effects[layer, "direct", control, None, mean]["delta_logprob"]) < 0.05
    assert effects[layer, "pivot", "own", "other", mean]["high"] < (-0.5 if mean else -1.5)
    for control in ("other", "matched"):
        assert effects[layer, "pivot", control, None, mean]["delta_logprob"] > -0.2

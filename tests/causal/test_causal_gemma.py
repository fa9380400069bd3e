"""The causal test on a real model, gemma3-270m, against figures measured by another program."""

from __future__ import annotations

import math

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pivotkit.artifacts import read_table, write_table
from pivotkit.causal.causal_test import causal_test
from pivotkit.causal.effects import causal_effects
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.model.loading import load_model
from pivotkit.lens.specific_tokens import specific_tokens
from pivotkit.lens.trace import trace
from pivotkit.words.lexicon import read_lexicon
from pivotkit.words.task import build_task

PAIRS, ITEMS, LAYERS = ("fr-de", "de-es", "es-fr", "fr-es"), 100, (13, 14)
# Nats at 95 %, by layer: the pivot's ablation less that of another item's, and its orthogonal part's less the same.
OWN = {13: (-4.22, -3.21), 14: (-2.12, -1.57)}
ORTHOGONAL = {13: (-0.24, 0.04), 14: (-0.09, 0.13)}


@pytest.fixture(scope="module")
def effects(real_models, shared, made_once):
    """Effects of ablations of the most probable specific token of neither word's family, with three letters or more."""

    def make(folder):
        model, tokenizer = load_model(real_models / "gemma3-270m")
        head = LensHead.from_model(model)
        lexicon = read_lexicon(shared / "data" / "lexicon" / "concrete_nouns.tsv")
        items = build_task(lexicon, PAIRS, limit=ITEMS, contexts=1, sharing="pair")
        shown = specific_tokens(trace(model, items, tokenizer, head=head)).to_pylist()  # most probable first
        held = {}
        for row in shown:
            letters = sum(map(str.isalpha, row["token"]))
            if row["layer"] in LAYERS and row["class"] in ("pivot", "piece") and letters >= 3:
                held.setdefault((row["item"], row["layer"]), row["token_id"])
        pivots = pa.table({"item": [item for item, _ in held], "layer": [layer for _, layer in held],
                           "token_id": list(held.values())})  # fmt: skip
        table = causal_test(model, items, tokenizer, pivots, interventions=["ablate"], head=head)
        write_table(table, folder / "causal.parquet")

    table = read_table(made_once("gemma-causal", make) / "causal.parquet")
    return causal_effects(table.filter(~pc.field("mean")), by=["layer"]).to_pylist()


def pick(effects, layer, control, against):
    [row] = [row for row in effects if (row["layer"], row["control"], row["against"]) == (layer, control, against)]
    return row


@pytest.mark.parametrize("layer", LAYERS)
def test_the_pivots_own_part_does_what_was_measured(effects, layer):
    low, high = ORTHOGONAL[layer]
    found = pick(effects, layer, "orthogonal", "other")
    assert found["low"] <= high
    assert found["high"] >= low
    assert found["items"] >= 15


@pytest.mark.parametrize("layer", LAYERS)
def test_the_pivot_matters_and_tokens_that_are_not_shown_do_not(effects, layer):
    """Items here leave out those whose answer begins the source too, so the effects are no smaller than measured."""
    for against in ("other", "matched", "random", "frequency"):
        assert pick(effects, layer, "own", against)["high"] < OWN[layer][1] / 2
    assert pick(effects, layer, "own", "other")["low"] <= OWN[layer][1]
    for control in ("other", "frequency", "random", "matched"):
        assert abs(pick(effects, layer, control, None)["delta_logprob"]) < 0.3


@pytest.mark.parametrize("layer", LAYERS)
def test_most_of_the_effect_is_what_the_pivot_shares_with_the_words(effects, layer):
    own, shared = (pick(effects, layer, control, None)["delta_logprob"] for control in ("own", "shared"))
    orthogonal, equal = (
        pick(effects, layer, control, None)["delta_logprob"] for control in ("orthogonal", "orthogonal-equal")
    )
    assert shared < 0.7 * own
    assert abs(orthogonal) < 0.2 * abs(own)
    assert own < equal < orthogonal  # as much removed of the pivot's own part does less, and more than what is there
    assert pick(effects, layer, "target", None)["delta_logprob"] < -3
    assert math.isclose(
        abs(pick(effects, layer, "random", None)["removed"]),
        abs(pick(effects, layer, "own", None)["removed"]),
        rel_tol=1e-3,
    )

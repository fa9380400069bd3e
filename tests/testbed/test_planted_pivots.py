"""On the planted model the pivots of the corpus are the model's, another item's are not, and both comparisons say so."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pivotkit.artifacts import table_metadata
from pivotkit.attribution.pivot_agreement import pivot_agreement
from pivotkit.attribution.pivot_mass import pivot_mass
from pivotkit.lens.trace import trace
from pivotkit.pivots.controls import OtherItems
from pivotkit.testbed import World, WorldConfig, build_tokenizer, expected_trace, plant
from pivotkit.testbed.items import demo_items


@pytest.fixture(scope="module")
def world() -> World:
    return World(WorldConfig(concepts=32, held_out=8, background=20, documents=300, blocks=100))


@pytest.fixture(scope="module")
def made(world):
    """Traces of the planted model, with each pivot concept's pivot word and that of another one."""
    tokenizer = build_tokenizer(world.vocabulary)
    by_word = {word: concept for concept in world.concepts for word in concept.words.values()}
    items = demo_items(world)
    rows = [row for row in items.to_pylist() if by_word[row["source"]].kind == "pivot"]
    tokens = [np.array([tokenizer.convert_tokens_to_ids(by_word[row["source"]].words["p"])]) for row in rows]
    places = {pair: [at for at, row in enumerate(rows) if row["pair"] == pair] for pair in ("a-b", "b-a")}
    others = {}
    for own in places.values():
        drawer = OtherItems([rows[at]["source"] for at in own], [tokens[at] for at in own], seed=0)
        others |= {at: drawer.draw(number, tokens[at].tolist())[0] for number, at in enumerate(own)}
    columns = {name: [row[name] for row in rows] for name in ("item", "pair")}
    pivots = pa.table(
        columns
        | {"token_id": [int(own[0]) for own in tokens], "other_id": [others[at] for at in range(len(rows))]}
        | {"df_source": [50] * len(rows), "df_target": [60] * len(rows)}
    )
    traces = trace(plant(world), items, tokenizer, pivots=pivots)
    return world, by_word, items, pivots, traces


def test_the_mass_is_the_planned_one_and_the_claim_holds(made):
    world, by_word, items, _, traces = made
    for row in pivot_mass(traces, items).to_pylist():
        own = [item for item in items.to_pylist()
               if by_word[item["source"]].kind == "pivot" and row["pair"] in (item["pair"], "all")]  # fmt: skip
        planned = [expected_trace(world, by_word[item["source"]].index, item["pair"].replace("-", "")) for item in own]
        assert row["layers"] == [5, 6, 7]
        assert row["items"] == len(own) >= 10
        assert row["mass"] == pytest.approx(np.mean([plan[5:8, 1] for plan in planned]), abs=1e-5)
        assert row["control_mass"] == pytest.approx(np.mean([plan[5:8, 3] for plan in planned]), abs=1e-5)
        assert row["claim"]


def test_pivots_that_are_another_item_s_carry_no_claim(made):
    _, _, items, _, traces = made
    exchanged = {f"{one}_{part}": f"{other}_{part}" for part in ("ids", "logmass")
                 for one, other in (("pivot", "other"), ("other", "pivot"))}  # fmt: skip
    swapped = traces.rename_columns([exchanged.get(name, name) for name in traces.column_names])
    assert not any(row["claim"] for row in pivot_mass(swapped, items).to_pylist())
    assert all(row["high"] < 0 for row in pivot_mass(swapped, items).to_pylist())


def test_the_specific_tokens_of_the_layers_are_the_planted_pivots(made):
    _, by_word, items, pivots, traces = made
    found = pivot_agreement(traces, pivots, items)
    for row in found.to_pylist():
        if row["documents"] in ("all", "21-100"):
            assert (row["share"], row["control_share"], row["low"], row["high"]) == (1, 0, 1, 1)
        else:
            assert row["reason"] is not None
    assert set(table_metadata(found)["without"]) == {"no specific token"}  # the direct concepts show no pivot
    assert next(iter(found.to_pylist()))["items"] == sum(
        by_word[item["source"]].kind == "pivot" for item in items.to_pylist() if item["pair"] == "a-b"
    )

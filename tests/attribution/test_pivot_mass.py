"""The mass of pivots beside their controls, against plain Python over made traces, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from pivotkit.attribution.item_means import CONTROLS, means
from pivotkit.attribution.pivot_mass import PIVOT_MASS, pivot_mass
from pivotkit.bootstrap import resample

PAIRS = ("fr-de", "fr-zh")


def make(n=20, blocks=6, gain=0.2, least=2):
    """Traces of ``n`` concepts in two pairs: in fr-de pivots have ``gain`` more mass than other items' pivots."""
    draw = np.random.default_rng(7)
    items, rows = [], []
    for pair in PAIRS:
        for number in range(n):
            item = len(items)
            items.append({"item": item, "pair": pair, "concept": f"concept {number}"})
            for layer in range(blocks + 1):
                row = {"item": item, "pair": pair, "layer": layer, "label": "answer"}
                for name, size in (
                    ("pivot", 3),
                    ("control", 3),
                    ("matched", 3),
                    ("other", 3 if number >= least else 2),
                ):
                    mass = draw.uniform(0.05, 0.1) + (gain if name == "pivot" and pair == "fr-de" else 0)
                    row |= {f"{name}_logmass": math.log(mass), f"{name}_ids": list(range(size))}
                rows.append(row)
    return pa.Table.from_pylist(rows), pa.Table.from_pylist(items)


def test_means_equal_a_plain_loop_and_the_claim_follows_the_interval():
    traces, items = make()
    found = pivot_mass(traces, items, seed=3)
    assert found.schema.remove_metadata() == PIVOT_MASS
    assert [(row["pair"], row["against"]) for row in found.to_pylist()] == [
        (pair, name) for pair in (*PAIRS, "all") for name in CONTROLS
    ]
    for row in found.to_pylist():
        name, least = row["against"], 2 if row["against"] == "other" else 0
        values = {}
        for step in traces.to_pylist():
            wanted = row["pair"] in (step["pair"], "all") and step["layer"] in (4, 5)
            if wanted and len(step[f"{name}_ids"]) >= len(step["pivot_ids"]):
                own = values.setdefault(step["item"], [[], []])
                for side, column in zip(own, ("pivot", name), strict=True):
                    side.append(math.exp(step[f"{column}_logmass"]))
        masses = np.array(list(values.values())).mean(axis=2)
        pairs = 2 if row["pair"] == "all" else 1
        assert row["layers"] == [4, 5]
        assert (row["items"], row["left_out"], row["concepts"]) == (pairs * (20 - least), pairs * least, 20 - least)
        assert [row["mass"], row["control_mass"]] == pytest.approx(masses.mean(axis=0).tolist())
        apart = masses[:, 0] - masses[:, 1]
        assert row["difference"] == pytest.approx(apart.mean())
        assert row["above"] == pytest.approx((apart > 0).mean())
        assert row["ratio"] == pytest.approx(masses[:, 0].mean() / masses[:, 1].mean())
        # A resample of concepts takes both of a concept's items.
        concepts = 20 - least
        drawn = np.concatenate(list(resample(concepts, 1000, 3, f"mass\0{row['pair']}\0{name}")), axis=1)
        order = np.argsort([f"concept {number}" for number in range(least, 20)])
        of_concept = apart.reshape(pairs, concepts).sum(axis=0)[order]
        sample = of_concept @ drawn / (pairs * drawn.sum(axis=0))
        assert [row["low"], row["high"]] == pytest.approx(np.percentile(sample, [2.5, 97.5]).tolist())
        assert row["claim"] == ((row["low"] > 0) if name == "other" else None)
    claims = {row["pair"]: row for row in found.to_pylist() if row["against"] == "other"}
    assert [claims[pair]["claim"] for pair in (*PAIRS, "all")] == [True, False, True]
    assert claims["fr-de"]["sentence"].endswith("The corpus's pivots are the model's.")
    assert "neither more nor less probability than the pivots of other items" in claims["fr-zh"]["sentence"]
    assert claims["fr-zh"]["sentence"].endswith("No claim follows.")


def test_pivots_below_those_of_other_items_are_no_claim():
    traces, items = make(gain=-0.04)
    row = next(row for row in pivot_mass(traces, items).to_pylist() if row["against"] == "other")
    assert row["high"] < 0
    assert row["claim"] is False
    assert "less probability than the pivots of other items" in row["sentence"]


def test_few_concepts_and_no_resamples_give_no_interval_and_no_claim():
    traces, items = make(n=11)
    reasons = {"fewer than 10 concepts": pivot_mass(traces, items), "no intervals were asked for": None}
    reasons["no intervals were asked for"] = pivot_mass(*make(), bootstrap=0)
    for reason, found in reasons.items():
        row = next(row for row in found.to_pylist() if (row["pair"], row["against"]) == ("fr-de", "other"))
        assert (row["low"], row["high"], row["claim"], row["reason"]) == (None, None, False, reason)
        assert row["difference"] > 0.15
        told = f"fr-de: nothing can be said against the pivots of other items of the pair: {reason}."
        assert row["sentence"] == told


def test_items_without_pivots_and_without_enough_others_say_so():
    traces, items = make()
    rows = traces.to_pylist()
    for row in rows:
        if row["pair"] == "fr-zh":
            row |= {"pivot_ids": [], "pivot_logmass": None}
        row |= {"other_ids": [], "other_logmass": None}
    found = {
        (row["pair"], row["against"]): row
        for row in pivot_mass(pa.Table.from_pylist(rows, traces.schema), items).to_pylist()
    }
    assert found["fr-zh", "control"]["reason"] == "no item has pivots"
    assert found["fr-de", "other"]["reason"] == "no item has as many tokens of this control as pivots"
    assert found["fr-de", "other"]["left_out"] == 20
    assert (found["all", "control"]["items"], found["fr-zh", "control"]["mass"]) == (20, None)


def test_the_resamples_follow_the_seed_and_the_rows_need_no_order():
    traces, items = make()
    first = pivot_mass(traces, items)
    assert pivot_mass(traces.take(np.random.default_rng(0).permutation(traces.num_rows)), items).equals(first)
    assert not pivot_mass(traces, items, seed=1).equals(first)


def test_a_mean_of_one_item_a_concept_is_the_plain_mean():
    found = means({"a": np.arange(12.0)}, [str(number) for number in range(12)], resamples=100, seed=0, key="")["a"]
    assert found.value == 5.5
    assert 2 < found.low < 5.5 < found.high < 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, i: (t.drop_columns(["pivot_logmass"]), i), "pivot_mass: traces must have the columns .* got none named"),
        (lambda t, i: (t.drop_columns([f"{name}_logmass" for name in CONTROLS]), i),
         "pivot_mass: traces must have a control's mass"),
        (lambda t, i: (t, i.slice(1)), "pivot_mass: items must hold every item of traces; got none of item 0 of fr-de"),
        (lambda t, i: (t, i.set_column(1, "pair", pa.array(["de-fr"] * 40))),
         "pivot_mass: items must hold every item of traces; got none of item"),
        (lambda t, i: (t.set_column(t.column_names.index("label"), "label", pa.array(["source"] * t.num_rows)), i),
         "pivot_mass: traces must have rows labelled answer; got none"),
        (lambda t, i: (t.slice(0, t.num_rows - 2), i), "pivot_mass: traces must have each of the layers of every item"),
        (lambda t, i: (pa.concat_tables([t, t]), i), "pivot_mass: traces must have each of the layers of every item once"),
    ],
)  # fmt: skip
def test_traces_of_other_items_and_without_what_is_read_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        pivot_mass(*change(*make()))


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ([7], ValueError, "pivot_mass: layers must be of traces, which have 0 to 6; got 7"),
        ([], ValueError, "pivot_mass: layers must be at least one that is traced; got none"),
        (3, TypeError, "pivot_mass: layers must be a sequence of layers or None; got 3"),
    ],
)
def test_layers_that_are_not_traced_are_refused(layers, error, message):
    with pytest.raises(error, match=message):
        pivot_mass(*make(), layers=layers)


@pytest.mark.parametrize(("blocks", "layers"), [(1, [1]), (2, [1]), (3, [2]), (4, [3]), (18, list(range(10, 18)))])
def test_layers_are_the_second_half_of_the_blocks_without_the_last(blocks, layers):
    assert pivot_mass(*make(n=2, blocks=blocks), bootstrap=0)["layers"][0].as_py() == layers
    assert pivot_mass(*make(n=2, blocks=2), layers=[1, 1])["layers"][0].as_py() == [1]

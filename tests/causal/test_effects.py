"""Sums of a causal test against plain means and a plain bootstrap."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pivotkit.artifacts import table_metadata, with_metadata
from pivotkit.causal.effects import causal_effects
from pivotkit.causal.measure import CAUSAL

DELTA = {"own": -3.0, "other": -0.5, "orthogonal": -1.0, "orthogonal-equal": -2.0}


def made(seed=0, concepts=12):
    """Ablations of two items per concept and layer, one of each class."""
    random = np.random.default_rng(seed)
    rows = []
    for item in range(2 * concepts):
        for layer in (3, 4):
            for control, delta in DELTA.items():
                rows.append(
                    {"item": item, "pair": "a-b" if item % 2 else "b-a", "concept": f"c{item // 2}", "layer": layer,
                     "intervention": "ablate", "direction": "unembedding", "control": control, "mean": False,
                     "removed": 10.0, "token_id": 1, "class": "pivot" if item < concepts else None, "strength": None,
                     "delta_logprob": delta * layer + random.standard_normal(), "delta_rank": item,
                     "delta_other_logprob": None if item % 3 else 2.0}
                )  # fmt: skip
    return with_metadata(pa.Table.from_pylist(rows, schema=CAUSAL), {"seed": 0})


def pick(table, **wanted):
    [row] = [row for row in table.to_pylist() if all(row[name] == value for name, value in wanted.items())]
    return row


def test_means_and_paired_differences_are_those_of_plain_loops():
    table = made()
    frame = table.to_pandas()
    found = causal_effects(table, by=["layer"])
    for layer in (3, 4):
        here = frame[frame.layer == layer].set_index(["control", "item"])["delta_logprob"].astype(float)
        for control in DELTA:
            row = pick(found, layer=layer, control=control, against=None)
            assert row["delta_logprob"] == pytest.approx(here[control].mean(), abs=1e-6)
            assert (row["items"], row["concepts"], row["removed"]) == (24, 12, 10.0)
            assert row["delta_rank"] == pytest.approx(11.5)
            assert row["delta_other_logprob"] == 2.0
        pairs = [("own", "other"), ("own", "orthogonal"), ("own", "orthogonal-equal"), ("orthogonal", "other"),
                 ("orthogonal-equal", "other")]  # fmt: skip
        for first, second in pairs:
            row = pick(found, layer=layer, control=first, against=second)
            assert row["delta_logprob"] == pytest.approx((here[first] - here[second]).mean(), abs=1e-6)
            assert row["delta_rank"] == 0
    assert found.num_rows == 2 * (len(DELTA) + len(pairs))


def test_intervals_are_percentiles_over_concepts_with_all_their_items():
    table = made()
    frame = table.to_pandas()
    row = pick(causal_effects(table, by=["layer"], resamples=20_000), layer=3, control="own", against="other")
    here = frame[frame.layer == 3].set_index(["control", "item"])["delta_logprob"].astype(float)
    apart = (here["own"] - here["other"]).to_numpy().reshape(12, 2)
    random = np.random.default_rng(1)
    means = [apart[random.integers(12, size=12)].mean() for _ in range(20_000)]
    np.testing.assert_allclose([row["low"], row["high"]], np.percentile(means, [2.5, 97.5]), atol=0.03)
    again = causal_effects(table, by=["layer"], resamples=20_000)
    assert pick(again, layer=3, control="own", against="other") == row


def test_a_difference_is_over_the_items_that_have_both():
    table = made()
    kept = [not (row["control"] == "other" and row["item"] < 10) for row in table.to_pylist()]
    found = causal_effects(table.filter(kept), by=["layer"])
    assert pick(found, layer=3, control="own", against="other")["items"] == 14
    assert pick(found, layer=3, control="own", against=None)["items"] == 24
    assert pick(found, layer=3, control="other", against=None)["items"] == 14


def test_groups_follow_by_and_a_missing_class_is_a_group_of_its_own():
    found = causal_effects(made())
    assert {(row["layer"], row["class"]) for row in found.to_pylist()} == {
        (layer, kind) for layer in (3, 4) for kind in ("pivot", None)
    }
    assert found.column_names == [
        "layer", "class", "intervention", "direction", "control", "mean", "strength", "against", "items", "concepts",
        "delta_logprob", "low", "high", "delta_rank", "delta_other_logprob", "removed",
    ]  # fmt: skip
    whole = causal_effects(made(), by=[])
    assert pick(whole, control="own", against=None)["items"] == 48
    assert set(causal_effects(made(), by=["pair"])["pair"].to_pylist()) == {"a-b", "b-a"}
    assert table_metadata(found) == {"causal": {"seed": 0}, "resamples": 1000, "seed": 0, "by": ["layer", "class"]}


def test_one_concept_has_a_mean_and_no_interval():
    row = pick(causal_effects(made(concepts=1), by=["layer"]), layer=3, control="own", against=None)
    assert row["low"] is None
    assert row["high"] is None
    assert row["delta_logprob"] is not None


def test_an_empty_table_gives_no_rows():
    assert causal_effects(CAUSAL.empty_table()).num_rows == 0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"by": ["item"]}, "by must be of pair, layer, class; got 'item'"),
        ({"resamples": 0}, "resamples must be at least 1; got 0"),
        ({"seed": -1}, "seed must be at least 0; got -1"),
        ({"table": pa.table({"item": [1]})}, "table must have the columns item, pair"),
    ],
)
def test_a_wrong_argument_is_refused(changed, said):
    with pytest.raises(ValueError, match=f"^causal_effects: {said}"):
        causal_effects(**{"table": made(), **changed})

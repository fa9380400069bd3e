"""Attribution of made-up behaviors, against plain Python, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import pearsonr

from pivotkit.attribution.attribute import PREDICTORS, attribute
from pivotkit.attribution.statistics import auc


def make_world(n=60, seed=0, pairs=("a-b", "b-a"), noise=0.2):
    """Items of ``pairs`` over ``n`` concepts: words that meet are translated directly, up to ``noise``."""
    draw = np.random.default_rng(seed)
    concepts = [
        {"concept": f"c{number}", "a": f"a{number}", "b": f"b{number}", "counts": counts}
        for number, counts in enumerate(zip(*draw.integers(20, 90, (2, n)).tolist(), strict=True))
    ]
    for concept in concepts:
        concept["both"] = int(draw.integers(0, 20)) if draw.random() < 0.5 else 0
    items, behaviors, scores = [], [], []
    for pair in pairs:
        source, target = pair.split("-")
        for concept in concepts:
            key = {"item": len(items), "pair": pair}
            items.append({**key, "concept": concept["concept"], "source": concept[source], "target": concept[target]})
            direct = (concept["both"] > 2) != (draw.random() < noise)
            behavior = "copy" if draw.random() < 0.1 else "co-occurrence" if direct else "pivot"
            behaviors.append({**key, "rule": "paper", "behavior": behavior})
            scores.append({**key, "score": 0.1 * math.log1p(concept["both"]) + draw.normal(0, 0.1)})
    counts = [
        {
            "source": c["a"],
            "target": c["b"],
            "df_source": c["counts"][0],
            "df_target": c["counts"][1],
            "df_both": c["both"],
        }
        for c in concepts
    ]
    tables = {"behaviors": behaviors, "pairs": counts, "items": items, "scores": scores}
    return {name: pa.Table.from_pylist(rows) for name, rows in tables.items()}


@pytest.fixture(scope="module")
def world():
    return make_world()


@pytest.fixture(scope="module")
def result(world):
    return attribute(**world, bootstrap=200)


def find(entries, **wanted):
    (entry,) = [e for e in entries if all(e[key] == value for key, value in wanted.items())]
    return entry


def test_every_rule_pair_and_predictor_has_an_entry(result):
    keys = [(entry["rule"], entry["pair"], entry["predictor"]) for entry in result["auc"]]
    assert keys == [("paper", pair, predictor) for pair in ("a-b", "b-a", "all") for predictor in PREDICTORS]


def test_the_areas_equal_a_slow_recomputation(world, result):
    counts = {(row["source"], row["target"]): row for row in world["pairs"].to_pylist()}
    rows = []
    for item, seen in zip(world["items"].to_pylist(), world["behaviors"].to_pylist(), strict=True):
        if item["pair"] != "b-a" or seen["behavior"] == "copy":
            continue
        count = counts[item["target"], item["source"]]
        both, source, target = count["df_both"], count["df_target"], count["df_source"]
        values = {
            "log_df_both": math.log(1 + both),
            "log_df_source": math.log(1 + source),
            "log_df_target": math.log(1 + target),
            "log_min_df": math.log(1 + min(source, target)),
            "pmi": math.log((both + 0.5) / ((source + 0.5) * (target + 0.5))),
        }
        rows.append((values, seen["behavior"] == "co-occurrence"))
    for predictor in PREDICTORS:
        entry = find(result["auc"], pair="b-a", predictor=predictor)
        expected = auc([values[predictor] for values, _ in rows], [direct for _, direct in rows])
        assert entry["auc"] == pytest.approx(expected, abs=1e-12)
        assert entry["low"] <= entry["auc"] <= entry["high"]
        assert entry["n_co_occurrence"] + entry["n_pivot"] == len(rows)
        assert entry["n_left_out"] == 60 - len(rows)
        assert entry["reason"] is None


def test_co_occurrence_tells_more_than_frequency(result):
    pooled = {entry["predictor"]: entry for entry in result["auc"] if entry["pair"] == "all"}
    assert pooled["log_df_both"]["low"] > 0.6
    for baseline in ("log_df_source", "log_df_target", "log_min_df"):
        assert pooled["log_df_both"]["auc"] > pooled[baseline]["high"]


def test_the_correlation_equals_scipys(world, result):
    counts = {(row["source"], row["target"]): row["df_both"] for row in world["pairs"].to_pylist()}
    both = [
        counts.get((item["source"], item["target"]), counts.get((item["target"], item["source"])))
        for item in world["items"].to_pylist()
    ]
    entry = find(result["correlation"], pair="all")
    expected = pearsonr(np.log1p(both), world["scores"]["score"].to_numpy()).statistic
    assert entry["r"] == pytest.approx(expected, abs=1e-12)
    assert entry["low"] <= entry["r"] <= entry["high"]
    assert entry["n"] == 120
    assert [e["pair"] for e in result["correlation"]] == ["a-b", "b-a", "all"]


def test_without_scores_there_is_no_correlation(world):
    assert attribute(world["behaviors"], world["pairs"], items=world["items"], bootstrap=0)["correlation"] == []


def test_the_order_of_the_tables_does_not_matter(world, result):
    draw = np.random.default_rng(5)
    shuffled = {name: table.take(draw.permutation(table.num_rows)) for name, table in world.items()}
    other = attribute(**shuffled, bootstrap=0)
    for entry in result["auc"]:
        twin = find(other["auc"], pair=entry["pair"], predictor=entry["predictor"])
        assert twin["auc"] == pytest.approx(entry["auc"], abs=1e-12)


def test_the_seed_decides_the_intervals(world, result):
    assert attribute(**world, bootstrap=200) == result
    other = attribute(**world, bootstrap=200, seed=1)
    assert other["auc"][0]["auc"] == result["auc"][0]["auc"]
    assert other["auc"][0]["low"] != result["auc"][0]["low"]


def test_no_co_occurrence_and_one_are_told_apart():
    """The published code takes log(count) with 0 for both."""
    world = make_world(n=2, pairs=("a-b",), noise=0)
    counts = world["pairs"].set_column(4, "df_both", pa.array([0, 1]))
    behaviors = world["behaviors"].set_column(3, "behavior", pa.array(["pivot", "co-occurrence"]))
    result = attribute(behaviors, counts, items=world["items"], bootstrap=0)
    assert find(result["auc"], pair="a-b", predictor="log_df_both")["auc"] == 1.0


@pytest.mark.parametrize(("behavior", "missing"), [("co-occurrence", "pivot"), ("pivot", "co-occurrence")])
def test_an_empty_class_gives_no_area_and_says_why(world, behavior, missing):
    behaviors = world["behaviors"].set_column(3, "behavior", pa.array([behavior] * 120))
    result = attribute(behaviors, world["pairs"], items=world["items"], bootstrap=50)
    for entry in result["auc"]:
        assert (entry["auc"], entry["low"], entry["high"]) == (None, None, None)
        assert entry["reason"] == f"no item shows {missing} behavior"


def test_only_left_out_items_give_no_area(world):
    behaviors = world["behaviors"].set_column(3, "behavior", pa.array(["excluded"] * 120))
    result = attribute(behaviors, world["pairs"], items=world["items"])
    assert {entry["auc"] for entry in result["auc"]} == {None}
    assert find(result["auc"], pair="all", predictor="pmi")["n_left_out"] == 120


def test_items_left_out_need_no_counts(world):
    behaviors = pa.table({"item": [0], "pair": ["a-b"], "rule": ["paper"], "behavior": ["excluded"]})
    result = attribute(behaviors, world["pairs"].slice(0, 0), items=world["items"])
    assert result["auc"][0]["n_left_out"] == 1


def test_constant_scores_have_no_correlation_and_say_why(world):
    scores = world["scores"].set_column(2, "score", pa.array([0.1] * 120))
    entry = attribute(world["behaviors"], world["pairs"], items=world["items"], scores=scores)["correlation"][0]
    assert entry["r"] is None
    assert entry["reason"] == "co-occurrence or score does not vary"


def test_words_are_joined_in_their_normalized_form(world):
    items = world["items"].set_column(
        3, "source", pa.array([word.upper() for word in world["items"]["source"].to_pylist()])
    )
    assert attribute(world["behaviors"], world["pairs"], items=items, bootstrap=0)["auc"][0]["auc"] is not None


class TestRefusals:
    def attribute(self, world, **changed):
        return attribute(**{**world, **changed}, bootstrap=0)

    def test_a_failed_count_does_not_flow_into_the_area(self, world):
        """The published code writes -1 after failed requests and counts on with it."""
        both = [-1, *world["pairs"]["df_both"].to_pylist()[1:]]
        with pytest.raises(ValueError, match="attribute: df_both must be between 0 and"):
            self.attribute(world, pairs=world["pairs"].set_column(4, "df_both", pa.array(both)))

    def test_words_meet_no_more_often_than_they_occur(self, world):
        both = [10**6, *world["pairs"]["df_both"].to_pylist()[1:]]
        with pytest.raises(ValueError, match="attribute: df_both must be between 0 and"):
            self.attribute(world, pairs=world["pairs"].set_column(4, "df_both", pa.array(both)))

    def test_an_item_without_counts_is_named(self, world):
        with pytest.raises(ValueError, match=r"attribute: pairs must hold the words of every item; got none for '[ab]"):
            self.attribute(world, pairs=world["pairs"].slice(5))

    def test_a_behavior_without_item_is_named(self, world):
        with pytest.raises(ValueError, match="attribute: items must hold every item of behaviors; got none for"):
            self.attribute(world, items=world["items"].slice(5))

    def test_an_unknown_behavior_is_named(self, world):
        behaviors = world["behaviors"].set_column(3, "behavior", pa.array(["direct"] * 120))
        with pytest.raises(ValueError, match=r"attribute: behavior must be one of .*; got 'direct'"):
            self.attribute(world, behaviors=behaviors)

    def test_an_item_twice_under_one_rule_is_refused(self, world):
        behaviors = pa.concat_tables([world["behaviors"], world["behaviors"].slice(0, 1)])
        with pytest.raises(
            ValueError, match="attribute: behaviors must hold one row per item and rule; got two for an item under"
        ):
            self.attribute(world, behaviors=behaviors)

    def test_scores_must_be_finite(self, world):
        scores = world["scores"].set_column(2, "score", pa.array([math.nan] * 120))
        with pytest.raises(ValueError, match="attribute: scores must be finite"):
            self.attribute(world, scores=scores)

    def test_columns_must_be_there(self, world):
        with pytest.raises(ValueError, match=r"attribute: pairs must have the columns .*; got none named df_both"):
            self.attribute(world, pairs=world["pairs"].drop_columns(["df_both"]))

    def test_tables_must_be_tables(self, world):
        with pytest.raises(TypeError, match=r"attribute: behaviors must be a pyarrow.Table; got list"):
            self.attribute(world, behaviors=[])

    def test_bootstrap_must_not_be_negative(self, world):
        with pytest.raises(ValueError, match="attribute: bootstrap must be at least 0; got -1"):
            attribute(**world, bootstrap=-1)


def test_an_item_of_one_spelling_is_left_out_and_counted(world, result):
    def with_cent(table, **row):
        return pa.concat_tables(
            [table, pa.Table.from_pylist([row | {"item": 10_000, "pair": "a-b"}], schema=table.schema)]
        )

    more = world | {
        "items": with_cent(world["items"], concept="cent", source="cent", target="Cent"),
        "behaviors": with_cent(world["behaviors"], rule="paper", behavior="pivot"),
        "scores": with_cent(world["scores"], score=0.9),
    }
    found = attribute(**more, bootstrap=200)
    assert found["settings"]["left_out_as_one_spelling"] == 1
    assert found["auc"] == result["auc"]
    assert [row["r"] for row in found["correlation"]] == [row["r"] for row in result["correlation"]]

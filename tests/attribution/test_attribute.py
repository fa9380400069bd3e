"""Attribution of made-up behaviors, against plain Python, and what it refuses."""

from __future__ import annotations

import math
from collections import Counter
from difflib import SequenceMatcher

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import pearsonr

from pivotkit.attribution.attribute import attribute
from pivotkit.attribution.predictors import PREDICTORS
from pivotkit.attribution.statistics import auc


def make_world(n=60, seed=0, pairs=("a-b", "b-a"), noise=0.2):
    """Items of ``pairs`` over ``n`` concepts: words that meet are translated directly, up to ``noise``."""
    draw = np.random.default_rng(seed)
    concepts = [
        {"concept": f"c{number}", "a": f"a{tail}", "b": f"b{tail}", "counts": counts}
        for number, counts in enumerate(zip(*draw.integers(20, 90, (2, n)).tolist(), strict=True))
        for tail in [str(number) * (1 + number % 3)]
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
    return attribute(**world, bootstrap=200, permutations=100)


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
            "similarity": SequenceMatcher(None, item["source"], item["target"]).find_longest_match().size
            / max(len(item["source"]), len(item["target"])),  # words here differ in their first letter alone
        }
        rows.append((values, seen["behavior"] == "co-occurrence"))
    logs = np.array([[1, values["log_df_source"], values["log_df_target"]] for values, _ in rows])
    together = np.array([values["log_df_both"] for values, _ in rows])
    residuals = together - logs @ np.linalg.lstsq(logs, together, rcond=None)[0]
    for (values, _), residual in zip(rows, residuals, strict=True):
        values["log_df_both_given_df"] = residual
    for predictor in PREDICTORS:
        entry = find(result["auc"], pair="b-a", predictor=predictor)
        expected = auc([values[predictor] for values, _ in rows], [direct for _, direct in rows])
        assert entry["auc"] == pytest.approx(expected, abs=1e-12)
        assert entry["low"] <= entry["auc"] <= entry["high"]
        assert entry["n_co_occurrence"] + entry["n_pivot"] == len(rows)
        assert entry["n_left_out"] == 60 - len(rows)
        assert entry["n"] == len(rows)
        assert entry["n_concepts"] == len(rows)
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
    entry = find(result["correlation"], pair="all", predictor="log_df_both")
    expected = pearsonr(np.log1p(both), world["scores"]["score"].to_numpy()).statistic
    assert entry["r"] == pytest.approx(expected, abs=1e-12)
    assert entry["low"] <= entry["r"] <= entry["high"]
    assert entry["n"] == 120
    told = [(e["pair"], e["predictor"]) for e in result["correlation"]]
    one = ("log_df_both", "log_df_both_given_df")
    wanted = [("a-b", one), ("b-a", one), ("all", PREDICTORS)]
    assert told == [(pair, predictor) for pair, predictors in wanted for predictor in predictors]


def test_without_scores_there_is_no_correlation(world):
    assert (
        attribute(world["behaviors"], world["pairs"], items=world["items"], bootstrap=0, permutations=0)["correlation"]
        == []
    )


def test_the_order_of_the_tables_does_not_matter(world, result):
    draw = np.random.default_rng(5)
    shuffled = {name: table.take(draw.permutation(table.num_rows)) for name, table in world.items()}
    other = attribute(**shuffled, bootstrap=0, permutations=0)
    for entry in result["auc"]:
        twin = find(other["auc"], pair=entry["pair"], predictor=entry["predictor"])
        assert twin["auc"] == pytest.approx(entry["auc"], abs=1e-12)


def test_the_seed_decides_the_intervals(world, result):
    assert attribute(**world, bootstrap=200, permutations=100) == result
    other = attribute(**world, bootstrap=200, permutations=0, seed=1)
    assert other["auc"][0]["auc"] == result["auc"][0]["auc"]
    assert other["auc"][0]["low"] != result["auc"][0]["low"]


def test_no_co_occurrence_and_one_are_told_apart():
    """The published code takes log(count) with 0 for both."""
    world = make_world(n=20, pairs=("a-b",), noise=0)
    counts = world["pairs"].set_column(4, "df_both", pa.array([0, 1] * 10))
    behaviors = world["behaviors"].set_column(3, "behavior", pa.array(["pivot", "co-occurrence"] * 10))
    result = attribute(behaviors, counts, items=world["items"], bootstrap=0, permutations=0)
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
    result = attribute(behaviors, world["pairs"], items=world["items"], bootstrap=20, permutations=0)
    assert {entry["auc"] for entry in result["auc"]} == {None}
    assert find(result["auc"], pair="all", predictor="pmi")["n_left_out"] == 120


def test_items_left_out_need_no_counts(world):
    behaviors = pa.table({"item": [0], "pair": ["a-b"], "rule": ["paper"], "behavior": ["excluded"]})
    result = attribute(behaviors, world["pairs"].slice(0, 0), items=world["items"], bootstrap=20, permutations=0)
    assert result["auc"][0]["n_left_out"] == 1


def test_constant_scores_have_no_correlation_and_say_why(world):
    scores = world["scores"].set_column(2, "score", pa.array([0.1] * 120))
    entry = attribute(
        world["behaviors"], world["pairs"], items=world["items"], scores=scores, bootstrap=20, permutations=0
    )["correlation"][0]
    assert entry["r"] is None
    assert entry["reason"] == "co-occurrence or score does not vary"


def test_nine_scores_have_no_correlation(world):
    few = world["scores"].slice(0, 9)
    for row in attribute(**{**world, "scores": few}, bootstrap=0, permutations=0)["correlation"]:
        assert (row["r"], row["n"], row["reason"]) == (None, 9, "only 9 items have scores; 10 are needed")


def test_words_are_joined_in_their_normalized_form(world):
    items = world["items"].set_column(
        3, "source", pa.array([word.upper() for word in world["items"]["source"].to_pylist()])
    )
    assert (
        attribute(world["behaviors"], world["pairs"], items=items, bootstrap=0, permutations=0)["auc"][0]["auc"]
        is not None
    )


def test_copy_is_left_out_or_counts_as_co_occurrence(world, result):
    seen = Counter(world["behaviors"]["behavior"].to_pylist())
    strictly = find(result["auc"], pair="all", predictor="log_df_both")
    with_copy = find(result["auc_with_copy"], pair="all", predictor="log_df_both")
    assert (strictly["positive"], with_copy["positive"]) == ("co-occurrence", "co-occurrence+copy")
    assert (strictly["n_copy"], strictly["n_left_out"]) == (0, seen["copy"])
    assert (with_copy["n_copy"], with_copy["n_left_out"]) == (seen["copy"], 0)
    for row in (strictly, with_copy):
        assert (row["n_co_occurrence"], row["n_pivot"]) == (seen["co-occurrence"], seen["pivot"])
    renamed = ["co-occurrence" if one == "copy" else one for one in world["behaviors"]["behavior"].to_pylist()]
    again = attribute(
        world["behaviors"].set_column(3, "behavior", pa.array(renamed)),
        world["pairs"],
        items=world["items"],
        bootstrap=0,
        permutations=0,
    )
    assert [row["auc"] for row in again["auc"]] == [row["auc"] for row in result["auc_with_copy"]]


def labelled(world, direct):
    """The world where the first items show co-occurrence and the others a pivot."""
    behaviors = ["co-occurrence"] * direct + ["pivot"] * (120 - direct)
    return world["behaviors"].set_column(3, "behavior", pa.array(behaviors))


def test_nine_items_of_a_class_give_no_area_and_ten_do(world):
    few = attribute(labelled(world, 9), world["pairs"], items=world["items"], bootstrap=0, permutations=0)["auc"]
    entry = find(few, pair="all", predictor="pmi")
    assert (entry["auc"], entry["low"]) == (None, None)
    assert entry["reason"] == "only 9 items show co-occurrence behavior; 10 are needed"
    enough = attribute(labelled(world, 10), world["pairs"], items=world["items"], bootstrap=0, permutations=0)["auc"]
    assert find(enough, pair="all", predictor="pmi")["auc"] is not None
    one = attribute(labelled(world, 1), world["pairs"], items=world["items"], bootstrap=0, permutations=0)
    assert "one item shows co-occurrence behavior; 10" in find(one["auc"], pair="all", predictor="pmi")["reason"]
    told = find(one["auc_with_copy"], pair="all", predictor="pmi")["reason"]
    assert told == "one item shows co-occurrence or copy behavior; 10 are needed"
    assert {row["auc"] for row in one["permutation"]} == {None}


def test_a_predictor_that_hardly_varies_gives_no_area(world):
    met = world["pairs"].set_column(4, "df_both", pa.array([3] * 4 + [0] * 56))
    entry = find(attribute(labelled(world, 60), met, items=world["items"], bootstrap=0, permutations=0)["auc"], pair="all",
                 predictor="log_df_both")  # fmt: skip
    assert entry["auc"] is None
    assert entry["reason"] == "8 of 120 items differ from the predictor's commonest value; 10 are needed"
    met = met.set_column(4, "df_both", pa.array([3] * 5 + [0] * 55))
    entry = find(attribute(labelled(world, 60), met, items=world["items"], bootstrap=0, permutations=0)["auc"], pair="all",
                 predictor="log_df_both")  # fmt: skip
    assert entry["auc"] is not None


def test_frequency_that_explains_all_of_co_occurrence_leaves_no_partial_area(world):
    """Where a word stands, the other one stands too: nothing is left beyond frequency."""
    both = world["pairs"]["df_source"]
    same = world["pairs"].set_column(3, "df_target", both).set_column(4, "df_both", both)
    found = attribute(labelled(world, 60), same, items=world["items"], bootstrap=0, permutations=0)["auc"]
    assert find(found, pair="all", predictor="log_df_both")["auc"] is not None
    assert "0 of 120 items differ" in find(found, pair="all", predictor="log_df_both_given_df")["reason"]


def test_tokens_of_words_are_predictors_where_the_traces_are_given(world):
    rows = [
        {"item": item["item"], "pair": item["pair"], "source_pieces": [1], "target_pieces": [7] * len(item["target"])}
        for item in world["items"].to_pylist()
        for _ in range(2)  # a trace has a row per layer
    ]
    found = attribute(**world, traces=pa.Table.from_pylist(rows), bootstrap=0, permutations=0)["auc"]
    lengths, direct = [], []
    for item, behavior in zip(world["items"].to_pylist(), world["behaviors"]["behavior"].to_pylist(), strict=True):
        if behavior != "copy":
            lengths.append(len(item["target"]))
            direct.append(behavior == "co-occurrence")
    entry = find(found, pair="all", predictor="tokens_target")
    assert entry["auc"] == pytest.approx(auc(lengths, direct), abs=1e-12)
    assert "0 of" in find(found, pair="all", predictor="tokens_source")["reason"]


def test_groups_by_frequency_and_script_hold_every_item_once(world, result):
    whole = find(result["auc"], pair="all", predictor="log_df_both")["n"]
    for by in ("frequency of the rarer word", "script of the source", "script of the target", "scripts"):
        rows = [row for row in result["auc_by_group"] if (row["by"], row["predictor"]) == (by, "log_df_both")]
        assert sum(row["n"] for row in rows if row["positive"] == "co-occurrence") == whole
        assert len({(row["positive"], row["group"]) for row in rows}) == len(rows)
    assert {row["group"] for row in result["auc_by_group"] if row["by"] == "scripts"} == {"latin to latin"}
    everyone = find(result["correlation"], pair="all", predictor="log_df_both")
    one = find(result["correlation_by_group"], by="scripts", group="latin to latin", predictor="log_df_both")
    assert (one["r"], one["n"]) == (everyone["r"], everyone["n"])


def test_permuted_co_occurrence_tells_nothing(result):
    row = find(result["permutation"], pair="all", positive="co-occurrence")
    assert row["low"] < 0.5 < row["high"] < row["auc"]
    assert row["mean"] == pytest.approx(0.5, abs=0.05)
    assert row["p"] == 1 / 101


def test_the_fit_has_the_papers_second_term_where_pivots_are_given(world):
    counted = {row["source"]: row for row in world["pairs"].to_pylist()}
    rows, terms = [], np.zeros(120)
    for item in world["items"].to_pylist():
        number, one = item["item"], counted[item["source"].replace("b", "a")]
        of = {"a": one["df_source"], "b": one["df_target"]}
        documents = of[item["source"][0]], of[item["target"][0]]
        for _ in range(number % 3):  # documents with the pivot and each word, as shares of the word's
            shared = 2 + number % 7, 5
            shares = (shared[0] / documents[0], shared[1] / documents[1])
            rows.append(dict(zip(("df_given_source", "df_given_target"), shares, strict=True))
                        | {"item": number, "pair": item["pair"]})  # fmt: skip
            terms[number] += math.log(min(shared))
    counts = [row["df_both"] for row in world["pairs"].to_pylist()] * 2
    score = 0.25 + 0.5 * np.log1p(counts) - 0.125 * terms
    scores = world["scores"].set_column(2, "score", pa.array(score))
    found = attribute(**{**world, "scores": scores}, pivots=pa.Table.from_pylist(rows), bootstrap=20, permutations=0)
    exact = {"log_df_both": 0.5, "log_pivots": -0.125, "constant": 0.25, "r_squared": 1.0}
    for term, value in exact.items():
        row = find(found["fits"], pair="all", model="log_df_both + log_pivots", term=term)
        assert [row["value"], row["low"], row["high"]] == pytest.approx([value] * 3, abs=1e-9)
        assert (row["n"], row["reason"]) == (120, None)
    alone = [row["term"] for row in found["fits"] if (row["pair"], row["model"]) == ("all", "log_df_both")]
    assert alone == ["log_df_both", "constant", "r_squared"]


def test_the_points_are_those_of_the_scatter(world):
    strict = world["behaviors"].set_column(2, "rule", pa.array(["strict"] * 120))
    rows = attribute(**{**world, "behaviors": strict}, bootstrap=0, permutations=0)["points"]
    counts = [row["df_both"] for row in world["pairs"].to_pylist()] * 2
    assert [row["log_df_both"] for row in rows] == pytest.approx(np.log1p(counts))
    assert [row["score"] for row in rows] == world["scores"]["score"].to_pylist()
    assert [row["behavior"] for row in rows] == strict["behavior"].to_pylist()


class TestRefusals:
    def attribute(self, world, **changed):
        return attribute(**{**world, **changed}, bootstrap=0, permutations=0)

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

    def test_scores_of_other_words_are_of_another_run(self, world):
        other = world["scores"].append_column("source", pa.array(["x", *world["items"]["source"].to_pylist()[1:]]))
        told = "attribute: scores must be of these items; got source 'x' where items have 'a0': give tables that"
        with pytest.raises(ValueError, match=told):
            self.attribute(world, scores=other)

    def test_traces_of_other_items_are_of_another_run(self, world):
        other = {"item": [7000], "pair": ["a-b"], "source_pieces": [[1]], "target_pieces": [[1]]}
        with pytest.raises(ValueError, match="attribute: traces must hold every item of behaviors; got none for"):
            self.attribute(world, traces=pa.table(other))

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
    found = attribute(**more, bootstrap=200, permutations=0)
    assert found["settings"]["left_out_as_one_spelling"] == 1
    assert found["auc"] == result["auc"]
    assert [row["r"] for row in found["correlation"]] == [row["r"] for row in result["correlation"]]

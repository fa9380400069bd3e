"""The three rules, case by case."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from pivotkit.lens.behavior import PROBABILITIES, SENSITIVITY, SHARES, classify, sensitivity

SOURCE, TARGET, PIVOT, COMMA = 10, 20, 30, 40
TEXT = {SOURCE: " dog", TARGET: " chien", PIVOT: " Hund", COMMA: ",", 11: "gy"}


def traces(
    *steps: tuple[int, float], source_pieces=(SOURCE, 11), target_pieces=(TARGET,), source_ids=(SOURCE,),
    target_ids=(TARGET,), item=0, pair="en-fr",
):  # fmt: skip
    """One item's trace: the first choice and its probability per block, after an embedding row to be ignored."""
    rows = []
    for layer, (token, probability) in enumerate([(99, 1.0), *steps]):
        rows.append({
            "item": item, "pair": pair, "layer": layer, "label": "answer", "top_ids": [token, 0],
            "top_tokens": [TEXT.get(token, "?"), ""], "top_logprobs": [math.log(probability), -9.0],
            "source_pieces": list(source_pieces), "target_pieces": list(target_pieces),
            "source_ids": list(source_ids), "target_ids": list(target_ids),
        })  # fmt: skip
    return pa.Table.from_pylist(rows)


def behavior(rule, *steps, **more):
    [row] = classify(traces(*steps, **more), rule).to_pylist()
    return row["behavior"], row["peak_layer"]


@pytest.mark.parametrize(
    ("steps", "paper", "strict", "threshold"),
    [
        (
            [(COMMA, 0.05), (TARGET, 0.5), (TARGET, 0.9)],
            ("co-occurrence", 3), ("co-occurrence", None), ("co-occurrence", None),
        ),
        ([(COMMA, 0.05), (PIVOT, 0.8), (TARGET, 0.6)], ("pivot", 2), ("pivot", 2), ("pivot", 2)),
        # The pivot shows, but the answer has a higher probability: only the published peak rule misses the pivot.
        ([(COMMA, 0.05), (PIVOT, 0.5), (TARGET, 0.9)], ("co-occurrence", 3), ("pivot", 2), ("pivot", 2)),
        ([(COMMA, 0.05), (PIVOT, 0.15), (TARGET, 0.9)], ("co-occurrence", 3), ("co-occurrence", None), ("pivot", 2)),
        ([(COMMA, 0.05), (SOURCE, 0.95), (TARGET, 0.9)], ("co-occurrence", 2), ("copy", 2), ("co-occurrence", None)),
        # A later piece of the source counts as the source for the published rules, and as a copy for ours.
        ([(COMMA, 0.05), (11, 0.95), (TARGET, 0.9)], ("co-occurrence", 2), ("copy", 2), ("co-occurrence", None)),
        # Punctuation is not a semantic pivot.
        ([(COMMA, 0.95), (TARGET, 0.5), (TARGET, 0.9)], ("pivot", 1), ("co-occurrence", None), ("pivot", 1)),
        # A wrong answer is other; the published rules ignore whether the answer is wrong.
        ([(COMMA, 0.05), (PIVOT, 0.5), (PIVOT, 0.9)], ("co-occurrence", 3), ("other", None), ("pivot", 3)),
        # The target peaks early and is lost: the published rule calls it a pivot.
        ([(TARGET, 0.95), (PIVOT, 0.1), (PIVOT, 0.5)], ("pivot", 1), ("other", None), ("pivot", 3)),
    ],
)  # fmt: skip
def test_the_rules_differ_where_they_should(steps, paper, strict, threshold):
    assert behavior("paper", *steps) == paper
    assert behavior("strict", *steps) == strict
    assert behavior("threshold", *steps) == threshold


def test_the_strict_rule_looks_at_the_second_half_or_where_it_is_told():
    early = traces((PIVOT, 0.99), (COMMA, 0.1), (TARGET, 0.5), (TARGET, 0.6))
    assert classify(early, "strict")["behavior"].to_pylist() == ["co-occurrence"]
    assert classify(early, "strict", first_layer=1)["behavior"].to_pylist() == ["pivot"]
    assert classify(early, "paper")["behavior"].to_pylist() == ["pivot"]


def test_of_equal_peaks_the_later_layer_counts():
    assert behavior("paper", (PIVOT, 0.8), (COMMA, 0.8), (TARGET, 0.6)) == ("pivot", 2)


def test_the_embedding_output_is_never_a_peak():
    assert behavior("paper", (PIVOT, 0.3), (TARGET, 0.2))[1] == 1


@pytest.mark.parametrize("rule", ["paper", "strict", "threshold"])
def test_words_that_share_a_piece_are_excluded_under_every_rule(rule):
    assert behavior(rule, (PIVOT, 0.8), (TARGET, 0.6), source_pieces=(SOURCE, TARGET)) == ("excluded", None)
    # The exclusion holds for wrong answers too.
    assert behavior(rule, (PIVOT, 0.8), (PIVOT, 0.6), source_pieces=(SOURCE, TARGET)) == ("excluded", None)


def test_a_token_that_can_begin_both_words_counts_as_the_target():
    """No piece is shared, so the item counts; the token can begin another spelling of either word."""
    steps = (COMMA, 0.1), (PIVOT, 0.8), (TARGET, 0.6)
    assert behavior("strict", *steps, source_ids=(SOURCE, PIVOT)) == ("copy", 2)
    both = {"source_ids": (SOURCE, PIVOT), "target_ids": (TARGET, PIVOT)}
    assert behavior("strict", *steps, **both) == ("co-occurrence", None)


def test_the_least_probability_of_the_strict_rule_is_a_setting():
    table = traces((COMMA, 0.1), (PIVOT, 0.3), (TARGET, 0.6))
    assert classify(table, "strict", min_probability=0.3 - 1e-6)["behavior"].to_pylist() == ["pivot"]
    assert classify(table, "strict", min_probability=0.31)["behavior"].to_pylist() == ["co-occurrence"]


def test_the_thresholds_of_the_published_rules_are_settings():
    table = traces((COMMA, 0.05), (PIVOT, 0.3), (TARGET, 0.2))
    assert classify(table, "threshold", threshold=0.3 - 1e-6)["behavior"].to_pylist() == ["pivot"]
    assert classify(table, "threshold", threshold=0.31)["behavior"].to_pylist() == ["co-occurrence"]
    assert classify(table, "paper", least_peak=0.3 - 1e-6)["behavior"].to_pylist() == ["pivot"]
    [row] = classify(table, "paper", least_peak=0.31).to_pylist()
    assert (row["behavior"], row["peak_layer"]) == ("excluded", None)


def test_every_rule_gives_a_row_for_every_item():
    both = pa.concat_tables([traces((PIVOT, 0.8), (TARGET, 0.6)), traces((TARGET, 0.9), (TARGET, 0.9), item=1)])
    found = classify(both)
    assert [(row["item"], row["rule"]) for row in found.to_pylist()] == [
        (item, rule) for item in (0, 1) for rule in ("paper", "strict", "threshold")
    ]


def test_the_order_of_the_rows_does_not_matter():
    table = traces((PIVOT, 0.8), (COMMA, 0.2), (TARGET, 0.6))
    turned = table.take(list(reversed(range(table.num_rows))))
    assert classify(table).equals(classify(turned))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rule": "best"}, "rule must be one of paper, strict, threshold; got 'best'"),
        ({"first_layer": 0}, "first_layer must be at least 1; got 0"),
        ({"min_probability": 1.5}, "min_probability must be between 0 and 1; got 1.5"),
        ({"threshold": -0.1}, "threshold must be between 0 and 1; got -0.1"),
        ({"least_peak": 2}, "least_peak must be between 0 and 1; got 2"),
    ],
)
def test_a_wrong_argument_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        classify(traces((TARGET, 0.9)), **arguments)


def test_a_table_that_is_no_trace_is_refused():
    with pytest.raises(ValueError, match=r"classify: traces must have the columns .* got none named pair"):
        classify(pa.table({"item": [1], "layer": [1], "label": ["answer"]}))


@pytest.mark.parametrize(
    "others",
    [
        traces((TARGET, 0.9), item=1),  # one layer less
        traces((TARGET, 0.9), (TARGET, 0.9)),  # the same item again
    ],
)
def test_items_that_lack_a_layer_or_stand_twice_are_refused(others):
    table = pa.concat_tables([traces((PIVOT, 0.8), (TARGET, 0.6)), others])
    with pytest.raises(ValueError, match="traces must have each layer from 1 to 2 of every item once; got others"):
        classify(table)


def test_other_positions_are_not_read():
    table = traces((PIVOT, 0.8), (TARGET, 0.6))
    place = table.column_names.index("label")
    other = traces((COMMA, 0.9), (COMMA, 0.9)).set_column(place, "label", pa.array(["all"] * 3))
    assert classify(pa.concat_tables([other, table])).equals(classify(table))


def some_traces(items: int = 40, blocks: int = 8):
    """Random first choices; in a fifth of the items the words share a piece."""
    random = np.random.default_rng(0)
    tables = []
    for item in range(items):
        tokens = random.choice([SOURCE, TARGET, PIVOT, COMMA, 11], size=blocks - 1).tolist()
        steps = zip([*tokens, TARGET if item % 4 else PIVOT], random.uniform(0, 0.6, blocks).tolist(), strict=True)
        shared = {"source_pieces": (SOURCE, TARGET)} if item % 5 == 0 else {}
        tables.append(traces(*steps, item=item, pair="en-fr" if item < 25 else "fr-en", **shared))
    return pa.concat_tables(tables)


def test_sensitivity_equals_classify_at_every_point_of_the_grid():
    table = some_traces()
    found = sensitivity(table)
    assert found.schema == SENSITIVITY
    assert {(row["rule"], row["first_layer"]) for row in found.to_pylist()} == {
        ("paper", None), ("threshold", None), *(("strict", first) for first in (1, 2, 4, 6))
    }  # fmt: skip
    moved = set()
    for row in found.to_pylist():
        least = {"paper": "least_peak", "strict": "min_probability", "threshold": "threshold"}[row["rule"]]
        behaviors = classify(
            table, row["rule"], first_layer=row["first_layer"], **{least: row["min_probability"]}
        ).to_pylist()
        seen = [one["behavior"] for one in behaviors if row["pair"] in (one["pair"], "all")]
        shares = {name: seen.count(behavior) / len(seen) for name, behavior in SHARES.items()}
        assert row["items"] == len(seen)
        assert {name: row[name] for name in SHARES} == pytest.approx(shares)
        assert sum(shares.values()) == pytest.approx(1)
        moved.add((row["pair"], *shares.values()))
    assert len(moved) > 60  # the random items do move


def test_sensitivity_looks_where_it_is_told():
    found = sensitivity(some_traces(5), probabilities=[0.3], first_layers=[3]).to_pylist()
    points = {(row["pair"], row["rule"], row["min_probability"], row["first_layer"]) for row in found}
    rules = [("paper", 0.0, None), ("paper", 0.3, None), ("strict", 0.3, 3), ("threshold", 0.3, None)]
    assert points == {(pair, *point) for pair in ("en-fr", "all") for point in rules}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"probabilities": [0.1, 1.1]}, "sensitivity: probabilities must be between 0 and 1; got 1.1"),
        ({"first_layers": [0]}, "sensitivity: first_layers must be at least 1; got 0"),
    ],
)
def test_a_wrong_grid_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        sensitivity(some_traces(2), **arguments)


def test_the_grid_of_a_short_model_has_each_layer_once():
    first = {row["first_layer"] for row in sensitivity(some_traces(3, blocks=2)).to_pylist() if row["rule"] == "strict"}
    assert first == {1}
    assert len(PROBABILITIES) == 10

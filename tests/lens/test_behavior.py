"""The three rules, case by case."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest

from pivotkit.lens.behavior import classify

SOURCE, TARGET, PIVOT, COMMA = 10, 20, 30, 40
TEXT = {SOURCE: " dog", TARGET: " chien", PIVOT: " Hund", COMMA: ",", 11: "gy"}


def traces(*steps: tuple[int, float], source_pieces=(SOURCE, 11), target_pieces=(TARGET,), item=0):
    """One item's trace: the first choice and its probability, block by block, behind an embedding row to be ignored."""
    rows = []
    for layer, (token, probability) in enumerate([(99, 1.0), *steps]):
        rows.append({
            "item": item, "pair": "en-fr", "layer": layer, "label": "answer", "top_ids": [token, 0],
            "top_tokens": [TEXT.get(token, "?"), ""], "top_logprobs": [math.log(probability), -9.0],
            "source_pieces": list(source_pieces), "target_pieces": list(target_pieces),
            "source_ids": [SOURCE], "target_ids": [TARGET],
        })  # fmt: skip
    return pa.Table.from_pylist(rows)


def behavior(rule, *steps, **more):
    [row] = classify(traces(*steps, **more), rule).to_pylist()
    return row["behavior"], row["peak_layer"]


@pytest.mark.parametrize(
    ("steps", "paper", "strict", "threshold"),
    [
        ([(COMMA, 0.05), (TARGET, 0.5), (TARGET, 0.9)], ("co-occurrence", 3), ("co-occurrence", None), ("co-occurrence", None)),
        ([(COMMA, 0.05), (PIVOT, 0.8), (TARGET, 0.6)], ("pivot", 2), ("pivot", 2), ("pivot", 2)),
        # The pivot shows, yet the answer is surer: only the published peak rule is blind to it.
        ([(COMMA, 0.05), (PIVOT, 0.5), (TARGET, 0.9)], ("co-occurrence", 3), ("pivot", 2), ("pivot", 2)),
        ([(COMMA, 0.05), (PIVOT, 0.15), (TARGET, 0.9)], ("co-occurrence", 3), ("co-occurrence", None), ("pivot", 2)),
        ([(COMMA, 0.05), (SOURCE, 0.95), (TARGET, 0.9)], ("co-occurrence", 2), ("copy", 2), ("co-occurrence", None)),
        # A later piece of the source is the source's for the published rules, and copying for ours.
        ([(COMMA, 0.05), (11, 0.95), (TARGET, 0.9)], ("co-occurrence", 2), ("copy", 2), ("co-occurrence", None)),
        # Punctuation is no semantic pivot.
        ([(COMMA, 0.95), (TARGET, 0.5), (TARGET, 0.9)], ("pivot", 1), ("co-occurrence", None), ("pivot", 1)),
        # A wrong answer has no behavior worth naming; the published rules do not look.
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


def test_words_that_share_a_piece_are_excluded():
    shared = {"source_pieces": (SOURCE, TARGET)}
    assert behavior("paper", (PIVOT, 0.8), (TARGET, 0.6), **shared) == ("excluded", None)
    assert behavior("threshold", (PIVOT, 0.8), (TARGET, 0.6), **shared) == ("pivot", 1)


def test_the_least_probability_of_the_strict_rule_is_a_setting():
    table = traces((COMMA, 0.1), (PIVOT, 0.3), (TARGET, 0.6))
    assert classify(table, "strict", min_probability=0.3 - 1e-6)["behavior"].to_pylist() == ["pivot"]
    assert classify(table, "strict", min_probability=0.31)["behavior"].to_pylist() == ["co-occurrence"]


def test_every_rule_gives_a_row_for_every_item():
    both = pa.concat_tables([traces((PIVOT, 0.8), (TARGET, 0.6)), traces((TARGET, 0.9), item=1)])
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
    ],
)
def test_a_wrong_argument_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        classify(traces((TARGET, 0.9)), **arguments)


def test_a_table_that_is_no_trace_is_refused():
    with pytest.raises(ValueError, match=r"classify: traces must have the columns .* got none named pair"):
        classify(pa.table({"item": [1], "layer": [1], "label": ["answer"]}))

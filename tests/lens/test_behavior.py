"""The three rules, case by case."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pivotkit.artifacts import table_metadata, with_metadata
from pivotkit.lens.behavior import PROBABILITIES, SENSITIVITY, SHARES, classify, sensitivity

SOURCE, TARGET, PIVOT, COMMA = 10, 20, 30, 40
CAT, HUND, DOGS = 31, 32, 12
TEXT = {
    CAT: " cat",
    HUND: " Hunde",
    DOGS: " dogs",
    SOURCE: " dog",
    TARGET: " chien",
    PIVOT: " Hund",
    COMMA: ",",
    11: "gy",
}
IDS, TOKENS, VALUES = pa.list_(pa.int32()), pa.list_(pa.string()), pa.list_(pa.float32())
TRACES = pa.schema([
    ("item", pa.int32()), ("pair", pa.string()), ("layer", pa.int32()), ("label", pa.string()), ("top_ids", IDS),
    ("top_tokens", TOKENS), ("top_logprobs", VALUES), ("top_contrasts", VALUES), ("contrast_ids", IDS),
    ("contrast_tokens", TOKENS), ("contrast_logprobs", VALUES), ("contrasts", VALUES),
    *((name, IDS) for name in ("source_pieces", "target_pieces", "source_ids", "target_ids")),
    ("source_word", pa.string()), ("target_words", TOKENS), ("words", pa.map_(pa.string(), pa.string())),
])  # fmt: skip


def traces(
    *steps, source_pieces=(SOURCE, 11), target_pieces=(TARGET,), source_ids=(SOURCE,), target_ids=(TARGET,), item=0,
    pair="en-fr", contrasts=True,
):  # fmt: skip
    """One item's trace: first choice, probability and, where not 9, contrast per block, after an embedding row."""
    rows = []
    for layer, (token, probability, *contrast) in enumerate([(PIVOT, 1.0), *steps]):
        tokens = {"ids": [token, 0], "tokens": [TEXT.get(token, "?"), ""], "logprobs": [math.log(probability), -9.0]}
        values = [*(contrast or [9.0]), 0.0] if contrasts else None
        rows.append({
            "item": item, "pair": pair, "layer": layer, "label": "answer",
            **{f"top_{name}": value for name, value in tokens.items()}, "top_contrasts": values,
            **{f"contrast_{name}": value if contrasts else None for name, value in tokens.items()}, "contrasts": values,
            "source_pieces": list(source_pieces), "target_pieces": list(target_pieces),
            "source_ids": list(source_ids), "target_ids": list(target_ids),
            "source_word": "dog", "target_words": ["chien"], "words": [("en", "dog"), ("fr", "chien"), ("de", "Hund")],
        })  # fmt: skip
    return pa.Table.from_pylist(rows, schema=TRACES)


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
        ([(COMMA, 0.05), (PIVOT, 0.15), (TARGET, 0.9)], ("co-occurrence", 3), ("pivot", 2), ("pivot", 2)),
        # A token that the other items show as well is none that this item changes.
        ([(COMMA, 0.05), (PIVOT, 0.8, 0.1), (TARGET, 0.6)], ("pivot", 2), ("co-occurrence", None), ("pivot", 2)),
        # What shows only once the target is the first choice stands on no way to it.
        ([(TARGET, 0.6), (PIVOT, 0.8), (TARGET, 0.7)], ("pivot", 2), ("co-occurrence", None), ("pivot", 2)),
        # Pivot comes before copy, whichever is more probable.
        ([(SOURCE, 0.9), (PIVOT, 0.3), (TARGET, 0.6)], ("co-occurrence", 1), ("pivot", 2), ("pivot", 2)),
        # An inflection is no pivot.
        ([(HUND, 0.7), (DOGS, 0.3), (TARGET, 0.6)], ("pivot", 1), ("pivot", 1), ("pivot", 1)),
        ([(COMMA, 0.05), (DOGS, 0.3), (TARGET, 0.2)], ("pivot", 2), ("copy", 2), ("pivot", 2)),
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


def test_the_strict_rule_looks_at_every_block_but_not_at_the_embedding():
    assert behavior("strict", (PIVOT, 0.99), (COMMA, 0.1), (TARGET, 0.5), (TARGET, 0.6)) == ("pivot", 1)
    assert behavior("strict", (COMMA, 0.1), (TARGET, 0.5)) == ("co-occurrence", None)  # the embedding says PIVOT


def test_the_peak_of_the_strict_rule_is_the_most_probable_token_of_its_class():
    steps = (PIVOT, 0.3), (CAT, 0.5), (SOURCE, 0.9), (PIVOT, 0.5), (COMMA, 0.99), (TARGET, 0.6)
    [row] = classify(traces(*steps), "strict").to_pylist()
    assert (row["behavior"], row["peak_layer"], row["peak_id"]) == ("pivot", 4, PIVOT)  # of equal ones the later
    assert (row["class"], row["language"], row["also"]) == ("pivot", "de", ["copy", "piece"])
    assert (row["peak_token"], row["peak_contrast"]) == (" Hund", 9.0)
    assert row["peak_logprob"] == pytest.approx(math.log(0.5))
    [row] = classify(traces((CAT, 0.5), (TARGET, 0.6)), "strict").to_pylist()
    assert (row["peak_token"], row["class"], row["language"], row["also"]) == (" cat", "pivot", None, [])


def test_columns_of_the_strict_rule_are_null_under_the_others():
    for row in classify(traces((PIVOT, 0.8), (TARGET, 0.6)), ["paper", "threshold"]).to_pylist():
        assert row["peak_id"] == PIVOT
        assert [row[name] for name in ("peak_contrast", "class", "language", "also")] == [None] * 4


def test_items_without_contrasts_are_excluded_and_the_metadata_says_why():
    reason = {"absent": {"fr-zh": "5 items; a contrast needs at least 10"}}
    both = [traces((PIVOT, 0.8), (TARGET, 0.6)), traces((PIVOT, 0.8), (TARGET, 0.6), item=1, contrasts=False)]
    table = with_metadata(pa.concat_tables(both), {"contrast": reason})
    found = classify(table, "strict")
    assert [(row["behavior"], row["peak_id"], row["also"]) for row in found.to_pylist()] == [
        ("pivot", PIVOT, []), ("excluded", None, []),
    ]  # fmt: skip
    assert table_metadata(found)["contrast"] == reason
    grid = sensitivity(table, "strict").to_pylist()
    assert {row["excluded"] for row in grid} == {0.5}
    few = table.filter(pc.field("item") == 1)
    for function in (classify, sensitivity):
        with pytest.raises(
            ValueError, match=rf"{function.__name__}: traces must have contrasts .*none \(fr-zh: 5 items;"
        ):
            function(few, "strict")
    assert {row["rule"]: row["behavior"] for row in classify(few).to_pylist()} == {
        "paper": "pivot", "strict": "excluded", "threshold": "pivot",
    }  # fmt: skip


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


def test_the_thresholds_of_the_strict_rule_are_settings():
    table = traces((COMMA, 0.1), (PIVOT, 0.3), (TARGET, 0.6))
    assert classify(table, "strict", min_probability=0.3 - 1e-6)["behavior"].to_pylist() == ["pivot"]
    assert classify(table, "strict", min_probability=0.31)["behavior"].to_pylist() == ["co-occurrence"]
    table = traces((COMMA, 0.1), (PIVOT, 0.3, 4.0), (TARGET, 0.6))
    assert classify(table, "strict", least_contrast=4)["behavior"].to_pylist() == ["pivot"]
    assert classify(table, "strict", least_contrast=4.01)["behavior"].to_pylist() == ["co-occurrence"]


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
        ({"least_contrast": -1}, "least_contrast must be at least 0; got -1"),
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


def test_traces_of_other_positions_alone_are_refused():
    table = traces((PIVOT, 0.8), (TARGET, 0.6))
    table = table.set_column(table.column_names.index("label"), "label", pa.array(["source"] * table.num_rows))
    with pytest.raises(ValueError, match=r"^classify: traces must have rows labelled answer; got none$"):
        classify(table)


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
    """Random first choices and contrasts; in a fifth of the items the words share a piece."""
    random = np.random.default_rng(0)
    tables = []
    for item in range(items):
        tokens = random.choice([SOURCE, TARGET, PIVOT, COMMA, 11], size=blocks - 1).tolist()
        last = TARGET if item % 4 else PIVOT
        shares, changes = (random.uniform(0, most, blocks).tolist() for most in (0.6, 9))
        steps = zip([*tokens, last], shares, changes, strict=True)
        shared = {"source_pieces": (SOURCE, TARGET)} if item % 5 == 0 else {}
        tables.append(traces(*steps, item=item, pair="en-fr" if item < 25 else "fr-en", **shared))
    return pa.concat_tables(tables)


def test_sensitivity_equals_classify_at_every_point_of_the_grid():
    table = some_traces()
    found = sensitivity(table)
    assert found.schema == SENSITIVITY
    assert {(row["rule"], row["least_contrast"]) for row in found.to_pylist()} == {
        ("paper", None), ("threshold", None), *(("strict", math.log(times)) for times in (10, 100, 1000))
    }  # fmt: skip
    moved = set()
    for row in found.to_pylist():
        least = {"paper": "least_peak", "strict": "min_probability", "threshold": "threshold"}[row["rule"]]
        contrast = {"least_contrast": row["least_contrast"]} if row["rule"] == "strict" else {}
        behaviors = classify(table, row["rule"], **{least: row["min_probability"]}, **contrast).to_pylist()
        seen = [one["behavior"] for one in behaviors if row["pair"] in (one["pair"], "all")]
        shares = {name: seen.count(behavior) / len(seen) for name, behavior in SHARES.items()}
        assert row["items"] == len(seen)
        assert {name: row[name] for name in SHARES} == pytest.approx(shares)
        assert sum(shares.values()) == pytest.approx(1)
        moved.add((row["pair"], *shares.values()))
    assert len(moved) > 50  # the random items do move
    assert len(PROBABILITIES) == 10


def test_sensitivity_looks_where_it_is_told():
    table = some_traces(5)
    found = sensitivity(table, probabilities=[0.3], contrasts=[3]).to_pylist()
    points = {(row["pair"], row["rule"], row["min_probability"], row["least_contrast"]) for row in found}
    rules = [("paper", 0.0, None), ("paper", 0.3, None), ("strict", 0.3, 3), ("threshold", 0.3, None)]
    assert points == {(pair, *point) for pair in ("en-fr", "all") for point in rules}
    assert {row["rule"] for row in sensitivity(table, ["threshold"]).to_pylist()} == {"threshold"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rule": "best"}, "sensitivity: rule must be one of paper, strict, threshold; got 'best'"),
        ({"probabilities": [0.1, 1.1]}, "sensitivity: probabilities must be between 0 and 1; got 1.1"),
        ({"contrasts": [-1]}, "sensitivity: contrasts must be at least 0; got -1"),
    ],
)
def test_a_wrong_grid_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        sensitivity(some_traces(2), **arguments)

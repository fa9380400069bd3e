"""Means by pair against plain NumPy, their intervals against scipy, and what old tables lack."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy.stats import bootstrap

from pivotkit.lens.matrix import MATRIX, score_matrix


def some_scores(items=120):
    random = np.random.default_rng(0)
    return pa.table({
        "item": pa.array(range(items), pa.int32()),
        "pair": ["fr-zh" if item % 3 else "en-fr" for item in range(items)],
        "score": random.uniform(-0.5, 1, items),
        "gold_rank": pa.array(random.integers(0, 3, items), pa.int32()),
        "greedy": random.integers(0, 6, items) / 5,
        "reciprocal_rank": random.uniform(0, 1, items),
        "excluded": [item % 10 == 0 for item in range(items)],
    })  # fmt: skip


def test_each_row_is_the_mean_of_its_items_without_the_excluded():
    scores = some_scores()
    found = score_matrix(scores)
    assert found.schema == MATRIX
    assert found["pair"].to_pylist() == ["en-fr", "fr-zh", "all"]
    for row in found.to_pylist():
        mine = [one for one in scores.to_pylist() if row["pair"] in (one["pair"], "all")]
        kept = [one for one in mine if not one["excluded"]]
        assert (row["items"], row["excluded"]) == (len(kept), len(mine) - len(kept))
        assert row["accuracy"] == pytest.approx(np.mean([one["gold_rank"] == 0 for one in kept]))
        for name in ("score", "greedy", "reciprocal_rank"):
            assert row[name] == pytest.approx(np.mean([one[name] for one in kept]))
            assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_intervals_equal_scipys_within_the_noise_of_resampling(level):
    scores = some_scores()
    row = score_matrix(scores, resamples=4000, level=level).to_pylist()[-1]
    kept = [one["score"] for one in scores.to_pylist() if not one["excluded"]]
    theirs = bootstrap(
        (kept,), np.mean, n_resamples=4000, confidence_level=level, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert (row["score_low"], row["score_high"]) == pytest.approx(tuple(theirs), abs=0.006)


def test_the_same_seed_gives_the_same_table_and_another_another():
    scores = some_scores()
    assert score_matrix(scores).equals(score_matrix(scores))
    assert not score_matrix(scores).equals(score_matrix(scores, seed=1))


def test_a_pair_does_not_depend_on_the_others():
    scores = some_scores()
    alone = score_matrix(scores.filter(pc.equal(scores["pair"], "fr-zh")))
    assert alone.slice(0, 1).equals(score_matrix(scores).slice(1, 1).combine_chunks())


def test_what_an_older_table_lacks_is_null():
    scores = some_scores()
    found = score_matrix(scores.select(["item", "pair", "score"])).to_pylist()[-1]
    assert (found["items"], found["excluded"]) == (120, None)
    assert found["score"] == pytest.approx(np.mean(scores["score"].to_pylist()))
    assert {found[name] for name in ("accuracy", "accuracy_low", "greedy", "reciprocal_rank_high")} == {None}


def test_a_pair_whose_items_are_all_excluded_has_no_means():
    scores = some_scores(6).set_column(6, "excluded", pa.array([True, False, False] * 2))
    row = score_matrix(scores).to_pylist()[0]
    assert (row["pair"], row["items"], row["excluded"], row["score"], row["score_low"]) == ("en-fr", 0, 2, None, None)


def test_an_excluded_item_needs_no_numbers():
    scores = some_scores(11)
    greedy = pa.array([None, *scores["greedy"].to_pylist()[1:]], pa.float64())
    hole = scores.set_column(scores.column_names.index("greedy"), "greedy", greedy)
    assert score_matrix(hole).equals(score_matrix(scores))


def test_without_resamples_there_are_no_intervals():
    row = score_matrix(some_scores(), resamples=0).to_pylist()[-1]
    assert row["score"] is not None
    assert (row["score_low"], row["greedy_high"]) == (None, None)


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (lambda scores: scores, {"resamples": -1}, "resamples must be at least 0; got -1"),
        (lambda scores: scores, {"level": 1}, "level must be between 0 and 1; got 1"),
        (
            lambda scores: scores.drop_columns(["score"]), {},
            "scores must have the columns pair, score; got none named score",
        ),
        (lambda scores: scores.set_column(4, "greedy", pa.array([None] * 120, pa.float64())), {}, "a number in greedy"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_refused(change, arguments, message):
    with pytest.raises(ValueError, match=f"score_matrix: .*{message}"):
        score_matrix(change(some_scores()), **arguments)


def test_no_table_is_refused():
    with pytest.raises(TypeError, match=r"scores must be a pyarrow\.Table; got list"):
        score_matrix([])

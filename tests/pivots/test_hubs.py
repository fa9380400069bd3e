"""Hubs against plain Python."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivotkit.artifacts import table_metadata
from pivotkit.pivots.hubs import hub_pivots

rows = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("abxyz"), st.integers(0, 6), st.integers(1, 9)), max_size=40
)


def make_pivots(rows):
    return pa.table(
        {
            "source": pa.array([row[0] for row in rows], pa.string()),
            "target": pa.array([row[1] for row in rows], pa.string()),
            "token_id": pa.array([row[2] for row in rows], pa.int32()),
            "token": pa.array([f"t{row[2]}" for row in rows], pa.string()),
            "score": pa.array([row[3] / 8 for row in rows], pa.float64()),  # eighths add without rounding
        }
    )


@given(rows, st.integers(1, 8))
def test_hubs_equal_a_slow_recomputation(rows, k):
    words, scores = {}, {}
    for source, target, token, score in rows:
        words.setdefault(token, set()).update({source, target})
        scores[token] = scores.get(token, 0) + score / 8
    expected = sorted(words, key=lambda token: (-len(words[token]), -scores[token], token))[:k]
    assert hub_pivots(make_pivots(rows), k).to_pylist() == [
        {"token_id": token, "token": f"t{token}", "words": len(words[token]), "score": scores[token]}
        for token in expected
    ]


@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_the_pivots_does_not_matter(rows, random):
    shuffled = random.sample(rows, len(rows))
    assert hub_pivots(make_pivots(rows), 5).equals(hub_pivots(make_pivots(shuffled), 5))


def test_many_words_come_before_a_high_score():
    pivots = make_pivots([("a", "x", 1, 9), ("a", "x", 2, 1), ("b", "y", 2, 1)])
    assert hub_pivots(pivots, 2)["token_id"].to_pylist() == [2, 1]


def test_a_word_that_is_source_and_target_counts_once():
    assert hub_pivots(make_pivots([("a", "b", 1, 1), ("b", "a", 1, 1)]), 1)["words"].to_pylist() == [2]


def test_tokens_without_text_stay_without():
    pivots = make_pivots([("a", "b", 1, 1)]).set_column(3, "token", pa.array([None], pa.string()))
    assert hub_pivots(pivots, 1)["token"].to_pylist() == [None]


def test_the_number_of_tokens_before_the_cut_is_said():
    assert table_metadata(hub_pivots(make_pivots([("a", "b", 1, 1), ("a", "b", 2, 1)]), 1))["tokens"] == 2


def test_k_must_be_positive():
    with pytest.raises(ValueError, match="hub_pivots: k must be at least 1; got 0"):
        hub_pivots(make_pivots([]), 0)


def test_pivots_must_name_their_words():
    with pytest.raises(ValueError, match=r"hub_pivots: pivots must have the columns .*; got none named source"):
        hub_pivots(make_pivots([]).drop_columns(["source"]), 1)

"""Controls are as frequent as the pivots, distinct, and none of what is excluded."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pivotkit.pivots.controls import FrequencyMatched
from pivotkit.pivots.find import find_pivots

frequencies = st.lists(st.integers(0, 6), min_size=1, max_size=30)


@given(frequencies, st.data())
def test_each_control_is_the_nearest_that_is_left(background, data):
    vocabulary = range(len(background))
    tokens = data.draw(st.lists(st.sampled_from(vocabulary), unique=True, max_size=8))
    excluded = {*tokens, *data.draw(st.sets(st.sampled_from(vocabulary)))}
    drawn = FrequencyMatched(np.array(background), seed=3).draw(tokens, excluded, "key")
    left = {token for token in vocabulary if background[token] and token not in excluded}
    for token, control in zip(tokens, drawn, strict=True):
        if control is None:
            assert not left
            continue
        distance = {other: abs(background[other] - background[token]) for other in left}
        assert control in left
        assert distance[control] == min(distance.values())
        left.remove(control)


def test_a_draw_depends_on_seed_and_key_alone():
    background = np.full(1000, 5)
    one = FrequencyMatched(background, seed=0)
    first = one.draw([1, 2, 3], {1, 2, 3}, "a")
    one.draw([4], {4}, "b")
    assert one.draw([1, 2, 3], {1, 2, 3}, "a") == first
    assert one.draw([1, 2, 3], {1, 2, 3}, "b") != first
    assert FrequencyMatched(background, seed=1).draw([1, 2, 3], {1, 2, 3}, "a") != first


def test_every_token_of_one_frequency_is_drawn_about_equally_often():
    draws = [FrequencyMatched(np.full(5, 2), seed).draw([0], {0}, "k")[0] for seed in range(2000)]
    shares = np.bincount(draws, minlength=5) / len(draws)
    assert shares[0] == 0
    assert np.all(abs(shares[1:] - 0.25) < 0.05)


def test_controls_stand_beside_the_pivots(slow, families):
    draw = np.random.default_rng(0)
    words = {"x": [0], "y": [1]}
    documents = [[number % 2, 2, 3, *draw.integers(4, 40, 6).tolist()] for number in range(40)]
    documents += [draw.integers(4, 40, 6).tolist() for _ in range(200)]
    counts = slow.count(documents, words, 40)
    items = pa.table({"item": [5], "pair": ["a-b"], "source": ["x"], "target": ["y"]})
    pivots = find_pivots(counts, items, "paper", k=8, word_tokens=SimpleNamespace(family=words.__getitem__))
    chosen, controls = pivots["token_id"].to_pylist(), pivots["control_id"].to_pylist()
    assert len(set(controls)) == len(controls)
    assert not {*chosen, 0, 1} & set(controls)

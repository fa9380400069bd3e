"""Predictors that know nothing of co-occurrence, and the classes by which items are grouped."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivotkit.attribution.predictors import frequency_classes, given_frequencies, group_names, script, similarity

words = st.text("abc", max_size=6)


@functools.cache
def distance(a, b):
    if not a or not b:
        return len(a) + len(b)
    return min(distance(a[1:], b) + 1, distance(a, b[1:]) + 1, distance(a[1:], b[1:]) + (a[0] != b[0]))


@given(words, words)
def test_similarity_is_one_minus_the_edit_distance(a, b):
    assert similarity(a, b) == pytest.approx(1 - distance(a, b) / max(len(a), len(b), 1))


def test_similarity_is_of_normalized_words():
    assert similarity("\ufb01n", "FIN") == 1.0
    assert similarity("e\u0301cole", "école") == 1.0


def test_residuals_know_nothing_of_frequency_or_pair():
    draw = np.random.default_rng(0)
    pairs = np.array(["a-b", "b-a", "c-a"], dtype=object)[draw.integers(0, 3, 90)]
    values = {name: draw.normal(size=90) for name in ("log_df_source", "log_df_target")}
    left = given_frequencies(draw.normal(size=90) + 3 * (pairs == "a-b") + values["log_df_source"], values, pairs)
    for pair in set(pairs):
        assert left[pairs == pair].mean() == pytest.approx(0, abs=1e-8)
    for column in values.values():
        assert left @ column == pytest.approx(0, abs=1e-6)


def test_classes_of_frequency_are_by_the_rarer_word():
    counts = np.array([[0, 9, 5, 6, 20, 21, 100, 5000], [9, 0, 7, 6, 90, 30, 101, 1001], [0] * 8], dtype=float)
    shown = ["0", "0", "1 to 5", "6 to 20", "6 to 20", "21 to 100", "21 to 100", "over 1000"]
    assert frequency_classes(counts).tolist() == shown
    ordered = ["0", "1 to 5", "6 to 20", "21 to 100", "over 1000"]
    assert group_names(np.array(ordered[::-1], dtype=object)) == ordered
    assert group_names(np.array(["latin", "han"], dtype=object)) == ["han", "latin"]


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("chien", "latin"),
        ("собака", "cyrillic"),
        ("犬", "han"),
        ("コンピュータ", "katakana"),
        ("개", "hangul"),
        ("", "none"),
    ],
)
def test_a_word_has_the_script_of_its_letters(word, name):
    assert script(word) == name

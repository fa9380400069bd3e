"""Edits of single states: what holds whatever the state and the directions are."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pivotkit.causal.directions import unit
from pivotkit.causal.edits import ablation_amounts, addition_amounts, swap_amounts, swap_units

SIZE = 7
seeds = st.integers(0, 2**32 - 1)


def drawn(seed, count):
    random = torch.Generator().manual_seed(seed)
    directions = torch.randn(count, SIZE, generator=random, dtype=torch.float64)
    return 100 * torch.randn(SIZE, generator=random, dtype=torch.float64), [unit(one) for one in directions]


def moved(state, units, amounts, control):
    return state - amounts[control] * units[control]


@given(seeds)
def test_an_ablation_leaves_nothing_and_a_second_one_changes_nothing(seed):
    state, [own] = drawn(seed, 1)
    once = moved(state, {"own": own}, ablation_amounts(state, {"own": own}), "own")
    assert float(once @ own) == pytest.approx(0, abs=1e-9)
    twice = moved(once, {"own": own}, ablation_amounts(once, {"own": own}), "own")
    torch.testing.assert_close(twice, once, atol=1e-9, rtol=1e-7)


@given(seeds)
def test_a_mean_ablation_leaves_the_means_coordinate_and_all_else(seed):
    state, [own, mean] = drawn(seed, 2)
    mean = 50 * mean
    new = moved(state, {"own": own}, ablation_amounts(state - mean, {"own": own}), "own")
    assert float(new @ own) == pytest.approx(float(mean @ own), abs=1e-9)
    torch.testing.assert_close(new - (new @ own) * own, state - (state @ own) * own, atol=1e-9, rtol=1e-7)


@given(seeds)
def test_a_swap_exchanges_two_coordinates_leaves_the_rest_and_is_its_own_inverse(seed):
    state, [first, second] = drawn(seed, 2)
    units = swap_units({"own": first}, {"own": second})
    once = moved(state, units, swap_amounts(state, units), "own")
    both = torch.stack([first, second])
    torch.testing.assert_close(both @ once, both.flip(0) @ state, atol=1e-8, rtol=1e-7)
    assert torch.linalg.matrix_rank(torch.cat([(once - state)[None], both]), atol=1e-6) == 2
    twice = moved(once, units, swap_amounts(once, units), "own")
    torch.testing.assert_close(twice, state, atol=1e-8, rtol=1e-7)


def test_one_direction_cannot_be_swapped_with_itself():
    _, [one] = drawn(0, 1)
    assert swap_units({"own": one}, {"own": one.clone()}) == {}
    assert swap_units({"own": one, "other": one}, {"own": -one}).keys() == {"own"}


@given(seeds)
def test_controls_of_one_size_remove_one_amount(seed):
    state, [own, orthogonal, random, other] = drawn(seed, 4)
    units = {"own": own, "orthogonal": orthogonal, "orthogonal-equal": orthogonal, "random": random, "other": other,
             "own-reduced": own}  # fmt: skip
    amounts = ablation_amounts(state, units)
    assert amounts["random"] == amounts["own"] == pytest.approx(float(state @ own))
    assert abs(amounts["orthogonal-equal"]) == abs(amounts["own"])
    assert abs(amounts["own-reduced"]) == abs(amounts["orthogonal"])
    # What takes another's size still takes, and never adds.
    assert amounts["orthogonal-equal"] * (state @ orthogonal) >= 0
    assert amounts["own-reduced"] * (state @ own) >= 0
    assert amounts["other"] == pytest.approx(float(state @ other))


@given(seeds, st.sampled_from([-2.0, 0.5, 3.0]))
def test_additions_are_in_units_of_the_pivots_coordinate(seed, strength):
    state, [own, orthogonal, target] = drawn(seed, 3)
    units = {"own": own, "orthogonal": orthogonal, "own-reduced": own, "target": target}
    amounts = addition_amounts(state, units, strength)
    size = abs(float(state @ own))
    assert amounts["own"] == amounts["target"] == pytest.approx(-strength * size)
    beside = -strength * abs(float(state @ orthogonal))
    assert amounts["orthogonal"] == amounts["own-reduced"] == pytest.approx(beside)
    new = moved(state, units, amounts, "own")
    assert float(new @ own) == pytest.approx(float(state @ own) + strength * size)

"""Readings that no distribution can give are refused."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from pivotkit.kernels import unembed
from pivotkit.lens.invariants import check_invariants


@pytest.fixture
def reading():
    torch.manual_seed(0)
    hidden, weight = torch.randn(3, 4, 8), torch.randn(50, 8)
    return unembed(hidden, weight, 5, targets=[7], token_sets=[[1, 2], []], entropy=True,
                   references=[*range(8, 12)] * 3)  # fmt: skip


def test_a_true_reading_passes(reading):
    check_invariants("trace", reading, 50)


def damaged(values, place, value):
    values = values.clone()
    values[place] = value
    return values


@pytest.mark.parametrize(
    ("field", "place", "value", "message"),
    [
        ("logsumexp", (1, 2), -9.0, "log-probabilities must not exceed 0; got .* at \\(1, 2, 0\\) of \\(3, 4, 5\\)"),
        ("logits", (0, 1, 3), -50.0, "logits of the top tokens must fall; got"),
        ("target_logits", (2, 3, 0), 80.0, "the first token must not be less likely than a target; got"),
        ("target_ranks", (0, 0, 0), 50, "ranks must lie from 0 to 49; got 50"),
        ("set_logprobs", (0, 0, 0), 0.5, "the mass of a token set must not exceed 1; got 0.5"),
        ("entropy", (0, 0), 9.0, "entropy must lie from 0 to 3.91202; got 9"),
        ("entropy", (0, 0), -0.1, "entropy must lie from 0 to 3.91202; got -0.1"),
        ("kl", (1, 1), -0.5, "the divergence from the final layer must not be negative; got -0.5"),
        ("entropy", (0, 0), float("nan"), "entropy must lie from 0 to 3.91202; got nan"),
    ],
)
def test_a_damaged_reading_is_refused_with_its_place(reading, field, place, value, message):
    wrong = dataclasses.replace(reading, **{field: damaged(getattr(reading, field), place, value)})
    with pytest.raises(ArithmeticError, match=f"trace: {message}"):
        check_invariants("trace", wrong, 50)

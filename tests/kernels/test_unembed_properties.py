"""Answers do not depend on threads, tiles, workspace, other rows, order of the vocabulary, or how sets are split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pivotkit import _C
from pivotkit.kernels import TokenSetTable, isas, unembed

FIELDS = ("ids", "logits", "logsumexp", "target_logits", "target_ranks", "set_logprobs", "entropy")


def random_case(seed: int, rows: int, vocabulary: int, dim: int, half: bool = False) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    hidden = random.standard_normal((rows, dim)).astype(np.float32)
    # Repeated rows make ties that rounding cannot break.
    weight = random.standard_normal((vocabulary, dim)).astype(np.float32)[random.integers(0, vocabulary, vocabulary)]
    weight = np.ascontiguousarray(weight)
    if half:  # the bits of bfloat16 values
        return (hidden.view(np.uint32) >> 16).astype(np.uint16), (weight.view(np.uint32) >> 16).astype(np.uint16)
    return hidden, weight


def native(hidden: np.ndarray, weight: np.ndarray, isa: str, threads: int, tile: int, workspace: int) -> dict[str, Any]:
    rows, vocabulary = hidden.shape[0], weight.shape[0]
    targets = np.arange(rows * 2).reshape(rows, 2) * 31 % vocabulary
    sets = TokenSetTable.per_row([[range(0, vocabulary, 3), [m % vocabulary]] for m in range(rows)])
    kind = "bfloat16" if hidden.dtype == np.uint16 else "float32"
    result = _C.unembed(
        hidden, kind, weight, kind, min(9, vocabulary), None, 0.7, 4.0, targets, sets.ids, sets.offsets, 2,
        False, True, threads, isa, workspace, tile,
    )  # fmt: skip
    return dict(result)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 99),
    rows=st.integers(1, 40),
    vocabulary=st.integers(1, 1400),
    dim=st.sampled_from([1, 5, 16, 300, 530]),
    threads=st.integers(1, 5),
    tile=st.sampled_from([0, 64, 128, 256]),
    small=st.booleans(),
    isa=st.sampled_from(isas()),
    half=st.booleans(),
)
def test_threads_tiles_and_workspace_change_no_bit(
    seed: int, rows: int, vocabulary: int, dim: int, threads: int, tile: int, small: bool, isa: str, half: bool
) -> None:
    hidden, weight = random_case(seed, rows, vocabulary, dim, half)
    plain = native(hidden, weight, isa, 1, 0, 64 << 20)
    # The small workspace holds a few rows, so they pass the weight in several blocks.
    other = native(hidden, weight, isa, threads, tile, 2 << 20 if small else 64 << 20)
    for field in FIELDS:
        assert np.array_equal(plain[field], other[field]), field


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 99), isa=st.sampled_from(isas()), first=st.integers(0, 136), count=st.integers(1, 24),
    dim=st.sampled_from([65, 300]), half=st.booleans(),
)  # fmt: skip
def test_a_row_alone_has_the_bits_it_has_in_company(
    seed: int, isa: str, first: int, count: int, dim: int, half: bool
) -> None:
    # So many rows that their panels read a packed weight, where few read it in place, by a kernel for each number of rows.
    hidden, weight = random_case(seed, 160, 500, dim, half)
    together = native(hidden, weight, isa, 2, 0, 64 << 20)
    alone = native(hidden[first : first + count], weight, isa, 2, 0, 64 << 20)
    for field in ("ids", "logits", "logsumexp", "entropy"):
        assert np.array_equal(together[field][first : first + count], alone[field]), field


def test_avx2_and_avx512_give_the_same_bits() -> None:
    if not {"avx2", "avx512"} <= set(isas()):
        pytest.skip("this machine lacks avx2 or avx512")
    hidden, weight = random_case(0, 40, 1400, 530)
    narrow, wide = (native(hidden, weight, isa, 2, 0, 64 << 20) for isa in ("avx2", "avx512"))
    for field in FIELDS:
        assert np.array_equal(narrow[field], wide[field]), field


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), backend=st.sampled_from(["cpu", "torch"]))
def test_permuting_the_vocabulary_permutes_ids_and_keeps_the_rest(seed: int, backend: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden, weight = torch.randn(3, 20, generator=generator), torch.randn(700, 20, generator=generator)
    order = torch.randperm(700, generator=generator)
    options: dict[str, Any] = {"entropy": True, "backend": backend}
    plain = unembed(hidden, weight, 20, targets=order[:4], token_sets=[order[:9].tolist()], **options)
    moved = unembed(hidden, weight[order], 20, targets=torch.arange(4), token_sets=[range(9)], **options)
    torch.testing.assert_close(plain.logits, moved.logits)
    assert torch.equal(order[moved.ids], plain.ids)
    assert torch.equal(moved.target_ranks, plain.target_ranks)
    for field in ("logsumexp", "set_logprobs", "entropy"):
        torch.testing.assert_close(getattr(plain, field), getattr(moved, field), rtol=1e-5, atol=1e-5)


Part = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # logits and ids of the best, logsumexp


def part_of(hidden: torch.Tensor, weight: torch.Tensor, begin: int, end: int) -> Part:
    some = unembed(hidden, weight[begin:end], min(5, end - begin))
    return some.logits, some.ids + begin, some.logsumexp


def merge(first: Part, second: Part) -> Part:
    logits, ids = (torch.cat(pair, 1) for pair in zip(first[:2], second[:2], strict=True))
    best = torch.sort(-logits, dim=1, stable=True).indices[:, :5]
    return logits.gather(1, best), ids.gather(1, best), torch.logaddexp(first[2], second[2])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), cuts=st.lists(st.integers(1, 699), min_size=2, max_size=2, unique=True))
def test_parts_of_the_vocabulary_merge_to_the_whole_in_any_grouping(seed: int, cuts: list[int]) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden, weight = torch.randn(3, 20, generator=generator), torch.randn(700, 20, generator=generator)
    whole = part_of(hidden, weight, 0, 700)
    low, high = sorted(cuts)
    first, second, third = (part_of(hidden, weight, *bounds) for bounds in ((0, low), (low, high), (high, 700)))
    for merged in (merge(merge(first, second), third), merge(first, merge(second, third))):
        assert torch.equal(merged[1], whole[1])
        assert torch.equal(merged[0], whole[0])
        torch.testing.assert_close(merged[2], whole[2])


@pytest.mark.parametrize("backend", ["cpu", "torch"])
def test_sets_that_share_out_the_vocabulary_sum_to_one(backend: str) -> None:
    hidden, weight = (torch.from_numpy(one) for one in random_case(3, 4, 1000, 16))
    sets = [range(0, 1000, 3), range(1, 1000, 3), range(2, 1000, 3), []]
    mass = unembed(hidden, weight, token_sets=sets, backend=backend).set_logprobs
    torch.testing.assert_close(mass.logsumexp(-1), torch.zeros(4), rtol=0, atol=2e-6)
    assert (mass[:, 3] == -torch.inf).all()


@pytest.mark.parametrize("backend", ["cpu", "torch"])
def test_a_set_keeps_its_log_mass_far_below_what_float32_probabilities_hold(backend: str) -> None:
    weight = torch.tensor([[400.0], [-400.0], [-401.0]])
    ours = unembed(torch.ones(1, 1), weight, 1, token_sets=[[1, 2]], backend=backend)
    assert ours.set_logprobs.item() == pytest.approx(-800 + float(np.log1p(np.exp(-1))), abs=1e-4)

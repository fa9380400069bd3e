"""Certified screening gives the exact answer bit for bit, and true bounds, on easy, real-sized and hostile input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pivotkit.kernels import PackedUnembedding, TokenSetTable, Unembedded, isas, native_backend, unembed
from pivotkit.kernels.reference import unembed as reference

SAME = ("ids", "logits", "target_logits", "target_ranks")
NEVER = ("scalar", "neon")  # instruction sets without dot products of bytes


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Screen also where it would lose time, so that every instruction set's screening is seen."""
    monkeypatch.setattr(native_backend, "_SCREEN_ALWAYS", True)


@pytest.fixture
def where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_backend, "_SCREEN_ALWAYS", False)


def both(hidden: Any, weight: Any, k: int = 10, **options: Any) -> tuple[Unembedded, Unembedded]:
    packed = PackedUnembedding(weight, precision="certified")
    return unembed(hidden, weight, k, **options), unembed(hidden, packed, k, precision="certified", **options)


def assert_equal(exact: Unembedded, certified: Unembedded) -> None:
    for name in SAME:
        ours, theirs = getattr(certified, name), getattr(exact, name)
        assert (ours is None and theirs is None) or torch.equal(torch.as_tensor(ours), torch.as_tensor(theirs)), name
    off = torch.as_tensor(certified.logsumexp).double() - torch.as_tensor(exact.logsumexp).double()
    assert (off.abs() <= torch.as_tensor(certified.logsumexp_error)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("rows", "vocabulary", "dim"), [(1, 70, 5), (3, 1000, 64), (29, 5003, 96), (40, 3000, 577)])
def test_answers_equal_the_exact_ones(
    gaussians: Callable[..., Any], isa: str, rows: int, vocabulary: int, dim: int, dtype: torch.dtype
) -> None:
    hidden, weight = gaussians(rows, vocabulary, dim)
    exact, certified = both(hidden, weight.to(dtype))
    assert_equal(exact, certified)
    assert certified.isa == isa
    assert_equal(*both(hidden.to(dtype), weight.to(dtype)))


def test_a_bound_covers_subnormals_that_pairs_of_bfloat16_take_for_zero(
    isa: str, gaussians: Callable[..., Any]
) -> None:
    hidden, weight = gaussians(7, 200, 64)  # with so few ids every row can be certified
    tiny, huge = (weight * 2.0**-128).bfloat16(), (hidden * 2.0**100).bfloat16()
    for scale in (1.0, 2.0**20):
        exact, certified = both(huge, tiny, 5, logit_scale=scale, targets=[0, 77])
        assert certified.certified.all()
        assert_equal(exact, certified)


def test_most_rows_are_certified_and_their_bound_is_finite(gaussians: Callable[..., Any]) -> None:
    hidden, weight = gaussians(64, 20_000, 256)
    _, certified = both(hidden, weight)
    assert certified.certified.float().mean() > 0.9
    assert (certified.logsumexp_error[certified.certified] > 0).all()
    assert certified.logsumexp_error.isfinite().all()


def test_screening_gives_the_same_bits_on_every_instruction_set(
    gaussians: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only instruction sets with fused multiply-adds agree on the exact logits, so scalar is left out.
    hidden, weight = gaussians(20, 4000, 130)
    answers = []
    for name in isas()[1:]:
        monkeypatch.setenv("PIVOTKIT_ISA", name)
        answers.append(both(hidden, weight)[1])
    for other in answers[1:]:
        for name in ("ids", "logits", "logsumexp", "logsumexp_error"):
            assert torch.equal(getattr(answers[0], name), getattr(other, name)), name


@pytest.mark.parametrize("options", [{"logit_scale": 0.3}, {"logit_scale": -2.0}, {"softcap": 5.0}, {"bias": True}, {}])
def test_head_targets_and_sets(gaussians: Callable[..., Any], isa: str, options: dict[str, Any]) -> None:
    hidden, weight = gaussians(9, 4000, 128)
    if "bias" in options:
        options = {"bias": torch.linspace(-3, 3, 4000)}
    first = unembed(hidden, weight, 3, **options).ids
    table = TokenSetTable.per_row([[[m, 7, 3999], [], range(m, 4000, 50)] for m in range(9)])
    exact, certified = both(hidden, weight, 4, targets=first, token_sets=table, **options)
    assert_equal(exact, certified)
    assert certified.certified.any()
    off = (certified.set_logprobs - exact.set_logprobs)[:, [0, 2]].abs()
    assert (off <= certified.logsumexp_error[:, None] + 1e-5).all()
    assert (certified.set_logprobs[:, 1] == -torch.inf).all()


def test_ranks_in_the_middle_are_exact_too(gaussians: Callable[..., Any], isa: str) -> None:
    hidden, weight = gaussians(6, 3000, 64)
    assert_equal(*both(hidden, weight, targets=torch.arange(0, 3000, 300)))


HOSTILE: dict[str, Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]] = {
    "outlier dimensions x1000 in hidden": lambda h, w: (
        h * torch.where(torch.arange(h.shape[1]) % 60 == 3, 1e3, 1.0),
        w,
    ),
    "outlier dimensions x1000 in weight": lambda h, w: (
        h,
        w * torch.where(torch.arange(h.shape[1]) % 60 == 3, 1e3, 1.0),
    ),
    "one weight row x1000": lambda h, w: (h, w * torch.where(torch.arange(w.shape[0]) == 77, 1e3, 1.0)[:, None]),
    "duplicates of every weight row": lambda h, w: (h, w[torch.arange(w.shape[0]) % 97]),
    "all logits equal": lambda h, w: (h, w[:1].expand(w.shape[0], -1).contiguous()),
    "all logits zero": lambda h, w: (h * 0, w),
    "denormal weight": lambda h, w: (h, w * 1e-42),
    "denormal hidden": lambda h, w: (h * 1e-42, w),
    "tiny and huge": lambda h, w: (h * 1e-20, w * 1e20),
    "rows of very different scale": lambda h, w: (h * torch.logspace(-6, 6, h.shape[0])[:, None], w),
    "one-hot": lambda h, w: (torch.eye(h.shape[0], h.shape[1]), torch.eye(w.shape[0], w.shape[1])),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_rows_equal_the_exact_ones(gaussians: Callable[..., Any], isa: str, name: str) -> None:
    hidden, weight = HOSTILE[name](*gaussians(13, 2500, 190))
    exact, certified = both(hidden, weight, targets=[0, 77, 2499])
    assert_equal(exact, certified)


def test_an_overflow_is_refused_as_by_the_exact_path() -> None:
    packed = PackedUnembedding(torch.ones(9, 4) * 1e30, precision="certified")
    with pytest.raises(ValueError, match="fit float32; got an overflow"):
        unembed(torch.ones(3, 4) * 1e30, packed, 1, precision="certified")


def test_small_integers_tie_and_still_agree(integers: Callable[..., Any], isa: str) -> None:
    hidden, weight = integers(17, 2000, 70)
    assert_equal(*both(hidden, weight, 25, targets=[5]))


@pytest.mark.parametrize("k", [1, 2, 899, 900])
def test_any_k(gaussians: Callable[..., Any], k: int) -> None:
    assert_equal(*both(*gaussians(5, 900, 33), k))


def test_shapes_kinds_and_no_row_at_all(gaussians: Callable[..., Any]) -> None:
    hidden, weight = gaussians(6, 500, 40)
    packed = PackedUnembedding(weight.numpy(), precision="certified")
    result = unembed(hidden.numpy().reshape(2, 3, 40)[:, ::-1], packed, 4, precision="certified")
    assert isinstance(result.ids, np.ndarray)
    assert result.ids.shape == (2, 3, 4)
    assert result.logsumexp_error.shape == result.certified.shape == (2, 3)
    assert np.array_equal(result.ids[:, ::-1].reshape(6, 4), unembed(hidden.numpy(), weight.numpy(), 4).ids)
    assert unembed(hidden[:0].numpy(), packed, 4, precision="certified").ids.shape == (0, 4)


def test_rows_are_screened_where_that_is_faster(gaussians: Callable[..., Any], isa: str, where_it_pays: None) -> None:
    hidden, weight = gaussians(600, 5000, 64)
    exact, certified = both(hidden, weight)
    assert_equal(exact, certified)
    assert certified.certified.any() == (isa not in NEVER)
    assert (certified.logsumexp_error[~certified.certified] == 0).all()


def test_rows_are_not_screened_where_the_first_ones_leave_too_many_ids_open(
    gaussians: Callable[..., Any], isa: str, where_it_pays: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden, weight = gaussians(600, 20_000, 64)
    targets = unembed(hidden, weight, 1).ids
    targets[:16] = (hidden[:16] @ weight.T).median(1).indices[:, None]  # there bounds leave thousands of ids open
    exact, certified = both(hidden, weight, targets=targets)
    assert_equal(exact, certified)
    assert not certified.certified.any()
    monkeypatch.setattr(native_backend, "_SCREEN_ALWAYS", True)
    _, always = both(hidden, weight, targets=targets)
    assert not always.certified[:16].any()
    assert always.certified[16:].float().mean() > 0.9


def test_a_tolerance_is_met_by_answering_exactly(gaussians: Callable[..., Any]) -> None:
    hidden, weight = gaussians(30, 3000, 64)
    packed = PackedUnembedding(weight, precision="certified")
    loose = unembed(hidden, packed, 5, precision="certified").logsumexp_error
    tolerance = float(loose.median())
    tight = unembed(hidden, packed, 5, precision="certified", logsumexp_tolerance=tolerance)
    assert (tight.logsumexp_error <= tolerance).all()
    assert torch.equal(tight.certified, loose <= tolerance)
    assert torch.equal(tight.logsumexp[~tight.certified], unembed(hidden, weight, 5).logsumexp[~tight.certified])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 99), rows=st.integers(1, 40), vocabulary=st.integers(1, 1400), dim=st.integers(1, 300),
    threads=st.integers(1, 5), spread=st.floats(0.0, 3.0), isa=st.sampled_from(isas()),
)  # fmt: skip
def test_any_matrix_any_threads(
    seed: int, rows: int, vocabulary: int, dim: int, threads: int, spread: float, isa: str
) -> None:
    random = np.random.default_rng(seed)
    hidden = random.standard_normal((rows, dim)) * np.exp(spread * random.standard_normal(dim))
    weight = random.standard_normal((vocabulary, dim)) * np.exp(spread * random.standard_normal((vocabulary, 1)))
    hidden, weight = torch.tensor(hidden).float(), torch.tensor(weight / dim**0.5).float()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIVOTKIT_ISA", isa)
        options = {"k": min(7, vocabulary), "targets": [0, vocabulary // 2]}
        exact, certified = both(hidden, weight, **options, threads=threads)
        assert_equal(exact, certified)
        packed = PackedUnembedding(weight, precision="certified", threads=1)
        alone = unembed(hidden, packed, **options, precision="certified", threads=1)
    # When a list of open ids overflows depends on the threads that fill it; the certified answers do not.
    proved = alone.certified & certified.certified
    assert torch.equal(alone.logsumexp[proved], certified.logsumexp[proved])
    assert torch.equal(alone.logsumexp_error[proved], certified.logsumexp_error[proved])
    assert_equal(exact, alone)
    truth = reference(hidden, weight, **options).logsumexp
    rounding = 1e-5 * hidden.double().norm(dim=1) * weight.double().norm(dim=1).max() + 1e-4
    assert ((certified.logsumexp - truth).abs() <= certified.logsumexp_error + rounding).all()

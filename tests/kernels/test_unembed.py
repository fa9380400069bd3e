"""Exact cases and the oracle: every instruction set, type and shape gives the answer of the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from pivotkit.kernels import PackedUnembedding, TokenSetTable, isas, reference
from pivotkit.kernels import unembed as face

Make = Callable[..., tuple[Any, Any]]
Run = Callable[..., Any]
# rows, vocabulary, dim: aligned and ragged; less than a register, one block and one id more or less, several spans.
SHAPES = [(1, 1, 1), (1, 7, 3), (3, 63, 16), (14, 64, 32), (15, 65, 17), (29, 257, 300), (5, 1023, 640), (2, 40000, 8)]


def ragged_sets(rows: int, vocabulary: int, seed: int = 0) -> TokenSetTable:
    random = np.random.default_rng(seed)
    return TokenSetTable.per_row(
        [[random.integers(0, vocabulary, random.integers(0, 6)) for _ in range(3)] for _ in range(rows)]
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
def test_integer_logits_give_the_reference_exactly(
    unembed: Run, integers: Make, shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    rows, vocabulary, _ = shape
    hidden, weight = (one.to(dtype) for one in integers(*shape))
    targets = torch.randint(0, vocabulary, (rows, 3), generator=torch.Generator().manual_seed(1))
    k = min(vocabulary, 12)
    ours = unembed(hidden, weight, k, targets=targets, token_sets=ragged_sets(rows, vocabulary), entropy=True)
    truth = reference.unembed(
        hidden, weight, k, targets=targets, token_sets=ragged_sets(rows, vocabulary), entropy=True
    )
    assert torch.equal(ours.ids, truth.ids)
    assert torch.equal(ours.logits.double(), truth.logits)
    assert torch.equal(ours.target_logits.double(), truth.target_logits)
    assert torch.equal(ours.target_ranks, truth.target_ranks)
    torch.testing.assert_close(ours.logsumexp.double(), truth.logsumexp, rtol=2e-6, atol=2e-6)
    torch.testing.assert_close(ours.entropy.double(), truth.entropy, rtol=2e-6, atol=2e-5)
    torch.testing.assert_close(ours.set_logprobs.double(), truth.set_logprobs, rtol=2e-6, atol=5e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(19, 3001, 640), (256, 1500, 77)])
def test_error_is_no_larger_than_dense_float32_torch(
    unembed: Run, gaussians: Make, dtype: torch.dtype, shape: tuple[int, int, int]
) -> None:
    hidden, weight = (one.to(dtype) for one in gaussians(*shape))
    options: dict[str, Any] = {"logit_scale": 1.5, "softcap": 30.0}
    truth = reference.unembed(hidden, weight, shape[1], entropy=True, **options)
    ours = unembed(hidden, weight, shape[1], entropy=True, **options)
    z = 30.0 * torch.tanh(hidden.float() @ weight.float().T * 1.5 / 30.0)
    torch_entropy = torch.distributions.Categorical(logits=z).entropy()
    in_id_order = torch.empty_like(ours.logits).scatter_(1, ours.ids, ours.logits)
    true_logits = torch.empty_like(truth.logits).scatter_(1, truth.ids, truth.logits)
    pairs = [
        (in_id_order, z, true_logits),
        (ours.logsumexp, z.logsumexp(-1), truth.logsumexp),
        (ours.entropy, torch_entropy, truth.entropy),
    ]
    for mine, theirs, exact in pairs:
        # Single rounding errors cross at random: the mean square must be no larger, the worst of the same size. The
        # scalar build rounds each product apart, where torch fuses.
        mine_error, their_error = (mine - exact).abs(), (theirs - exact).abs()
        # A GPU's tensor cores cut their sums of 16-bit products: a step of the last place for every 8 at most.
        tensor_cores = ours.backend == "cuda" and torch.cuda.is_available() and dtype != torch.float32
        cut = shape[2] / 8 * 2**-24 * 30.0 if tensor_cores else 0.0
        assert mine_error.square().mean().sqrt() <= their_error.square().mean().sqrt() * 1.05 + 1e-6 + cut
        assert mine_error.max() <= 2 * their_error.max() + 2e-6 + cut


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sixteen_bit_types_are_widened_exactly(unembed: Run, dtype: torch.dtype) -> None:
    # Every finite value of the type, subnormals and signed zeros included.
    patterns = torch.arange(-(1 << 15), 1 << 15).to(torch.int16).view(dtype)
    values = patterns[torch.isfinite(patterns.float()) & (patterns.float().abs() < 1e30)]
    weight = torch.nn.functional.pad(values[:, None], (0, 22))
    hidden = torch.zeros(1, 23, dtype=dtype)
    hidden[0, 0] = 1
    ours = unembed(hidden, weight, len(values))
    expected = values.float()
    if dtype == torch.bfloat16 and ours.isa in ("avx512bf16", "amx"):
        # These multiply pairs of bfloat16 with an instruction that treats subnormals as zero.
        expected = torch.where(expected.abs() < torch.finfo(dtype).smallest_normal, 0.0, expected)
    assert torch.equal(ours.logits[0], expected.sort(descending=True).values)


@pytest.mark.parametrize("rows", [1, 20, 60])
@pytest.mark.parametrize("dim", [1, 31, 33, 600])
def test_pairs_of_bfloat16_are_summed_in_the_stated_order(monkeypatch: pytest.MonkeyPatch, rows: int, dim: int) -> None:
    if "avx512bf16" not in isas():
        pytest.skip("this machine lacks avx512bf16")
    monkeypatch.setenv("PIVOTKIT_ISA", "avx512bf16")
    random = np.random.default_rng(dim)

    def values(count: int) -> np.ndarray:
        # Eight significant bits between 2^-4 and 2^2: float64 holds each product and each sum exactly.
        exponents = random.integers(-11, -5, (count, dim))
        return random.choice([-1.0, 1.0], (count, dim)) * random.integers(128, 256, (count, dim)) * 2.0**exponents

    hidden, weight = values(rows), values(130)
    total = np.zeros((rows, 130), np.float32)
    for begin in range(0, dim, 256):
        run = np.zeros((rows, 130), np.float32)
        for d in range(begin, min(begin + 256, dim), 2):
            for one in (d + 1, d):
                if one < dim:
                    run = (run.astype(np.float64) + np.outer(hidden[:, one], weight[:, one])).astype(np.float32)
        total = total + run
    ours = face(torch.tensor(hidden).bfloat16(), torch.tensor(weight).bfloat16(), 130)
    assert np.array_equal(torch.empty(rows, 130).scatter_(1, ours.ids, ours.logits).numpy(), total)


def test_bias_scale_and_softcap_come_in_this_order(unembed: Run, gaussians: Make) -> None:
    hidden, weight = gaussians(4, 130, 24)
    bias = torch.linspace(-2, 2, 130)
    ours = unembed(hidden, weight, 130, bias=bias, logit_scale=0.5, softcap=3.0)
    truth = reference.unembed(hidden, weight, 130, bias=bias, logit_scale=0.5, softcap=3.0)
    assert torch.equal(ours.ids, truth.ids)
    torch.testing.assert_close(ours.logits.double(), truth.logits, rtol=0, atol=3e-6)


def test_ties_go_to_the_smaller_id(unembed: Run) -> None:
    hidden, weight = torch.ones(2, 4), torch.ones(5000, 4)
    ours = unembed(hidden, weight, 7, targets=[0, 4999])
    assert ours.ids.tolist() == [list(range(7))] * 2
    assert ours.target_ranks.tolist() == [[0, 4999]] * 2


def test_negative_zero_ties_with_zero(unembed: Run) -> None:
    weight = torch.tensor([[-0.0], [0.0], [-0.0]])
    ours = unembed(torch.tensor([[1.0], [-1.0]]), weight, 3, targets=[0, 1, 2])
    assert ours.ids.tolist() == [[0, 1, 2]] * 2
    assert ours.target_ranks.tolist() == [[0, 1, 2]] * 2


def test_the_lowest_logits_there_are_count_as_logits(unembed: Run) -> None:
    lowest = torch.finfo(torch.float32).min
    ours = unembed(torch.ones(2, 1), torch.full((3, 1), lowest), 3, targets=[0, 2], token_sets=[[1]], entropy=True)
    assert ours.ids.tolist() == [[0, 1, 2]] * 2
    assert ours.target_ranks.tolist() == [[0, 2]] * 2
    torch.testing.assert_close(ours.entropy, torch.full((2,), 3.0).log())
    # In float32 the logsumexp is that logit itself.
    torch.testing.assert_close(ours.logsumexp, torch.full((2,), lowest))


def test_k_may_be_the_whole_vocabulary(unembed: Run, integers: Make) -> None:
    hidden, weight = integers(3, 1500, 8)
    assert torch.equal(unembed(hidden, weight, 1500).ids, reference.unembed(hidden, weight, 1500).ids)


@pytest.mark.parametrize("rows", [6, 20])
def test_target_at_a_rank_is_the_id_at_that_place(unembed: Run, gaussians: Make, rows: int) -> None:
    hidden, weight = gaussians(rows, 2000, 64)
    best = unembed(hidden, weight, 50, softcap=2.0)
    again = unembed(hidden, weight, 1, softcap=2.0, targets=best.ids)
    assert torch.equal(again.target_ranks, torch.arange(50).expand(rows, 50))
    assert torch.equal(again.target_logits, best.logits)


def test_leading_shape_and_strides_are_kept(unembed: Run, integers: Make) -> None:
    rows, weight = integers(24, 300, 10)
    hidden = rows.reshape(2, 3, 4, 10)
    targets = torch.randint(0, 300, (2, 3, 4, 5), generator=torch.Generator().manual_seed(0))
    flat = unembed(rows, weight, 3, targets=targets.reshape(24, 5), token_sets=[[1], [2]], entropy=True)
    deep = unembed(hidden, weight, 3, targets=targets, token_sets=[[1], [2]], entropy=True)
    assert deep.ids.shape == (2, 3, 4, 3)
    assert deep.logsumexp.shape == deep.entropy.shape == (2, 3, 4)
    assert deep.target_ranks.shape == (2, 3, 4, 5)
    assert deep.set_logprobs.shape == (2, 3, 4, 2)
    assert torch.equal(deep.target_ranks.reshape(24, 5), flat.target_ranks)
    strided = torch.empty(10, 24).t().copy_(rows)
    wide = torch.full((300, 13), torch.nan)
    wide[:, :10] = weight
    assert torch.equal(unembed(strided, wide[:, :10], 3).logits, flat.logits)
    one = unembed(rows[0], weight, 3, targets=[5])
    assert one.logsumexp.shape == ()
    assert torch.equal(one.ids, flat.ids[0])


def test_no_rows_give_empty_results(unembed: Run) -> None:
    for backend in ("auto", "torch"):
        run = unembed if backend == "auto" else face
        ours = run(torch.empty(0, 4), torch.ones(9, 4), 2, targets=[1], token_sets=[[1]], entropy=True, backend=backend)
        assert ours.ids.shape == (0, 2)
        assert ours.logsumexp.shape == ours.entropy.shape == (0,)
        assert ours.target_ranks.shape == ours.set_logprobs.shape == (0, 1)


def test_the_backend_and_instruction_set_that_ran_are_named(isa: str, gaussians: Make) -> None:
    ours = face(*gaussians(2, 20, 4), 2)
    assert (ours.backend, ours.isa) == ("cpu", isa)


def test_numpy_in_gives_numpy_out(gaussians: Make) -> None:
    hidden, weight = gaussians(5, 200, 12)
    ours = face(hidden.numpy().astype(np.float16), weight.numpy(), 4, targets=[3], entropy=True)
    tensors = face(hidden.half(), weight, 4, targets=[3], entropy=True)
    assert all(isinstance(value, np.ndarray) for value in (ours.ids, ours.logits, ours.entropy, ours.logprobs))
    assert np.array_equal(ours.logits, tensors.logits.numpy())
    assert isinstance(face(hidden.numpy(), weight.numpy(), 4, backend="torch").ids, np.ndarray)


def test_packed_weight_gives_the_same(unembed: Run, gaussians: Make) -> None:
    hidden, weight = gaussians(5, 200, 12)
    packed = PackedUnembedding(weight.bfloat16())
    assert packed.shape == (200, 12)
    assert torch.equal(unembed(hidden, packed, 4).logits, unembed(hidden, weight.bfloat16(), 4).logits)


def test_logprobs_are_logits_less_logsumexp(unembed: Run, gaussians: Make) -> None:
    hidden, weight = gaussians(5, 200, 12)
    ours = unembed(hidden, weight, 200, targets=[7])
    torch.testing.assert_close(ours.logprobs.exp().sum(-1), torch.ones(5))
    torch.testing.assert_close(ours.target_logprobs, torch.log_softmax(hidden @ weight.T, -1)[:, 7:8])


def test_gradients_do_not_flow(unembed: Run, gaussians: Make) -> None:
    hidden, weight = gaussians(2, 20, 4)
    assert not unembed(hidden.requires_grad_(), weight.requires_grad_(), 2).logits.requires_grad

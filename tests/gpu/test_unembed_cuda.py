"""On a GPU alone: streams, waits, memory, devices, heads of real size. The cases of tests/kernels run there as well."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

from pivotkit.kernels import WORKSPACE, cuda_built, unembed
from pivotkit.kernels.cuda_backend import unembed as backend

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
    pytest.mark.skipif(not cuda_built(), reason="pivotkit was built without CUDA kernels"),
]
SHAPES = [(1, 262_144, 640), (8, 50_304, 2048), (18, 262_144, 640), (256, 49_152, 576), (1188, 151_936, 896)]


def case(rows: int, vocabulary: int, dim: int, dtype: torch.dtype = torch.float32) -> tuple[Any, Any]:
    generator = torch.Generator("cuda").manual_seed(0)
    hidden = torch.randn(rows, dim, device="cuda", generator=generator)
    weight = torch.randn(vocabulary, dim, device="cuda", generator=generator) * 3 / dim**0.5
    return hidden.to(dtype), weight.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", SHAPES)
def test_error_is_no_larger_than_float32_torch(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    hidden, weight = case(*shape, dtype)
    ours = unembed(hidden, weight, 10, targets=[0, 7], entropy=True)
    assert ours.backend == "cuda"
    for at in range(0, shape[0], 64):
        truth = hidden[at : at + 64].double() @ weight.double().T
        theirs = hidden[at : at + 64].float() @ weight.float().T
        mine, ids = ours.logits[at : at + 64], ours.ids[at : at + 64]
        error, allowed = (mine - truth.gather(1, ids)).abs(), (theirs.gather(1, ids) - truth.gather(1, ids)).abs()
        assert error.square().mean().sqrt() <= allowed.square().mean().sqrt() * 1.5 + 2e-6
        torch.testing.assert_close(mine.double(), truth.topk(10).values, rtol=1e-5, atol=2e-5)
        torch.testing.assert_close(ours.logsumexp[at : at + 64].double(), truth.logsumexp(1), rtol=1e-6, atol=1e-5)
        # A neighbour within rounding may change places with a target.
        ranks = (truth[:, None] > truth[:, [0, 7], None]).sum(-1)
        assert ((ours.target_ranks[at : at + 64] - ranks).abs() <= 2 + ranks // 1000).all()


def test_precision_settings_of_the_process_do_not_reach_the_products() -> None:
    hidden, weight = case(64, 20_000, 512)
    before = torch.get_float32_matmul_precision()
    full = unembed(hidden, weight, 10)
    try:
        torch.set_float32_matmul_precision("medium")
        assert torch.equal(unembed(hidden, weight, 10).logits, full.logits)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("rows", [4, 64])
def test_work_is_queued_on_the_current_stream(rows: int) -> None:
    hidden, weight = case(rows, 50_000, 256)
    expected = unembed(hidden, weight, 10)
    stream, late = torch.cuda.Stream(), torch.zeros_like(hidden)
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)  # on another stream the rows would still be zero
        late.copy_(hidden)
        ours = unembed(late, weight, 10)
    torch.cuda.synchronize()
    assert torch.equal(ours.ids, expected.ids)
    assert torch.equal(ours.logits, expected.logits)


@pytest.mark.parametrize("rows", [4, 700])
def test_the_host_waits_once(rows: int) -> None:
    hidden, weight = case(rows, 50_000, 256)
    options: dict[str, Any] = {"targets": [1, 2], "token_sets": [[1, 5], range(100)], "entropy": True}
    unembed(hidden, weight, 10, **options)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            unembed(hidden, weight, 10, **options)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len([one for one in caught if "synchroniz" in str(one.message)]) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("rows", "k"), [(1, 10), (1188, 10), (300, 1000), (20_000, 5)])
def test_memory_stays_within_the_workspace(rows: int, k: int, dtype: torch.dtype) -> None:
    hidden, weight = case(rows, 128_256, 512, dtype)
    unembed(hidden, weight, k, targets=[3])  # cuBLAS keeps a workspace of its own from now on
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    ours = unembed(hidden, weight, k, targets=[3], entropy=True)
    outputs = sum(value.nbytes for value in vars(ours).values() if torch.is_tensor(value))
    # Outputs of several blocks of rows exist twice while they are joined.
    assert torch.cuda.max_memory_allocated() - before <= WORKSPACE + 2 * outputs + (1 << 20)


def test_the_same_call_gives_the_same_bits() -> None:
    hidden, weight = case(100, 60_000, 320)
    first, second = (unembed(hidden, weight, 20, targets=[5], entropy=True) for _ in range(2))
    for name in ("ids", "logits", "logsumexp", "entropy", "target_ranks"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name


def test_tiles_and_few_rows_agree() -> None:
    hidden, weight = case(9, 70_000, 384)
    together = unembed(hidden, weight, 10, entropy=True)  # tiles
    apart = unembed(hidden[:8], weight, 10, entropy=True)  # the kernel for few rows
    torch.testing.assert_close(together.logits[:8], apart.logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(together.logsumexp[:8], apart.logsumexp, rtol=1e-6, atol=1e-5)


def test_a_weight_on_another_device_is_refused() -> None:
    hidden, weight = case(2, 100, 8)
    with pytest.raises(TypeError, match=r"weight must be on the device of hidden, cuda:0; got cpu"):
        unembed(hidden, weight.cpu())
    with pytest.raises(TypeError, match=r"hidden must be on cpu for backend 'cpu'; got cuda:0"):
        unembed(hidden, weight, backend="cpu")


def test_small_workspaces_change_no_answer() -> None:
    hidden, weight = case(500, 30_000, 64)
    wide = backend(hidden, weight, 10, None, 1.0, None, None, None, True, WORKSPACE)
    narrow = backend(hidden, weight, 10, None, 1.0, None, None, None, True, 4 << 20)
    torch.testing.assert_close(wide["logits"], narrow["logits"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(wide["logsumexp"], narrow["logsumexp"], rtol=1e-6, atol=1e-5)

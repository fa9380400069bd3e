"""On a GPU alone: streams, waits, memory, devices, heads of real size. The cases of tests/kernels run there as well."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from pivotkit.kernels import WORKSPACE, unembed
from pivotkit.kernels.cuda_backend import built
from pivotkit.kernels.cuda_backend import unembed as backend
from pivotkit.kernels.request import UnembedRequest

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
    pytest.mark.skipif(not built(), reason="pivotkit was built without CUDA kernels"),
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
        # Tensor cores cut their sums of 16-bit products: a step of the last place for every 8 of them at most.
        cut = 0.0 if dtype == torch.float32 or shape[0] <= 8 else shape[2] / 8 * 2**-24 * float(truth.abs().max())
        assert error.square().mean().sqrt() <= allowed.square().mean().sqrt() * 1.5 + 2e-6 + cut
        torch.testing.assert_close(mine.double(), truth.topk(10).values, rtol=1e-5, atol=2e-5 + cut)
        logsumexp = ours.logsumexp[at : at + 64].double()
        torch.testing.assert_close(logsumexp, truth.logsumexp(1), rtol=1e-6, atol=1e-5 + cut)
        # A neighbour within rounding may change places with a target.
        ranks = (truth[:, None] > truth[:, [0, 7], None]).sum(-1)
        assert ((ours.target_ranks[at : at + 64] - ranks).abs() <= 2 + ranks // 1000).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(8, 50_304, 2048), (19, 262_144, 640), (1188, 151_936, 896)])
def test_divergences_err_as_float32_torch_does(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    hidden, weight = case(*shape, dtype)
    hidden[1::2] = hidden[::2][: shape[0] // 2] + 0.05 * hidden[1::2]
    references = torch.arange(shape[0]) // 4 * 4
    ours = unembed(hidden, weight, 10, references=references)
    cut = 0.0 if dtype == torch.float32 else shape[2] / 8 * 2**-24 * 20.0
    for at in range(0, shape[0], 64):
        truth = (hidden[at : at + 64].double() @ weight.double().T).log_softmax(-1)
        theirs = truth[references[at : at + 64] - at]
        kl = (theirs.exp() * (theirs - truth)).sum(-1)
        torch.testing.assert_close(ours.kl[at : at + 64].double(), kl, rtol=1e-5, atol=5e-6 + cut)
    assert (ours.kl[::4] == 0).all()


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
    options["bias"], options["references"] = torch.zeros(50_000, device="cuda"), [*range(1, rows), 0]
    unembed(hidden, weight, 10, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            torch.cuda.set_sync_debug_mode("warn")  # and warns that it is a prototype
            caught.clear()
            unembed(hidden, weight, 10, **options)
            waits = [one for one in caught if "called a synchronizing" in str(one.message)]
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert len(waits) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("rows", "k"), [(1, 10), (1188, 10), (300, 1000), (20_000, 5), (9, 128_256)])
def test_memory_stays_within_the_workspace(rows: int, k: int, dtype: torch.dtype) -> None:
    hidden, weight = case(rows, 128_256, 512, dtype)
    unembed(hidden, weight, k, targets=[3])  # cuBLAS keeps a workspace of its own from now on
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    ours = unembed(hidden, weight, k, targets=[3], entropy=True, references=[*range(1, rows), 0])
    outputs = sum(value.nbytes for value in vars(ours).values() if torch.is_tensor(value))
    assert torch.cuda.max_memory_allocated() - before <= WORKSPACE + outputs + (1 << 20)


def test_the_same_call_gives_the_same_bits() -> None:
    hidden, weight = case(100, 60_000, 320)
    references = [*range(1, 100), 0]
    first, second = (unembed(hidden, weight, 20, targets=[5], entropy=True, references=references) for _ in range(2))
    for name in ("ids", "logits", "logsumexp", "entropy", "kl", "target_ranks"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name


def test_tiles_and_few_rows_agree() -> None:
    hidden, weight = case(9, 70_000, 384)
    together = unembed(hidden, weight, 10, entropy=True)  # tiles
    apart = unembed(hidden[:8], weight, 10, entropy=True)  # the kernel for few rows
    torch.testing.assert_close(together.logits[:8], apart.logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(together.logsumexp[:8], apart.logsumexp, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("k", [257, 5000])
@pytest.mark.parametrize("rows", [3, 40])
def test_more_than_the_kernels_own_top_k(rows: int, k: int) -> None:
    generator = torch.Generator("cuda").manual_seed(0)
    hidden = torch.randint(-3, 4, (rows, 64), device="cuda", generator=generator).float()
    weight = torch.randint(-3, 4, (50_000, 64), device="cuda", generator=generator).float()
    ours = unembed(hidden, weight, k, targets=[4, 49_999])
    logits = hidden @ weight.T  # small integers: exact
    order = torch.sort(-logits, dim=1, stable=True).indices
    assert torch.equal(ours.ids, order[:, :k])
    assert torch.equal(ours.target_ranks, order.argsort(1)[:, [4, 49_999]])


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("rows", [4, 64])
def test_a_device_that_is_not_the_current_one(rows: int) -> None:
    hidden, weight = case(rows, 30_000, 128)
    expected = unembed(hidden, weight, 10)
    ours = unembed(hidden.to("cuda:1"), weight.to("cuda:1"), 10)
    assert ours.ids.device.index == 1
    assert torch.cuda.current_device() == 0
    assert torch.equal(ours.ids.cpu(), expected.ids.cpu())


def test_a_weight_on_another_device_is_refused() -> None:
    hidden, weight = case(2, 100, 8)
    with pytest.raises(TypeError, match=r"weight must be on the device of hidden, cuda:0; got cpu"):
        unembed(hidden, weight.cpu())
    with pytest.raises(TypeError, match=r"hidden must be on cpu for backend 'cpu'; got cuda:0"):
        unembed(hidden, weight, backend="cpu")


def test_small_workspaces_change_no_answer() -> None:
    hidden, weight = case(500, 30_000, 64)
    references = np.arange(500) * 7 % 500
    wide, narrow = (
        backend(UnembedRequest(hidden, weight, 10, references=references, entropy=True, workspace=workspace))
        for workspace in (WORKSPACE, 4 << 20)
    )
    torch.testing.assert_close(wide["logits"], narrow["logits"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(wide["logsumexp"], narrow["logsumexp"], rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(wide["kl"], narrow["kl"], rtol=1e-5, atol=1e-5)

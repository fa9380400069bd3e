"""The CUDA kernels, run thread for thread on the CPU (tests/simt): what the cases they share with the CPU's do not ask."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pivotkit.errors import BackendUnavailable
from pivotkit.kernels import TokenSetTable, cuda_backend, reference, torch_backend, unembed
from pivotkit.kernels.request import UnembedRequest

ROOT = Path(__file__).resolve().parents[2]
Make = Callable[..., tuple[Any, Any]]
Run = Callable[..., Any]
ARRAYS = ("ids", "logits", "logsumexp", "target_logits", "target_ranks", "set_logprobs", "entropy")
SMALL = 1 << 20  # a workspace for a few tiles and blocks of rows


def run(
    simt: ModuleType,
    hidden: Any,
    weight: Any,
    k: int = 9,
    workspace: int = 64 << 20,
    targets: Any = None,
    sets: Any = None,
) -> dict[str, Any]:
    request = UnembedRequest(hidden, weight, k, None, 0.7, 6.0, targets, sets, entropy=True, workspace=workspace)
    return cuda_backend.unembed(request, simt)


def options(rows: int, vocabulary: int) -> dict[str, Any]:
    table = TokenSetTable.per_row([[range(0, vocabulary, 3), [m % vocabulary], []] for m in range(rows)])
    return {"targets": np.arange(rows * 2).reshape(rows, 2) * 31 % vocabulary, "sets": table}


def test_few_rows_have_the_bits_they_have_alone(simt: ModuleType, gaussians: Make) -> None:
    hidden, weight = gaussians(8, 1300, 70)
    together = run(simt, hidden, weight)
    for first, last in [(0, 1), (3, 5), (5, 8), (1, 8)]:
        alone = run(simt, hidden[first:last], weight)
        for name in ("ids", "logits", "logsumexp", "entropy"):
            assert torch.equal(together[name][first:last], alone[name]), name


@pytest.mark.parametrize(("rows", "vocabulary"), [(3, 1500), (11, 5000)])
@pytest.mark.parametrize("order", ["backward", "1", "2"])
def test_the_order_in_which_threads_run_changes_no_bit(
    simt: ModuleType, gaussians: Make, monkeypatch: pytest.MonkeyPatch, order: str, rows: int, vocabulary: int
) -> None:
    hidden, weight = gaussians(rows, vocabulary, 40)
    forward = run(simt, hidden, weight, workspace=SMALL, **options(rows, vocabulary))
    monkeypatch.setenv("SIMT_ORDER", order)
    other = run(simt, hidden, weight, workspace=SMALL, **options(rows, vocabulary))
    for name in ARRAYS:
        assert torch.equal(forward[name], other[name]), name


@pytest.mark.parametrize("k", [1, 256, 257, 4097])
@pytest.mark.parametrize("rows", [2, 60])
def test_any_k_over_several_tiles(simt: ModuleType, integers: Make, rows: int, k: int) -> None:
    # 4,097 ids: two tiles of 2,048, of which the second begins early, and a third of one id.
    hidden, weight = integers(rows, 4097, 8)
    targets = np.arange(rows * 3).reshape(rows, 3) * 1361 % 4097
    ours = cuda_backend.unembed(UnembedRequest(hidden, weight, k, targets=targets, workspace=3 << 20), simt)
    truth = reference.unembed(hidden, weight, k, targets=targets)
    assert torch.equal(ours["ids"], truth.ids)
    assert torch.equal(ours["logits"].double(), truth.logits)
    assert torch.equal(ours["target_ranks"], truth.target_ranks)


@pytest.mark.parametrize("rows", [4, 20])
def test_duplicates_of_a_weight_row_tie_wherever_they_stand(simt: ModuleType, gaussians: Make, rows: int) -> None:
    hidden, weight = gaussians(rows, 6000, 33)
    weight = weight[torch.arange(6000) % 150].contiguous()
    ids = np.broadcast_to(np.array([7, 157, 5857]), (rows, 3)).copy()
    ours = run(simt, hidden, weight, 41, SMALL, targets=ids)
    best = ours["ids"][:, :40] % 150
    assert torch.equal(best, best[:, :1].expand(-1, 40))  # all copies of the best, before any of the next
    assert torch.equal(ours["ids"][:, :40], ours["ids"][:, :1] + torch.arange(40) * 150)
    assert torch.equal(ours["target_ranks"] - ours["target_ranks"][:, :1], torch.tensor([[0, 1, 39]]).expand(rows, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dim", [1, 7, 64, 130, 256])
def test_rows_that_begin_anywhere_in_memory(simt: ModuleType, integers: Make, dtype: torch.dtype, dim: int) -> None:
    hidden, weight = integers(3, 700, dim + 3)
    hidden, weight = hidden[:, 3:].to(dtype), weight.to(dtype)[:, 3:]
    ours = cuda_backend.unembed(UnembedRequest(hidden, weight, 9, workspace=SMALL), simt)
    truth = reference.unembed(hidden, weight, 9)
    assert torch.equal(ours["ids"], truth.ids)
    assert torch.equal(ours["logits"].double(), truth.logits)


def test_products_of_few_rows_err_no_more_than_torch(simt: ModuleType, gaussians: Make) -> None:
    hidden, weight = gaussians(8, 3001, 640)
    ours = cuda_backend.unembed(UnembedRequest(hidden, weight, 256), simt)
    truth = (hidden.double() @ weight.double().T).gather(1, ours["ids"])
    theirs = (hidden @ weight.T).gather(1, ours["ids"])
    assert (ours["logits"] - truth).square().mean() <= (theirs - truth).square().mean() * 1.05


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 99),
    rows=st.integers(0, 30),
    vocabulary=st.integers(1, 5000),
    dim=st.sampled_from([1, 5, 16, 33]),
    k=st.integers(1, 300),
    small=st.booleans(),
)
def test_any_matrix(simt: ModuleType, seed: int, rows: int, vocabulary: int, dim: int, k: int, small: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randint(-2, 3, (rows, dim), generator=generator).float()
    weight = torch.randint(-2, 3, (vocabulary, dim), generator=generator).float()
    k, extra = min(k, vocabulary), options(rows, vocabulary)
    request = UnembedRequest(
        hidden, weight, k, targets=extra["targets"], token_sets=extra["sets"], entropy=True,
        workspace=SMALL if small else 64 << 20,
    )  # fmt: skip
    ours = cuda_backend.unembed(request, simt)
    truth = reference.unembed(hidden, weight, k, targets=extra["targets"], token_sets=extra["sets"], entropy=True)
    for name in ("ids", "logits", "target_logits", "target_ranks"):
        assert torch.equal(ours[name].double(), getattr(truth, name).double()), name
    for name in ("logsumexp", "entropy", "set_logprobs"):
        torch.testing.assert_close(ours[name].double(), getattr(truth, name), rtol=3e-6, atol=2e-5)


@pytest.mark.parametrize("rows", [3, 12])
def test_what_is_not_finite_is_named(simt: ModuleType, integers: Make, rows: int) -> None:
    hidden, weight = integers(rows, 3000, 6)
    bad_hidden, bad_weight = hidden.clone(), weight.clone()
    bad_hidden[2, 4], bad_weight[2999, 5] = torch.nan, torch.inf
    with pytest.raises(ValueError, match=r"hidden must be finite; got NaN or infinity at row 2, column 4"):
        run(simt, bad_hidden, weight)
    with pytest.raises(ValueError, match=r"weight must be finite; got NaN or infinity at row 2999, column 5"):
        run(simt, hidden, bad_weight)
    with pytest.raises(ValueError, match=r"fit float32; got an overflow"):
        run(simt, hidden * 1e30, weight * 1e30)
    with pytest.raises(IndexError, match=r"targets must be ids from 0 to 2999; got 3000"):
        run(simt, hidden, weight, targets=np.full((rows, 1), 3000))


def test_a_workspace_too_small_for_one_tile_is_refused(simt: ModuleType, integers: Make) -> None:
    with pytest.raises(ValueError, match=r"workspace must hold 64 ids of 8; got 500 bytes"):
        run(simt, *integers(20, 3000, 8), workspace=500)


def test_a_device_that_cannot_run_the_kernels_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules[unembed.__module__]
    monkeypatch.setattr(module, "device_of", lambda _: "cuda:0")
    monkeypatch.setattr(cuda_backend, "why_not", cuda_backend.why_not.__wrapped__)
    monkeypatch.setattr(cuda_backend, "built", lambda: False)
    with pytest.raises(
        BackendUnavailable, match=r"^unembed: backend must be 'torch' on cuda:0; .* built without its CUDA"
    ):
        unembed(torch.ones(1, 2), torch.ones(3, 2), 1, backend="cuda")
    monkeypatch.setattr(cuda_backend, "built", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    with pytest.raises(BackendUnavailable, match=r"got 'cuda', but it has compute capability 7.5, below 8.0"):
        unembed(torch.ones(1, 2), torch.ones(3, 2), 1, backend="cuda")
    assert unembed(torch.ones(1, 2), torch.ones(3, 2), 1).backend == "torch"  # chosen, and said


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("backend", ["torch", "cuda"])
@pytest.mark.parametrize("rows", [4, 12])
def test_the_default_dtype_of_the_process_does_not_matter(
    unembed_on_simt: Run, integers: Make, rows: int, backend: str, dtype: torch.dtype
) -> None:
    hidden, weight = integers(rows, 300, 64)
    extra = options(rows, 300)
    wanted: dict[str, Any] = {"targets": extra["targets"], "token_sets": extra["sets"], "entropy": True}
    truth = reference.unembed(hidden, weight, 9, **wanted)
    torch.set_default_dtype(dtype)
    try:
        ours = unembed_on_simt(hidden, weight, 9, backend=backend, **wanted)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(ours.ids, truth.ids)
    assert torch.equal(ours.logits.double(), truth.logits)
    torch.testing.assert_close(ours.entropy.double(), truth.entropy, rtol=3e-6, atol=2e-5)
    torch.testing.assert_close(ours.set_logprobs.double(), truth.set_logprobs, rtol=3e-6, atol=2e-5)


@pytest.mark.parametrize(
    ("rows", "vocabulary", "dim", "types", "k", "targets"),
    [
        (2000, 262_144, 5376, "float32 bfloat16", 10, 1),
        (64, 128_256, 8192, "float32 float32", 10, 3),
        (64, 128_256, 16_384, "float32 bfloat16", 10, 1),
        (1188, 262_144, 640, "float32 float32", 10, 4),
        (20_000, 50_304, 2048, "bfloat16 float32", 256, 1),
        (9, 128_256, 2048, "float32 float32", 128_256, 0),
    ],
)
def test_every_head_in_use_fits_the_workspace(
    simt: ModuleType, rows: int, vocabulary: int, dim: int, types: str, k: int, targets: int
) -> None:
    hidden, weight = (
        torch.empty(1, 1, dtype=getattr(torch, name)).expand(*shape)
        for name, shape in zip(types.split(), [(rows, dim), (vocabulary, dim)], strict=True)
    )
    ids = np.zeros((rows, targets), dtype=np.int64) if targets else None
    plan = cuda_backend._Call(UnembedRequest(hidden, weight, k, targets=ids, workspace=64 << 20), simt).plan
    assert plan.tile >= 512
    assert plan.block >= min(rows, 256) or k > 1000
    wide = 4 * dim * plan.block
    tile = plan.tile * dim * (4 * (types.split()[1] != "float32") + weight.element_size() * (targets > 0))
    assert wide + tile + 4 * plan.block * plan.tile <= 64 << 20


def test_precision_settings_are_put_back_by_the_last_thread() -> None:
    matmul, guard = torch.backends.cuda.matmul, torch_backend.full_precision
    try:
        matmul.allow_fp16_accumulation = True
        torch.set_float32_matmul_precision("high")
        with guard:
            with guard:
                assert matmul.fp32_precision == "ieee"
            assert matmul.fp32_precision == "ieee"  # another thread is still inside
            assert not matmul.allow_fp16_accumulation
        assert matmul.allow_tf32
        assert matmul.allow_fp16_accumulation
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        matmul.allow_fp16_accumulation = False
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("rows", [3, 12])
@pytest.mark.parametrize("backend", ["cuda", "torch"])
def test_a_bias_stays_where_it_is_and_must_be_finite(
    unembed_on_simt: Run, integers: Make, rows: int, backend: str
) -> None:
    hidden, weight = integers(rows, 300, 6)
    bias = torch.linspace(-2, 2, 300, dtype=torch.float16)
    ours = unembed_on_simt(hidden, weight, 300, bias=bias, backend=backend)
    assert torch.equal(ours.ids, reference.unembed(hidden, weight, 300, bias=bias).ids)
    bias[7] = torch.nan
    with pytest.raises(ValueError, match=r"^unembed: bias must be finite"):
        unembed_on_simt(hidden, weight, 3, bias=bias, backend=backend)


def test_cpu_tensors_are_not_sent_to_a_gpu() -> None:
    with pytest.raises(TypeError, match=r"^unembed: hidden must be on cuda for backend 'cuda'; got cpu"):
        unembed(torch.ones(1, 2), torch.ones(3, 2), 1, backend="cuda")


# ---- the stand-in itself ---------------------------------------------------------------------------------------------

PLANTED = """
#include <cuda_runtime.h>
#include <cstdio>
__global__ void kernel(int* out, int wrong) {
  __shared__ int values[64];
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (wrong == 2 && threadIdx.x == 5) return;
  if (wrong != 1) __syncthreads();
  const int neighbour = values[(threadIdx.x + 1) % 64];
  __syncthreads();
  const int sum = neighbour + __shfl_xor_sync(0xffffffffu, neighbour, 1);
  values[threadIdx.x] = 0;
  out[threadIdx.x] = sum;
}
int main(int, char** arguments) {
  int out[64];
  cudaLaunchConfig_t config{};
  config.blockDim = dim3(64);
  for (int block = 0; block < 2; ++block)
    if (cudaLaunchKernelEx(&config, kernel, out, arguments[1][0] - '0') != cudaSuccess) return 1;
  for (const int value : out) std::printf("%d ", value);
}
"""


def test_planted_a_missing_barrier_shows_and_a_deadlock_is_named(tmp_path: Path, simt: ModuleType) -> None:
    source, program = tmp_path / "planted.cpp", tmp_path / "planted"
    source.write_text(PLANTED)
    subprocess.run(["g++", "-std=c++17", "-I", str(ROOT / "tests/simt"), str(source), "-o", str(program)], check=True)

    def start(wrong: int, order: str) -> subprocess.CompletedProcess[str]:
        command = [str(program), str(wrong)]
        return subprocess.run(command, capture_output=True, text=True, env={"SIMT_ORDER": order}, check=False)

    sums = " ".join(str((i + 1) % 64 + ((i ^ 1) + 1) % 64) for i in range(64))
    assert [start(0, order).stdout.strip() for order in ("forward", "backward", "3")] == [sums] * 3
    assert len({start(1, order).stdout for order in ("forward", "backward", "3")}) > 1
    stuck = start(2, "forward")
    assert stuck.returncode != 0
    assert "waits for ever: from thread 0 at a barrier; from thread 5 done; from thread 6 at a barrier" in stuck.stderr

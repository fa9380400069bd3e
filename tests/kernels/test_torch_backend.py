"""The chunked PyTorch backend keeps the contract of the native one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from pivotkit.kernels import TokenSetTable, reference, torch_backend, unembed
from pivotkit.kernels.request import UnembedRequest

Make = Callable[..., tuple[Any, Any]]


@pytest.mark.parametrize("shape", [(1, 7, 3), (15, 65, 17), (70, 20000, 24)])
def test_integer_logits_give_the_reference_exactly(integers: Make, shape: tuple[int, int, int]) -> None:
    rows, vocabulary, _ = shape
    hidden, weight = integers(*shape)
    targets = torch.randint(0, vocabulary, (rows, 2), generator=torch.Generator().manual_seed(1))
    sets = TokenSetTable.per_row([[[m % vocabulary, 3], [], range(0, vocabulary, 2)] for m in range(rows)])
    options: dict[str, Any] = {"targets": targets, "token_sets": sets, "entropy": True}
    ours = unembed(hidden, weight, 7, backend="torch", **options)
    truth = reference.unembed(hidden, weight, 7, **options)
    assert (ours.backend, ours.isa) == ("torch", None)
    assert torch.equal(ours.ids, truth.ids)
    assert torch.equal(ours.logits.double(), truth.logits)
    assert torch.equal(ours.target_ranks, truth.target_ranks)
    for field in ("logsumexp", "entropy", "set_logprobs"):
        torch.testing.assert_close(getattr(ours, field).double(), getattr(truth, field), rtol=5e-6, atol=2e-5)


def test_bias_scale_softcap_and_sixteen_bits_agree_with_native(gaussians: Make) -> None:
    hidden, weight = (one.bfloat16() for one in gaussians(20, 9000, 48))
    options: dict[str, Any] = {"bias": torch.linspace(-1, 1, 9000), "logit_scale": 2.0, "softcap": 60.0}
    options |= {"token_sets": [range(50)], "entropy": True}
    ours, native = unembed(hidden, weight, 5, backend="torch", **options), unembed(hidden, weight, 5, **options)
    assert torch.equal(ours.ids, native.ids)
    for field in ("logits", "logsumexp", "entropy", "set_logprobs"):
        torch.testing.assert_close(getattr(ours, field), getattr(native, field), rtol=2e-6, atol=2e-5)


def test_rows_pass_in_blocks_when_the_workspace_is_small(integers: Make) -> None:
    hidden, weight = integers(50, 3000, 8)
    targets = torch.arange(50).reshape(50, 1).numpy()
    arrays = torch_backend.unembed(UnembedRequest(hidden, weight, 4, targets=targets, entropy=True, workspace=1 << 18))
    truth = reference.unembed(hidden, weight, 4, targets=targets, entropy=True)
    assert torch.equal(arrays["ids"], truth.ids)
    assert torch.equal(arrays["target_ranks"], truth.target_ranks)


def test_first_nonfinite_is_the_first_in_row_major_order() -> None:
    matrix = torch.zeros(5, 4)
    assert torch_backend.first_nonfinite(matrix) is None
    matrix[3, 1] = matrix[3, 2] = torch.inf
    matrix[4, 0] = torch.nan
    assert torch_backend.first_nonfinite(matrix) == (3, 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_cuda_tensors_run_where_they_are(integers: Make) -> None:
    hidden, weight = integers(9, 5000, 32)
    ours = unembed(hidden.cuda(), weight.cuda(), 6, targets=[1, 2], token_sets=[[4]], entropy=True)
    truth = reference.unembed(hidden, weight, 6, targets=[1, 2])
    assert ours.backend == "torch"
    assert ours.ids.device.type == "cuda"
    assert torch.equal(ours.ids.cpu(), truth.ids)
    assert torch.equal(ours.target_ranks.cpu(), truth.target_ranks)

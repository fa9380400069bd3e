"""Divergences of rows from their references: the oracle, rows that must have zero, and what must not matter."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pivotkit import _C
from pivotkit.kernels import PackedUnembedding, TokenSetTable, cuda_backend, isas, reference, torch_backend
from pivotkit.kernels import unembed as face
from pivotkit.kernels.request import UnembedRequest

Make = Callable[..., tuple[Any, Any]]
Run = Callable[..., Any]
# rows, vocabulary, dim: a trace of one position, ragged panels and tiles, several spans and panels.
SHAPES = [(1, 7, 3), (3, 63, 16), (15, 65, 17), (19, 3001, 64), (45, 257, 300), (70, 1500, 24), (2, 12000, 8)]


def layouts(rows: int) -> dict[str, torch.Tensor]:
    """Ways in which rows refer to one another."""
    row, random = torch.arange(rows), np.random.default_rng(rows)
    return {
        "all rows one": torch.full((rows,), rows - 1),
        "the last of each ragged group": torch.minimum(row // 7 * 7 + 6, torch.tensor(rows - 1)),
        "a chain": (row + 1).clamp(max=rows - 1),
        "a ring": (row + 1) % rows,
        "any": torch.from_numpy(random.integers(0, rows, rows)),
        "themselves": row,
    }


def dense(z: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    logprobs = z.double().log_softmax(-1)
    return torch.nn.functional.kl_div(logprobs, logprobs[references], log_target=True, reduction="none").sum(-1)


def neighbours(make: Make, shape: tuple[int, int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Every other row is close to the one before: some divergences are small, some large."""
    hidden, weight = make(*shape)
    hidden[1::2] = hidden[: len(hidden) // 2 * 2 : 2] + 0.02 * hidden[1::2]
    return hidden, weight


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_references(unembed: Run, gaussians: Make, shape: tuple[int, int, int]) -> None:
    hidden, weight = neighbours(gaussians, shape)
    for name, references in layouts(shape[0]).items():
        ours = unembed(hidden, weight, 1, references=references)
        truth = reference.unembed(hidden, weight, 1, references=references)
        assert ours.kl.dtype == torch.float32
        torch.testing.assert_close(ours.kl.double(), truth.kl, rtol=1e-5, atol=2e-6, msg=lambda m, n=name: f"{n}: {m}")
        assert (ours.kl >= 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_bias_scale_softcap_and_types(unembed: Run, gaussians: Make, dtype: torch.dtype) -> None:
    hidden, weight = (one.to(dtype) for one in neighbours(gaussians, (33, 900, 48)))
    options: dict[str, Any] = {"bias": torch.linspace(-3, 3, 900), "logit_scale": 1.5, "softcap": 12.0}
    options["references"] = layouts(33)["any"]
    ours, truth = (run(hidden, weight, 5, **options) for run in (unembed, reference.unembed))
    torch.testing.assert_close(ours.kl.double(), truth.kl, rtol=1e-5, atol=3e-6)


@pytest.mark.parametrize("scale", [1.0, 20.0, 80.0])
def test_the_error_is_that_of_the_logits(unembed: Run, gaussians: Make, scale: float) -> None:
    # Logits up to several hundred: float64 on float32 logits is the most exact answer possible.
    hidden, weight = neighbours(gaussians, (40, 3000, 64))
    references = layouts(40)["any"]
    truth = dense(hidden.double() @ weight.double().T * scale, references)
    theirs = dense(hidden @ weight.T * scale, references)
    ours = unembed(hidden, weight, 1, logit_scale=scale, references=references).kl
    allowed = (theirs - truth).abs().max()
    assert (ours - truth).abs().max() <= 2 * allowed + 4e-7 * (1 + scale / 20)


def test_exact_logits_of_several_hundred_give_small_divergences_exactly_enough(unembed: Run) -> None:
    # Integers, so no logit is rounded. Rows differ by hundreds, but little where the reference has its mass.
    generator = torch.Generator().manual_seed(0)
    weight = torch.randint(-40, 41, (5000, 16), generator=generator).float()
    hidden = torch.randint(-3, 4, (12, 16), generator=generator).float()
    weight[:, 0], hidden[1::2] = 0, hidden[::2]
    weight[4000:4003] = weight[0] = 0
    weight[4000:4003, 0], weight[0, 0] = 900.0, -700.0  # far above and far below all others
    hidden[::2, 0], hidden[1::2, 0] = 1.0, 1.25
    hidden[1::2, 3] += 1.0
    references = torch.arange(12) // 2 * 2
    ours = unembed(hidden, weight, 3, references=references)
    truth = reference.unembed(hidden, weight, 3, references=references)
    assert truth.kl.max() < 1e-6
    torch.testing.assert_close(ours.kl.double(), truth.kl, rtol=0, atol=2e-5 if ours.backend == "cuda" else 1e-6)


def test_rows_with_the_logits_of_their_reference_have_exactly_zero(isa: str, gaussians: Make) -> None:
    hidden, weight = gaussians(6, 3000, 40)
    together = torch.cat([hidden, hidden.flip(0), hidden])
    references = torch.cat([torch.arange(6), torch.arange(5, -1, -1), torch.arange(6) + 12])
    assert (face(together, weight, 1, references=references).kl == 0).all()
    shifted = torch.cat([together, torch.ones(18, 1)], 1)  # by a constant: the same distribution
    shifted[6:12, -1] = 3.0
    ours = face(shifted, torch.cat([weight, torch.ones(3000, 1)], 1), 1, references=references).kl
    assert (ours[:6] == 0).all()
    assert (ours < 1e-6).all()


def test_a_row_that_is_its_own_reference_has_exactly_zero(unembed: Run, gaussians: Make) -> None:
    hidden, weight = gaussians(23, 500, 33)
    for references in layouts(23).values():
        kl = unembed(hidden, weight, 1, references=references).kl
        assert (kl[references == torch.arange(23)] == 0).all()
        assert (kl[references != torch.arange(23)] > 0).all()


def test_an_id_without_probability_counts_by_its_log(unembed: Run) -> None:
    # Logits (0, 0) and (0, -300): one half of the first row's mass lies where the second has e^-300.
    kl = unembed(torch.eye(2), torch.tensor([[0.0, 0.0], [0.0, -300.0]]), 1, references=[1, 0]).kl
    assert kl.tolist() == pytest.approx([np.log(2), 150 - np.log(2)], rel=1e-6)


def test_the_lowest_logits_there_are_and_differences_that_overflow(unembed: Run) -> None:
    lowest = torch.finfo(torch.float32).min
    hidden = torch.tensor([[1.0], [1.0], [-1.0]])
    assert unembed(hidden[:2], torch.full((3, 1), lowest), 1, references=[1, 0]).kl.tolist() == [0.0, 0.0]
    weight = torch.tensor([[lowest], [0.0], [-lowest]])
    for backend in ("auto", "torch"):
        run = unembed if backend == "auto" else face
        with pytest.raises(ValueError, match=r"^unembed: references must name rows whose logits differ by what fits"):
            run(hidden, weight, 1, references=[0, 2, 2], backend=backend)


def test_the_rest_of_the_answer_does_not_change(unembed: Run, gaussians: Make) -> None:
    hidden, weight = gaussians(45, 700, 20)
    sets = [[[m, 3], [5]] for m in range(45)]
    options: dict[str, Any] = {
        "targets": torch.arange(90).reshape(45, 2), "token_sets": TokenSetTable.per_row(sets), "entropy": True
    }  # fmt: skip
    plain = unembed(hidden, weight, 6, **options)
    assert plain.kl is None
    ours = unembed(hidden, weight, 6, references=layouts(45)["any"], **options)
    for field in ("ids", "logits", "logsumexp", "target_logits", "target_ranks", "set_logprobs", "entropy"):
        assert torch.equal(getattr(plain, field), getattr(ours, field)), field


def test_references_have_the_leading_shape_or_are_flat(unembed: Run, gaussians: Make) -> None:
    hidden, weight = gaussians(24, 300, 10)
    references = layouts(24)["any"]
    flat = unembed(hidden, weight, 1, references=references).kl
    for form in (references.reshape(2, 3, 4), references, references.tolist(), references.to(torch.int32)):
        deep = unembed(hidden.reshape(2, 3, 4, 10), weight, 1, references=form).kl
        assert deep.shape == (2, 3, 4)
        assert torch.equal(deep.reshape(24), flat)
    assert unembed(hidden[0], weight, 1, references=0).kl.shape == ()
    assert unembed(hidden[:0], weight, 1, references=[]).kl.shape == (0,)
    numpy = face(hidden.numpy(), weight.numpy(), 1, references=references.numpy()).kl
    assert isinstance(numpy, np.ndarray)


@pytest.mark.parametrize("shape", [(1, 7, 3), (15, 65, 17), (30, 2500, 24)])
@pytest.mark.parametrize("workspace", [64 << 20, 1 << 20])
def test_the_torch_backend_agrees(gaussians: Make, shape: tuple[int, int, int], workspace: int) -> None:
    hidden, weight = neighbours(gaussians, shape)
    for references in layouts(shape[0]).values():
        arrays = torch_backend.unembed(
            UnembedRequest(hidden, weight, 1, references=references.numpy(), workspace=workspace)
        )
        truth = reference.unembed(hidden, weight, 1, references=references)
        torch.testing.assert_close(arrays["kl"].double(), truth.kl, rtol=1e-5, atol=5e-6)
        assert (arrays["kl"][references == torch.arange(shape[0])] == 0).all()


def native(hidden: Any, weight: Any, references: Any, isa: str, threads: int, tile: int, workspace: int) -> Any:
    kind = "bfloat16" if hidden.dtype == np.uint16 else "float32"
    targets = np.arange(hidden.shape[0])[:, None] * 31 % weight.shape[0]
    result = _C.unembed(
        hidden, kind, weight, kind, min(5, weight.shape[0]), None, 0.7, 4.0, targets, None, None, 0, False, True,
        threads, isa, workspace, tile, references=references,
    )  # fmt: skip
    return {name: value for name, value in result.items() if name != "isa"}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 99),
    rows=st.integers(1, 60),
    vocabulary=st.integers(1, 1400),
    dim=st.sampled_from([1, 5, 16, 300]),
    layout=st.sampled_from(sorted(layouts(1))),
    threads=st.integers(1, 5),
    tile=st.sampled_from([0, 64, 128, 256]),
    spare=st.integers(0, 40),
    isa=st.sampled_from(isas()),
    half=st.booleans(),
)
def test_threads_tiles_and_split_groups_change_no_bit(
    seed: int,
    rows: int,
    vocabulary: int,
    dim: int,
    layout: str,
    threads: int,
    tile: int,
    spare: int,
    isa: str,
    half: bool,
) -> None:
    random = np.random.default_rng(seed)
    hidden = random.standard_normal((rows, dim)).astype(np.float32)
    weight = random.standard_normal((vocabulary, dim)).astype(np.float32)
    if half:
        hidden, weight = ((one.view(np.uint32) >> 16).astype(np.uint16) for one in (hidden, weight))
    references = layouts(rows)[layout].numpy()
    plain = native(hidden, weight, references, isa, 1, 0, 64 << 20)
    # Down to the smallest workspace, of one row and its reference: blocks then copy references of other blocks.
    try:
        native(hidden, weight, references, isa, 1, tile, 1)
        raise AssertionError("one byte holds nothing")
    except ValueError as error:
        least = int(str(error).split(" bytes")[0].rsplit(" ", 1)[1])
    other = native(hidden, weight, references, isa, threads, tile, least + spare * 1000)
    for field, value in plain.items():
        assert np.array_equal(value, other[field]), field


def test_a_group_alone_has_the_bits_it_has_in_company(isa: str, gaussians: Make) -> None:
    hidden, weight = gaussians(42, 700, 65)
    references = layouts(42)["the last of each ragged group"]
    together = face(hidden, weight, 1, references=references).kl
    assert torch.equal(face(hidden[7:14], weight, 1, references=[6] * 7).kl, together[7:14])
    assert torch.equal(face(hidden[[8, 13]], weight, 1, references=[1, 1]).kl, together[[8, 13]])


def test_rows_are_ordered_in_windows(isa: str) -> None:
    # More rows than are sorted together, and all references in the last window.
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(70_000, 3, generator=generator), torch.randn(9, 3, generator=generator)
    references = 70_000 - 50 + torch.arange(70_000) % 50
    ours = face(hidden, weight, 1, references=references)
    torch.testing.assert_close(ours.kl.double(), dense(hidden @ weight.T, references), rtol=1e-5, atol=2e-6)
    assert torch.equal(ours.logsumexp, face(hidden, weight, 1).logsumexp)


@pytest.mark.parametrize(("k", "workspace"), [(5, 30_000), (300, 600_000)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cuda_takes_references_into_every_block_that_lacks_them(
    simt: ModuleType, gaussians: Make, dtype: torch.dtype, k: int, workspace: int
) -> None:
    hidden, weight = (one.to(dtype) for one in neighbours(gaussians, (40, 400, 24)))
    targets = np.arange(80).reshape(40, 2) * 5
    for references in layouts(40).values():
        request = UnembedRequest(
            hidden, weight, k, softcap=9.0, targets=targets, references=references.numpy(), entropy=True,
            workspace=workspace,
        )  # fmt: skip
        assert 1 < cuda_backend._Call(request, simt).plan.block < 40
        arrays = cuda_backend.unembed(request, simt)
        truth = reference.unembed(hidden, weight, k, softcap=9.0, targets=targets, references=references)
        torch.testing.assert_close(arrays["kl"].double(), truth.kl, rtol=1e-5, atol=3e-6)
        torch.testing.assert_close(arrays["logits"].double(), truth.logits, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(arrays["target_logits"].double(), truth.target_logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("order", ["backward", "1", "2"])
def test_the_order_in_which_cuda_threads_run_changes_no_bit(
    simt: ModuleType, gaussians: Make, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    hidden, weight = gaussians(11, 5000, 16)
    request = UnembedRequest(hidden, weight, 3, references=layouts(11)["a ring"].numpy(), workspace=1 << 19)
    forward = cuda_backend.unembed(request, simt)
    monkeypatch.setenv("SIMT_ORDER", order)
    assert torch.equal(cuda_backend.unembed(request, simt)["kl"], forward["kl"])


def test_certified_screening_cannot_bound_it(gaussians: Make) -> None:
    hidden, weight = gaussians(3, 200, 16)
    packed = PackedUnembedding(weight, precision="certified")
    with pytest.raises(ValueError, match=r"^unembed: references must be None for precision 'certified', .*; got list"):
        face(hidden, packed, 1, precision="certified", references=[0, 0, 0])

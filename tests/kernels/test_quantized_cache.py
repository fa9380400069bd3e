"""The int8 copy in a cache file gives the same answers; a stale or damaged file gives none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pivotkit.kernels import PackedUnembedding, unembed


@pytest.fixture
def weight() -> torch.Tensor:
    return torch.randn(300, 70, generator=torch.Generator().manual_seed(0))


def packed(weight: torch.Tensor, cache: Path) -> PackedUnembedding:
    return PackedUnembedding(weight, precision="certified", cache=cache)


def test_written_once_then_mapped(weight: torch.Tensor, tmp_path: Path) -> None:
    cache = tmp_path / "head.npy"
    first = packed(weight, cache)
    made = cache.stat().st_mtime_ns
    second = packed(weight, cache)
    assert cache.stat().st_mtime_ns == made
    assert isinstance(second.quantized[0].base, np.memmap)  # type: ignore[index]
    hidden = torch.randn(4, 70, generator=torch.Generator().manual_seed(1))
    plain = PackedUnembedding(weight, precision="certified")
    answers = [unembed(hidden, one, 3, precision="certified") for one in (plain, first, second)]
    for answer in answers[1:]:
        assert torch.equal(answer.ids, answers[0].ids)
        assert torch.equal(answer.logsumexp, answers[0].logsumexp)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["head.npy"]


def test_another_weight_is_refused(weight: torch.Tensor, tmp_path: Path) -> None:
    packed(weight, tmp_path / "head.npy")
    changed = weight.clone()
    changed[299, 69] += 1e-3
    for other in (changed, weight.bfloat16(), weight[:250], weight[:, :60].contiguous()):
        with pytest.raises(ValueError, match=r"^PackedUnembedding: cache must hold this weight's quantization"):
            packed(other, tmp_path / "head.npy")


@pytest.mark.parametrize("kept", [0, 5, 1000])
def test_a_truncated_file_is_refused(weight: torch.Tensor, tmp_path: Path, kept: int) -> None:
    cache = tmp_path / "head.npy"
    packed(weight, cache)
    cache.write_bytes(cache.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"cache must hold this weight's quantization .* got .*head.npy"):
        packed(weight, cache)


def test_a_pickle_is_never_loaded(weight: torch.Tensor, tmp_path: Path) -> None:
    np.save(tmp_path / "head.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"cache must hold this weight's quantization"):
        packed(weight, tmp_path / "head.npy")

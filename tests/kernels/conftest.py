"""Cases that the kernels' tests share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from pivotkit.kernels import isas


@pytest.fixture(params=isas())
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each instruction set of this machine in turn, forced as a user would."""
    monkeypatch.setenv("PIVOTKIT_ISA", request.param)
    return str(request.param)


@pytest.fixture
def integers() -> Callable[..., tuple[Any, Any]]:
    """Small integers as floats: every product and sum is exact, so backends must agree to the bit, ties included."""

    def make(rows: int, vocabulary: int, dim: int, seed: int = 0) -> tuple[Any, Any]:
        generator = torch.Generator().manual_seed(seed)
        hidden = torch.randint(-3, 4, (rows, dim), generator=generator).float()
        weight = torch.randint(-3, 4, (vocabulary, dim), generator=generator).float()
        return hidden, weight

    return make


@pytest.fixture
def gaussians() -> Callable[..., tuple[Any, Any]]:
    """Logits of a real model's size: a few units wide, with rows and ids of unequal scale."""

    def make(rows: int, vocabulary: int, dim: int, seed: int = 0) -> tuple[Any, Any]:
        generator = torch.Generator().manual_seed(seed)
        hidden = torch.randn(rows, dim, generator=generator) * torch.linspace(0.5, 2.0, rows)[:, None]
        weight = torch.randn(vocabulary, dim, generator=generator) * 3.0 / dim**0.5
        return hidden, weight * torch.linspace(0.5, 1.5, vocabulary)[:, None]

    return make

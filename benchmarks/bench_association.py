"""Association measures over many 2x2 tables: the compiled ufunc against NumPy and PyTorch with temporaries.

``PIVOTKIT_BENCH_TABLES`` sets the number of tables (default 200,000: a second or two in all).
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from pivotkit.pivots import association

TABLES = int(os.environ.get("PIVOTKIT_BENCH_TABLES", "200000"))
DOCUMENTS = 1e7
RTOL = 1e-6  # of the largest value: the NumPy and PyTorch formulas lose digits where tables are nearly independent


@pytest.fixture(scope="module")
def tables():
    draw = np.random.default_rng(0)
    n1_, n_1 = draw.integers(1, 100_000, (2, TABLES)).astype(np.float64)
    n11 = np.floor(draw.random(TABLES) * np.minimum(n1_, n_1))
    return n11, n1_, n_1


def numpy_g2(n11, n1_, n_1, n):
    observed = np.stack([n11, n1_ - n11, n_1 - n11, n - n1_ - n_1 + n11])
    expected = np.stack([n1_ * n_1, n1_ * (n - n_1), (n - n1_) * n_1, (n - n1_) * (n - n_1)]) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        total = 2 * np.where(observed > 0, observed * np.log(observed / expected), 0.0).sum(axis=0)
    return np.copysign(total, n11 - expected[0])


def numpy_npmi(n11, n1_, n_1, n):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(n11 > 0, np.log(n11 * n / (n1_ * n_1)) / -np.log(n11 / n), -1.0)


def torch_g2(n11, n1_, n_1, n):
    import torch

    observed = torch.stack([n11, n1_ - n11, n_1 - n11, n - n1_ - n_1 + n11])
    expected = torch.stack([n1_ * n_1, n1_ * (n - n_1), (n - n1_) * n_1, (n - n1_) * (n - n_1)]) / n
    total = 2 * torch.xlogy(observed, observed / expected).sum(dim=0)
    return torch.copysign(total, n11 - expected[0])


def torch_npmi(n11, n1_, n_1, n):
    import torch

    return torch.where(n11 > 0, torch.log(n11 * n / (n1_ * n_1)) / -torch.log(n11 / n), -1.0)


BASELINES = {"log_likelihood": (numpy_g2, torch_g2), "npmi": (numpy_npmi, torch_npmi)}


@pytest.mark.parametrize("backend", ["numpy", "torch", "numba"])
@pytest.mark.parametrize("name", list(BASELINES))
def test_association(benchmark, tables, name, backend):
    benchmark.group = f"association {name}, {TABLES} tables"
    in_numpy, in_torch = BASELINES[name]
    arguments = (*tables, DOCUMENTS)
    if backend == "torch":
        torch = pytest.importorskip("torch")
        arguments = (*map(torch.from_numpy, tables), DOCUMENTS)
        benchmark.extra_info["threads"] = torch.get_num_threads()
    measure = {"numpy": in_numpy, "torch": in_torch, "numba": getattr(association, name)}[backend]
    measure(*arguments)  # the first call compiles
    result = np.asarray(benchmark(measure, *arguments))
    expected = in_numpy(*tables, DOCUMENTS)
    np.testing.assert_allclose(result, expected, rtol=RTOL, atol=RTOL * np.abs(expected).max())

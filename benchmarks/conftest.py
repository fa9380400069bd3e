"""What benchmarks share: the ``paired`` fixture, and the machine in every record."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from pivotkit.kernels import select_isa

Paired = Callable[..., Any]


@pytest.fixture
def paired(benchmark: Any) -> Paired:
    """``paired(candidate, baseline, rounds)``: time both in turn, A B A B, in one process; return candidate's result.

    A shared machine drifts by more than most improvements, so only the ratio of neighbours counts. The record's
    extra_info holds the median ratio baseline / candidate (above 1: the candidate is faster) and its quartiles.
    """

    def run(candidate: Callable[[], Any], baseline: Callable[[], Any], rounds: int = 5) -> Any:
        result = benchmark.pedantic(candidate, rounds=rounds, warmup_rounds=1)
        if not benchmark.disabled:
            baseline()
            ratios = []
            for _ in range(rounds):
                begin = time.perf_counter()
                baseline()
                middle = time.perf_counter()
                candidate()
                ratios.append((middle - begin) / (time.perf_counter() - middle))
            low, middle_ratio, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
            benchmark.extra_info["median_ratio"] = round(middle_ratio, 3)
            benchmark.extra_info["quartiles"] = [round(low, 3), round(high, 3)]
        return result

    return run


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Say what ran: instruction set, threads, torch, and how busy the machine was."""
    machine_info["isa"] = select_isa()
    machine_info["threads"] = torch.get_num_threads()
    machine_info["torch"] = torch.__version__
    machine_info["load_average"] = os.getloadavg()

"""What benchmarks share: the ``interleaved`` fixture, and the machine in every record."""

from __future__ import annotations

import ctypes
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from pivotkit.kernels import select_isa

Method = Callable[[], Any]
Interleaved = Callable[..., dict[str, Any]]


def peak_memory(method: Method) -> tuple[Any, float | None]:
    """The method's result, and the MiB by which resident memory rose at most while it ran (None off Linux)."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # freed memory that the allocator kept would hide a rise
        Path("/proc/self/clear_refs").write_text("5")
    except (AttributeError, OSError):
        return method(), None
    before = resident("VmRSS")
    result = method()
    return result, round(max(resident("VmHWM") - before, 0.0), 1)


def resident(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":"))


@pytest.fixture
def interleaved(benchmark: Any) -> Interleaved:
    """``interleaved(methods, seconds)``: time all in turn, A B C A B C, in one process; return each one's result.

    A shared machine drifts by more than most improvements, so only ratios within a round count. The torch method
    that is fastest in median is the baseline of all, unless ``baseline`` names one: extra_info holds for each its
    median ratio baseline / method (above 1: faster) and quartiles, its median seconds and its peak memory in MiB.
    ``seconds`` bounds the rounds: at least 2, at most 15. Methods that do different amounts of the same work say how
    many ``units`` of it they do; times are then of one unit.
    """

    def run(
        methods: Mapping[str, Method], seconds: float, *, baseline: str | None = None, units: Mapping[str, int] = {},
    ) -> dict[str, Any]:  # fmt: skip
        results, memory = {}, {}
        begin = time.perf_counter()
        for name, method in methods.items():  # also the warm-up
            results[name], memory[name] = peak_memory(method)
        rounds = max(2, min(15, int(seconds / (time.perf_counter() - begin))))
        *others, last = methods
        times: dict[str, list[float]] = {name: [] for name in methods}

        def run_others() -> None:
            for name in others:
                start = time.perf_counter()
                methods[name]()
                times[name].append(time.perf_counter() - start)

        benchmark.pedantic(methods[last], setup=run_others, rounds=rounds)
        if benchmark.disabled:
            return results
        times[last] = list(benchmark.stats.stats.data)
        times = {name: [value / units.get(name, 1) for value in values] for name, values in times.items()}
        medians = {name: statistics.median(values) for name, values in times.items()}
        base = baseline or min((name for name in methods if name.startswith("torch")), key=lambda name: medians[name])
        benchmark.extra_info |= {"baseline": base, "seconds": medians, "peak_mib": memory, "rounds": rounds}
        ratios = {}
        for name, values in times.items():
            pairs = sorted(slow / fast for slow, fast in zip(times[base], values, strict=True))
            low, middle, high = statistics.quantiles(pairs, n=4, method="inclusive")
            ratios[name] = {"median": round(middle, 3), "quartiles": [round(low, 3), round(high, 3)]}
        benchmark.extra_info["ratios"] = ratios
        return results

    return run


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Say what ran: instruction set, threads, torch, and how busy the machine was."""
    machine_info["isa"] = select_isa()
    machine_info["threads"] = torch.get_num_threads()
    machine_info["torch"] = torch.__version__
    machine_info["onednn_limited_to"] = os.environ.get("ONEDNN_MAX_CPU_ISA")  # imitates an older processor for torch
    machine_info["load_average"] = os.getloadavg()

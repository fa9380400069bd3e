"""Fixtures of the kernels' tests."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from native_build import CCACHE, CMAKE, JOBS, build

from pivotkit.kernels import PackedUnembedding, Unembedded, cuda_backend, isas
from pivotkit.kernels import unembed as face
from pivotkit.kernels.arrays import device_of

ROOT = Path(__file__).resolve().parents[2]
SIMT_FLAGS = ["-std=c++17", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-fPIC"]


@pytest.fixture(params=isas())
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each instruction set of this machine in turn, forced as a user would."""
    monkeypatch.setenv("PIVOTKIT_ISA", request.param)
    return str(request.param)


@pytest.fixture(autouse=True)
def _team(all_threads: None) -> None:
    """The kernels take the team of torch where it is large enough, and start threads of their own where it is not."""


@pytest.fixture(scope="session")
def native_build(made_once: Callable[..., Path]) -> Path:
    """The folder of a release build by g++ of the native code without Python."""
    if shutil.which("g++") is None or CMAKE is None:
        pytest.skip("needs g++ and cmake")
    # As deep in the checkout as the package's own build, so that ccache knows each object.
    folder = ROOT / "build" / "tests" / "native"
    targets = ("unembed_threads", "pivotkit_corpus")
    made_once("native", lambda _: build(folder, "-DCMAKE_CXX_COMPILER=g++", targets=targets))
    return folder


@pytest.fixture(scope="session")
def simt(made_once: Callable[..., Path]) -> ModuleType:
    """The CUDA kernels, built for the CPU with tests/simt, which runs all threads of all blocks in a chosen order."""
    if importlib.util.find_spec("pybind11") is None or shutil.which("g++") is None:
        pytest.skip("needs pybind11 and g++")
    library = made_once("simt", build_simt) / "_simt.so"
    spec = importlib.util.spec_from_file_location("_simt", library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_simt(folder: Path) -> None:
    import pybind11

    flags = [*SIMT_FLAGS, *os.environ.get("PIVOTKIT_SIMT_FLAGS", "").split()]  # sanitizers
    include = ["-isystem", str(ROOT / "tests/simt"), "-I", str(ROOT / "csrc"), "-isystem", pybind11.get_include()]
    include += ["-isystem", sysconfig.get_path("include"), "-DPIVOTKIT_CUDA_MODULE=_simt"]
    sources = [path for path in (ROOT / "csrc/unembed/cuda").iterdir() if path.suffix in (".cu", ".cpp")]
    sources.append(ROOT / "csrc/bindings/bind_unembed_cuda.cpp")

    def compile_one(source: Path) -> str:
        built = str(folder / (source.stem + ".o"))
        subprocess.run([*CCACHE, "g++", *flags, *include, "-x", "c++", "-c", str(source), "-o", built], check=True)
        return built

    with ThreadPoolExecutor(int(JOBS)) as pool:
        objects = list(pool.map(compile_one, sources))
    subprocess.run(["g++", *flags, "-shared", *objects, "-o", str(folder / "_simt.so")], check=True)


@pytest.fixture
def unembed_on_simt(simt: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """``pivotkit.kernels.unembed`` that takes CPU tensors for GPU tensors and runs the CUDA kernels on them."""
    module = sys.modules[face.__module__]
    monkeypatch.setattr(cuda_backend, "native", lambda: simt)
    monkeypatch.setattr(cuda_backend, "why_not", lambda _: None)
    monkeypatch.setattr(module, "device_of", lambda value: device_of(value).replace("cpu", "cuda"))
    return face


@pytest.fixture(params=[*isas(), "simt", "cuda"])
def unembed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """``pivotkit.kernels.unembed`` on each instruction set, with the CUDA kernels on the CPU, and on a GPU."""
    way = request.param
    if way in isas():
        monkeypatch.setenv("PIVOTKIT_ISA", way)
        return face
    if way == "simt":
        patched: Callable[..., Any] = request.getfixturevalue("unembed_on_simt")
        return patched
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    return on_gpu


def moved_to_gpu(values: Any) -> Any:
    """A copy with the same strides, which ``cuda()`` would not keep."""
    if not torch.is_tensor(values):
        return values
    return torch.empty_strided(values.shape, values.stride(), dtype=values.dtype, device="cuda").copy_(values)


def on_gpu(hidden: Any, weight: Any, *arguments: Any, **options: Any) -> Any:
    """``unembed`` of tensors on the GPU, its results brought back."""
    packed = isinstance(weight, PackedUnembedding)
    moved = PackedUnembedding(moved_to_gpu(weight.weight)) if packed else moved_to_gpu(weight)
    result = face(moved_to_gpu(hidden), moved, *arguments, **options)
    assert result.backend == "cuda"
    fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    return Unembedded(**{name: value.cpu() if torch.is_tensor(value) else value for name, value in fields.items()})


@pytest.fixture
def integers() -> Callable[..., tuple[Any, Any]]:
    """Small integers as floats: all products and sums are exact, so backends must agree bit for bit, ties included."""

    def make(rows: int, vocabulary: int, dim: int, seed: int = 0) -> tuple[Any, Any]:
        generator = torch.Generator().manual_seed(seed)
        hidden = torch.randint(-3, 4, (rows, dim), generator=generator).float()
        weight = torch.randint(-3, 4, (vocabulary, dim), generator=generator).float()
        return hidden, weight

    return make


@pytest.fixture
def gaussians() -> Callable[..., tuple[Any, Any]]:
    """Logits as wide as those of real models, a few units, with rows and ids of unequal scale."""

    def make(rows: int, vocabulary: int, dim: int, seed: int = 0) -> tuple[Any, Any]:
        generator = torch.Generator().manual_seed(seed)
        hidden = torch.randn(rows, dim, generator=generator) * torch.linspace(0.5, 2.0, rows)[:, None]
        weight = torch.randn(vocabulary, dim, generator=generator) * 3.0 / dim**0.5
        return hidden, weight * torch.linspace(0.5, 1.5, vocabulary)[:, None]

    return make

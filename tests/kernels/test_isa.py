"""Instruction sets: forcing one, refusing an absent one, and no code that leaks from the file of one into the rest."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from native_build import CCACHE, JOBS

import pivotkit
from pivotkit import _C
from pivotkit.errors import BackendUnavailable

SOURCES = Path(__file__).resolve().parents[2] / "csrc"
AVX2 = ["-mavx2", "-mfma", "-mf16c"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq"]
BF16 = [*AVX512, "-mavx512vnni", "-mavx512bf16"]
# Each file that is built with instructions of its own, with its flags and what it gives to the linker.
KERNEL_FILES = {
    "unembed/isa/scalar.cpp": ([], ["kFloatsScalar", "kScreenScalar"]),
    "unembed/isa/avx2.cpp": (AVX2, ["kFloatsAvx2", "kScreenAvx2"]),
    "unembed/isa/avx2vnni.cpp": ([*AVX2, "-mavxvnni"], ["kScreenAvx2vnni"]),
    "unembed/isa/avx512.cpp": (AVX512, ["kFloatsAvx512", "kScreenAvx512"]),
    "unembed/isa/avx512vnni.cpp": ([*AVX512, "-mavx512vnni"], ["kScreenAvx512vnni"]),
    "unembed/isa/avx512bf16.cpp": (BF16, ["kPairsAvx512bf16"]),
    "unembed/isa/amx.cpp": ([*BF16, "-mamx-tile", "-mamx-bf16", "-mamx-int8"], ["kPairsAmx", "kScreenAmx"]),
    "counting/companions_vbmi2.cpp": ([*AVX512, "-mavx512vbmi2"], ["gather_filtered"]),
}
KNOWN = [
    "scalar", "neon", "neondot", "neoni8mm", "neonbf16", "avx2", "avx2vnni", "avx512", "avx512vnni", "avx512bf16", "amx",
]  # fmt: skip


def test_scalar_is_always_there_and_the_widest_that_is_ready_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIVOTKIT_ISA", raising=False)
    assert _C.isas()[0] == "scalar"
    assert (_C.tiles() == "absent") == ("amx" not in _C.isas())
    assert _C.select_isa() == [name for name in _C.isas() if name != "amx" or _C.tiles() == "ready"][-1]


def test_environment_forces_one(isa: str) -> None:
    assert _C.select_isa() == isa


def test_a_name_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIVOTKIT_ISA", _C.isas()[-1])
    assert _C.select_isa("scalar") == "scalar"


def test_unknown_one_is_refused() -> None:
    with pytest.raises(ValueError, match=rf"PIVOTKIT_ISA must be one of {', '.join(KNOWN)}; got sse9"):
        _C.select_isa("sse9")


@pytest.mark.parametrize("name", KNOWN)
def test_absent_one_is_refused_and_never_replaced(name: str) -> None:
    if name in _C.isas() and (name != "amx" or _C.tiles() == "ready"):
        assert _C.select_isa(name) == name
    else:
        with pytest.raises(BackendUnavailable, match=rf"PIVOTKIT_ISA must be (present|usable).*; got {name}"):
            _C.select_isa(name)


def test_importing_the_kernels_does_not_import_torch() -> None:
    code = "import pivotkit.kernels, sys; sys.exit('torch' in sys.modules or 'numba' in sys.modules)"
    root = Path(pivotkit.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def exported_by(built: Path) -> list[str]:
    """Names that an object gives to the linker; none may be weak."""
    # A weak copy of a shared inline function, built with wide instructions, could be the one the linker keeps.
    table = subprocess.run(["nm", "-C", str(built)], check=True, capture_output=True, text=True).stdout
    symbols = [line.split(maxsplit=2) for line in table.splitlines() if re.match(r"^[0-9a-f]+ ", line)]
    exported = [(kind, symbol) for _, kind, symbol in symbols if kind not in "rtbd"]
    assert [symbol for kind, symbol in exported if kind in "VWvwu"] == []
    return sorted(symbol.partition("(")[0] for _, symbol in exported)


def tables(*names: str) -> list[str]:
    return [f"pivotkit::{name}" for name in names]


@pytest.fixture(scope="session")
def unoptimized(made_once: Callable[..., Path]) -> Path:
    """Each kernel file's object at -O0, where no function is inlined; one that g++ cannot build is absent."""
    return made_once("unoptimized", compile_unoptimized)


def compile_unoptimized(folder: Path) -> None:
    def compile_one(path: str) -> None:
        flags, _ = KERNEL_FILES[path]
        if subprocess.run(["g++", *flags, "-E", "-x", "c++", "/dev/null"], capture_output=True).returncode:
            return
        built = folder / f"{path}.o"
        built.parent.mkdir(parents=True, exist_ok=True)
        command = [*CCACHE, "g++", "-std=c++17", "-O0", "-w", "-I", str(SOURCES), *flags]
        subprocess.run([*command, "-c", str(SOURCES / path), "-o", str(built)], check=True)

    with ThreadPoolExecutor(int(JOBS)) as pool:
        list(pool.map(compile_one, KERNEL_FILES))


@pytest.mark.skipif(shutil.which("g++") is None or shutil.which("nm") is None, reason="needs g++ and nm")
@pytest.mark.parametrize("path", KERNEL_FILES)
@pytest.mark.parametrize("level", ["unoptimized", "release"])
def test_a_kernel_file_exports_its_table_and_nothing_weak(
    request: pytest.FixtureRequest, path: str, level: str
) -> None:
    flags, names = KERNEL_FILES[path]
    machine = subprocess.run(["g++", "-dumpmachine"], check=True, capture_output=True, text=True).stdout
    if flags and not machine.startswith("x86_64"):
        pytest.skip("the wide instruction sets are of x86-64")
    if level == "unoptimized":
        built = request.getfixturevalue("unoptimized") / f"{path}.o"
    else:
        library = "pivotkit_unembed" if path.startswith("unembed") else "pivotkit_corpus"
        built = request.getfixturevalue("native_build") / f"CMakeFiles/{library}.dir/csrc" / f"{path}.o"
    if not built.exists():
        pytest.skip(f"g++ does not know {flags[-1]}")
    assert exported_by(built) == tables(*names)


def test_every_file_of_an_instruction_set_is_asked() -> None:
    files = {str(path.relative_to(SOURCES)) for name in KNOWN for path in SOURCES.rglob(f"{name}.cpp")}
    assert {file for file in files if "neon" not in file} <= set(KERNEL_FILES)  # NEON: test_neon.py

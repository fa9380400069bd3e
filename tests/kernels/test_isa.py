"""Instruction sets: forcing one, refusing an absent one, and no code that leaks from the file of one into the rest."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pivotkit
from pivotkit import _C
from pivotkit.errors import BackendUnavailable

SOURCES = Path(__file__).resolve().parents[2] / "csrc"
AVX2 = ["-mavx2", "-mfma", "-mf16c"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq"]
BF16 = [*AVX512, "-mavx512vnni", "-mavx512bf16"]
KNOWN = ["scalar", "neon", "avx2", "avx512", "avx512vnni", "avx512bf16", "amx"]


def test_scalar_is_always_there_and_the_widest_but_amx_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIVOTKIT_ISA", raising=False)
    assert _C.isas()[0] == "scalar"
    assert _C.select_isa() == [name for name in _C.isas() if name != "amx"][-1]


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
    if name in _C.isas():
        assert _C.select_isa(name) == name
    else:
        with pytest.raises(BackendUnavailable, match=rf"PIVOTKIT_ISA must be present .*; got {name}"):
            _C.select_isa(name)


def test_importing_the_kernels_does_not_import_torch() -> None:
    code = "import pivotkit.kernels, sys; sys.exit('torch' in sys.modules or 'numba' in sys.modules)"
    root = Path(pivotkit.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


@pytest.mark.skipif(shutil.which("g++") is None or shutil.which("nm") is None, reason="needs g++ and nm")
@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("scalar", []),
        ("avx2", AVX2),
        ("avx512", AVX512),
        ("avx512vnni", [*AVX512, "-mavx512vnni"]),
        ("avx512bf16", BF16),
        ("amx", [*BF16, "-mamx-tile", "-mamx-bf16"]),
        ("companions_vbmi2", [*AVX512, "-mavx512vbmi2"]),
    ],
)
@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_a_kernel_file_exports_its_table_and_nothing_weak(
    tmp_path: Path, name: str, flags: list[str], level: str
) -> None:
    # A weak copy of a shared inline function, built with wide instructions, could be the one the linker keeps.
    machine = subprocess.run(["g++", "-dumpmachine"], check=True, capture_output=True, text=True).stdout
    if flags and not machine.startswith("x86_64"):
        pytest.skip("the wide instruction sets are of x86-64")
    if subprocess.run(["g++", *flags, "-E", "-x", "c++", "/dev/null"], capture_output=True).returncode:
        pytest.skip(f"g++ does not know {flags[-1]}")
    for source in sorted(SOURCES.glob(f"*/{name}.cpp")):
        built = tmp_path / f"{source.parent.name}.o"
        command = ["g++", "-std=c++17", level, "-w", "-I", str(SOURCES), *flags, "-c", str(source), "-o", str(built)]
        subprocess.run(command, check=True)
        table = subprocess.run(["nm", "-C", str(built)], check=True, capture_output=True, text=True).stdout
        symbols = [line.split(maxsplit=2) for line in table.splitlines() if re.match(r"^[0-9a-f]+ ", line)]
        exported = [(kind, symbol) for _, kind, symbol in symbols if kind not in "rtbd"]
        assert [symbol for kind, symbol in exported if kind in "VWvwu"] == []
        table_name = "gather_filtered" if name == "companions_vbmi2" else f"kKernels{name.capitalize()}"
        assert [symbol.partition("(")[0] for _, symbol in exported] == [f"pivotkit::{table_name}"]

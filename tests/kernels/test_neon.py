"""NEON, cross-compiled: only its table is exported, and its answers have the bits of this machine's."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from native_build import CCACHE, build

from pivotkit import _C

ROOT = Path(__file__).resolve().parents[2]
CROSS = "aarch64-linux-gnu-g++"
needs_cross = pytest.mark.skipif(shutil.which(CROSS) is None, reason=f"needs {CROSS}")
FLAGS = ["-std=c++17", "-O2", "-ffp-contract=off", "-w", "-pthread", "-I", str(ROOT / "csrc")]

# Each kernel file with its flags and what it gives to the linker.
FILES = {
    "neon": ([], ["kFloatsNeon", "kScreenNeon"]),
    "neondot": (["-march=armv8.2-a+dotprod"], ["kScreenNeondot"]),
    "neoni8mm": (["-march=armv8.2-a+dotprod+i8mm"], ["kScreenNeoni8mm"]),
    "neonbf16": (["-march=armv8.2-a+dotprod+i8mm+bf16"], ["kPairsNeonbf16"]),
}


@needs_cross
@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_cross_compiled_neon_exports_its_table_and_nothing_weak(tmp_path: Path, level: str) -> None:
    for name, (march, tables) in FILES.items():
        source, built = ROOT / "csrc" / "unembed" / "isa" / f"{name}.cpp", tmp_path / f"{name}.o"
        command = [*CCACHE, CROSS, *FLAGS, level, *march, "-c", str(source), "-o", str(built)]
        subprocess.run(command, check=True)
        command = ["aarch64-linux-gnu-nm", "-C", "--extern-only", "--defined-only", str(built)]
        table = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        symbols = [line.split(maxsplit=2)[1:] for line in table.splitlines()]
        assert [symbol for kind, symbol in symbols if kind in "VWvwu"] == []
        assert [symbol for _, symbol in symbols] == [f"pivotkit::{table}" for table in tables]


def digests(command: list[str]) -> dict[str, list[str]]:
    """For each instruction set the digest of every field; the program itself fails on a wrong answer."""
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found: dict[str, list[str]] = {}
    for line in lines:
        isa, rest = line.split(maxsplit=1)
        found.setdefault(isa, []).append(rest)
    return found


@needs_cross
@pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="needs qemu-aarch64")
@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")
@pytest.mark.skipif(shutil.which("g++") is None or sys.platform != "linux", reason="needs g++ on Linux")
@pytest.mark.skipif("avx2" not in _C.isas(), reason="compares with AVX2, which this machine lacks")
def test_cross_compiled_neon_gives_the_bits_of_avx2(native_build: Path, tmp_path: Path) -> None:
    cross = ["-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64", f"-DCMAKE_CXX_COMPILER={CROSS}"]
    arm = build(tmp_path / "arm", *cross, "-DCMAKE_EXE_LINKER_FLAGS=-static") / "unembed_threads"
    x86 = native_build / "unembed_threads"
    ours, theirs = digests(["qemu-aarch64", "-cpu", "max", str(arm)]), digests([str(x86)])
    assert list(ours) == ["scalar", "neon", "neondot", "neoni8mm", "neonbf16"]
    for isa in ("neon", "neondot", "neoni8mm"):
        assert ours[isa] == theirs["avx2"]
    assert ours["scalar"] == theirs["scalar"]

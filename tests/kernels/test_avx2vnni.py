"""VNNI in 256 bits, for processors without AVX-512: where the machine has only the wide one, its instructions stand in."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from native_build import CCACHE

from pivotkit import _C

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "tests" / "native"
COMMON = ["g++", "-std=c++17", "-O1", "-ffp-contract=off", "-pthread", "-Wall", "-Wextra", "-Werror"]
STAND_IN = ["-mavx2", "-mfma", "-mf16c", "-mavx512vl", "-mavx512vnni", "-Wno-unknown-pragmas"]


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.skipif("avx512vnni" not in _C.isas(), reason="needs AVX-512's VNNI to stand in")
def test_the_screening_in_256_bits_has_the_bits_of_avx2(native_build: Path, tmp_path: Path) -> None:
    kernel, main, program = tmp_path / "kernel.o", tmp_path / "main.o", tmp_path / "program"
    command = [*CCACHE, *COMMON, "-I", str(ROOT / "csrc")]
    stand_in = [*STAND_IN, "-include", str(NATIVE / "avx2vnni_emulation.h")]
    source = ROOT / "csrc" / "unembed" / "isa" / "avx2vnni.cpp"
    subprocess.run([*command, *stand_in, "-c", str(source), "-o", str(kernel)], check=True)
    subprocess.run([*command, "-c", str(NATIVE / "avx2vnni_emulated.cpp"), "-o", str(main)], check=True)
    core = str(native_build / "libpivotkit_unembed.a")
    subprocess.run(["g++", "-pthread", str(main), str(kernel), core, "-ldl", "-o", str(program)], check=True)
    assert subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout == "all equal\n"

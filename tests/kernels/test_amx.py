"""AMX, which few machines have: its kernels run here on emulated tiles, and must give the reference's answers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from native_build import CCACHE

from pivotkit import _C

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "tests" / "native"
COMMON = [
    "g++",
    "-std=c++17",
    "-O1",
    "-ffp-contract=off",
    "-pthread",
    "-I",
    str(ROOT / "csrc"),
]
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
# Those of the build without VNNI, which the machine may lack. Pairs need their flag; no instruction of it is run.
WIDE = ["-mavx2", "-mfma", "-mf16c", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512bf16"]
# GCC 12's own AVX-512 header reads an undefined register on purpose and warns of it.
QUIET = ["-Wno-uninitialized", "-Wno-maybe-uninitialized", "-Wno-unknown-pragmas"]


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.skipif("avx512" not in _C.isas(), reason="emulates the tiles alone; this machine lacks AVX-512")
def test_emulated_tiles_give_the_references_answers(native_build: Path, tmp_path: Path) -> None:
    if subprocess.run(["g++", *WIDE, "-E", "-x", "c++", "/dev/null"], capture_output=True).returncode:
        pytest.skip("g++ does not know -mavx512bf16")
    program = compile_emulation(native_build, tmp_path)
    run = subprocess.run([str(program)], capture_output=True, text=True)
    assert (run.stderr, run.stdout, run.returncode) == ("", "all equal\n", 0)


def compile_emulation(native_build: Path, folder: Path) -> Path:
    """Its tiles and its program take the place of what the core's archive has under the same names."""
    kernels, program = folder / "amx.o", folder / "amx_emulated"
    emulation = ["-include", str(NATIVE / "amx_emulation.h")]
    source = str(ROOT / "csrc" / "unembed" / "amx.cpp")
    command = [*CCACHE, *COMMON, *WARNINGS]
    subprocess.run([*command, *WIDE, *QUIET, *emulation, "-c", source, "-o", str(kernels)], check=True)
    main = folder / "main.o"
    subprocess.run([*command, "-c", str(NATIVE / "amx_emulated.cpp"), "-o", str(main)], check=True)
    core = str(native_build / "libpivotkit_unembed.a")
    subprocess.run(["g++", "-pthread", str(main), str(kernels), core, "-ldl", "-o", str(program)], check=True)
    return program

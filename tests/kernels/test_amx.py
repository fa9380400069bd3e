"""AMX, which few machines have: its kernels run here on emulated tiles, and must give the reference's answers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pivotkit import _C

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "tests" / "native"
COMMON = [
    "g++",
    "-std=c++17",
    "-O1",
    "-ffp-contract=off",
    "-pthread",
    "-DPIVOTKIT_X86",
    "-DPIVOTKIT_AMX",
    "-I",
    str(ROOT / "csrc"),
]
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
# Those of the build without VNNI, which the machine may lack. Pairs need their flag; no instruction of it is run.
WIDE = ["-mavx2", "-mfma", "-mf16c", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512bf16"]
# GCC 12's own AVX-512 header reads an undefined register on purpose and warns of it.
QUIET = ["-Wno-uninitialized", "-Wno-maybe-uninitialized", "-Wno-unknown-pragmas"]
REST = ["unembed", "block_rows", "certified", "certify", "check", "divergence", "plan", "quantized", "rotation"]


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.skipif("avx512" not in _C.isas(), reason="emulates the tiles alone; this machine lacks AVX-512")
def test_emulated_tiles_give_the_references_answers(tmp_path: Path) -> None:
    if subprocess.run(["g++", *WIDE, "-E", "-x", "c++", "/dev/null"], capture_output=True).returncode:
        pytest.skip("g++ does not know -mavx512bf16")
    kernels, program = tmp_path / "amx.o", tmp_path / "amx_emulated"
    emulation = ["-include", str(NATIVE / "amx_emulation.h")]
    source = str(ROOT / "csrc" / "unembed" / "amx.cpp")
    subprocess.run([*COMMON, *WARNINGS, *WIDE, *QUIET, *emulation, "-c", source, "-o", str(kernels)], check=True)
    rest = [str(ROOT / "csrc" / "unembed" / f"{name}.cpp") for name in REST]
    rest.append(str(ROOT / "csrc" / "common" / "team.cpp"))
    main = str(NATIVE / "amx_emulated.cpp")
    subprocess.run([*COMMON, *WARNINGS, main, *rest, str(kernels), "-ldl", "-o", str(program)], check=True)
    run = subprocess.run([str(program)], capture_output=True, text=True)
    assert (run.stderr, run.stdout, run.returncode) == ("", "all equal\n", 0)

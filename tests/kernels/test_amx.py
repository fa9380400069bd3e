"""AMX, which few machines have: its kernels run here on emulated tiles, and on an imitated system that permits them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
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


def knows_pairs() -> bool:
    """Whether there is a g++ that knows AVX-512's bfloat16."""
    command = ["g++", "-mavx512bf16", "-E", "-x", "c++", "/dev/null"]
    return shutil.which("g++") is not None and not subprocess.run(command, capture_output=True).returncode


needs_compiler = pytest.mark.skipif(not knows_pairs(), reason="needs a g++ that knows -mavx512bf16")


@needs_compiler
@pytest.mark.skipif("avx512" not in _C.isas(), reason="emulates the tiles alone; this machine lacks AVX-512")
def test_emulated_tiles_give_the_references_answers(native_build: Path, tmp_path: Path) -> None:
    program = compile_emulation(native_build, tmp_path)
    run = subprocess.run([str(program)], capture_output=True, text=True)
    assert (run.stderr, run.stdout, run.returncode) == ("", "all equal\n", 0)


@needs_compiler
@pytest.mark.skipif("avx512bf16" not in _C.isas(), reason="compares with avx512bf16, which this machine lacks")
@pytest.mark.parametrize("mistake", ["AMX_WRONG_PAIRS", "AMX_WRONG_BYTES"])
def test_tiles_that_are_wrong_fail_their_self_test(native_build: Path, tmp_path: Path, mistake: str) -> None:
    program = compile_emulation(native_build, tmp_path, f"-D{mistake}")
    run = subprocess.run([str(program)], capture_output=True, text=True)
    assert (run.stderr, run.stdout, run.returncode) == ("", "the self-test fails\n", 2)


IMITATED = [f"-DPIVOTKIT_{name}" for name in ("X86", "AVX512", "AVX512BF16", "AMX")]


@needs_compiler
@pytest.mark.skipif("avx512bf16" not in _C.isas(), reason="imitates AMX beside avx512bf16, which this machine lacks")
@pytest.mark.skipif(sys.platform != "linux", reason="imitates the questions to Linux")
@pytest.mark.parametrize("way", ["permitted", "refused", "absent"])
def test_tiles_are_the_default_where_the_system_permits_them(native_build: Path, tmp_path: Path, way: str) -> None:
    program = compile_emulation(native_build, tmp_path, main=["tiles_permission.cpp", *IMITATED])
    run = subprocess.run([str(program), way], capture_output=True, text=True)
    assert (run.stderr, run.stdout, run.returncode) == ("", "as it should be\n", 0)


needs_amx = pytest.mark.skipif("amx" not in _C.isas(), reason="needs a processor with AMX")
PRODUCT = """
import torch
from pivotkit.kernels import tiles, unembed
both = torch.eye(4).bfloat16()
print(tiles(), unembed(both, both, 1).isa, unembed(both.float(), both.float(), 1).isa)
"""
SMALL_STACK = """
import ctypes
class Stack(ctypes.Structure):
    _fields_ = [("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]
room = ctypes.create_string_buffer(8192)
assert ctypes.CDLL(None).sigaltstack(ctypes.byref(Stack(ctypes.addressof(room), 0, 8192)), None) == 0
"""
REFUSING = """
#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <dlfcn.h>
long syscall(long number, ...) {
  va_list list;
  long a[6];
  va_start(list, number);
  for (int i = 0; i < 6; ++i) a[i] = va_arg(list, long);
  va_end(list);
  if (number == SYS_arch_prctl && a[0] == 0x1023) return errno = EPERM, -1;
  long (*real)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
"""


def run_product(code: str = PRODUCT, **environment: str) -> str:
    plain = {name: value for name, value in os.environ.items() if name != "PIVOTKIT_ISA"}
    command = [sys.executable, "-W", "error", "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, env=plain | environment, check=True, cwd=ROOT)
    return run.stdout.strip()


@needs_amx
def test_bfloat16_takes_tiles_and_float32_does_not() -> None:
    assert run_product() == "ready amx avx512bf16"


@needs_amx
def test_a_stack_for_signals_that_is_too_small_refuses_tiles_quietly() -> None:
    assert run_product(SMALL_STACK + PRODUCT) == "refused by the system avx512bf16 avx512bf16"


@needs_amx
@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_a_system_that_refuses_tiles_refuses_them_quietly(tmp_path: Path) -> None:
    (tmp_path / "refusing.c").write_text("#define _GNU_SOURCE\n" + REFUSING)
    library = tmp_path / "refusing.so"
    command = ["gcc", "-shared", "-fPIC", str(tmp_path / "refusing.c"), "-o", str(library), "-ldl"]
    subprocess.run(command, check=True)
    assert run_product(LD_PRELOAD=str(library)) == "refused by the system avx512bf16 avx512bf16"


def compile_emulation(
    native_build: Path, folder: Path, *defined: str, main: Sequence[str] = ("amx_emulated.cpp",)
) -> Path:
    """Its tiles and its program take the place of what the core's archive has under the same names."""
    kernels, program = folder / "amx.o", folder / "amx_emulated"
    emulation = ["-include", str(NATIVE / "amx_emulation.h"), *defined]
    source = str(ROOT / "csrc" / "unembed" / "isa" / "amx.cpp")
    command = [*CCACHE, *COMMON, *WARNINGS]
    subprocess.run([*command, *WIDE, *QUIET, *emulation, "-c", source, "-o", str(kernels)], check=True)
    built, (name, *options) = folder / "main.o", main
    subprocess.run([*command, *options, "-c", str(NATIVE / name), "-o", str(built)], check=True)
    core = str(native_build / "libpivotkit_unembed.a")
    subprocess.run(["g++", "-pthread", str(built), str(kernels), core, "-ldl", "-o", str(program)], check=True)
    return program

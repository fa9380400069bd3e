"""The native code built without Python, for the tests that look at its objects or run a program of tests/native."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
JOBS = str(os.cpu_count() or 1)
# The system's CMake comes first, as for the package: another one orders options otherwise, and ccache misses.
CMAKE = shutil.which("cmake", path=os.defpath) or shutil.which("cmake")
CCACHE = ["ccache"] if shutil.which("ccache") else []  # before a direct call of a compiler; CMake finds it by itself


def build(folder: Path, *options: str, targets: tuple[str, ...] = ("unembed_threads",)) -> Path:
    """Targets of the core and of tests/native, with the flags of a release; returns the folder."""
    assert CMAKE is not None
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    options = (*options, *generator, "-DPIVOTKIT_PYTHON=OFF", "-DPIVOTKIT_NATIVE_TESTS=ON")
    subprocess.run([CMAKE, "-S", str(ROOT), "-B", str(folder), *options], check=True, capture_output=True)
    command = [CMAKE, "--build", str(folder), "--parallel", JOBS, "--target", *targets]
    subprocess.run(command, check=True, capture_output=True)
    return folder

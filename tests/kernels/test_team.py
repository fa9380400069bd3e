"""The threads of a call are torch's if torch is loaded, and its own elsewhere and after a fork; answers are the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import pivotkit

ROOT = Path(pivotkit.__file__).parents[1]
ANSWER = """
import hashlib, numpy as np
def answer():
    from pivotkit.kernels import unembed
    random = np.random.default_rng(0)
    hidden, weight = (random.standard_normal(shape, dtype=np.float32) for shape in ((40, 96), (9000, 96)))
    result = unembed(hidden, weight, 7, entropy=True, threads=3)
    parts = (result.ids, result.logits, result.logsumexp, result.entropy)
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()
"""


def run(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", ANSWER + code], check=True, capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    return done.stdout.split()


def test_the_team_of_torch_gives_the_bits_of_threads_alone() -> None:
    code = """
import ctypes, sys
def found():
    return hasattr(ctypes.CDLL(None), "GOMP_parallel")
before = found(), answer()
assert "torch" not in sys.modules
import torch
torch.set_num_threads(3)  # a smaller team would not be used
torch.ones(300, 300) @ torch.ones(300, 300)
print(before[0], before[1], found(), answer())
"""
    alone, first, then, second = run(code)
    if alone == "True":
        pytest.skip("an OpenMP runtime is at hand without torch: both ways would be one")
    if sys.platform == "linux":
        assert then == "True"
    assert first == second


# Before the fork the parent has used pivotkit, or the child is the first to import it.
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.parametrize("first", ["answer()", "''"])
def test_a_forked_process_does_not_wait_for_its_parents_team(first: str) -> None:
    code = f"""
import os, signal, torch
torch.set_num_threads(3)
torch.ones(900, 900) @ torch.ones(900, 900)
{first}
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    signal.alarm(60)  # a team that died with the parent's threads would be waited for without end
    os.write(writer, answer().encode())
    os._exit(0)
_, status = os.waitpid(child, 0)
print(status, answer(), os.read(reader, 64).decode() if status == 0 else "nothing")
"""
    status, here, there = run(code)
    assert status == "0"
    assert here == there

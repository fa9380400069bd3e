"""Peak memory beyond inputs and outputs stays within the workspace, measured in a separate process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import pivotkit
from pivotkit.kernels import WORKSPACE

MEASURE = """
import resource, sys
import numpy as np
from pivotkit.kernels import PackedUnembedding, TokenSetTable, unembed

rows, vocabulary, dim, k, threads = map(int, sys.argv[1:6])
precision = sys.argv[6]
random = np.random.default_rng(0)
hidden = random.standard_normal((rows, dim), dtype=np.float32)
weight = random.integers(0, 1 << 14, (vocabulary, dim), dtype=np.uint16).view(np.float16)
sets = TokenSetTable.per_row([[[1, 2], [3]]] * rows)
packed = PackedUnembedding(weight, precision=precision)
unembed(hidden[:1], weight[:64], 1)  # what a first call loads
outputs = [np.ones((rows, k), np.int64), np.ones((rows, k), np.float32)]  # peak before includes room for the answer
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
del outputs
exact = precision == "exact"
options = {"entropy": True, "references": (np.arange(rows) * 7 + 3) % rows} if exact else {}
unembed(hidden, packed, k, targets=[1], token_sets=sets, threads=threads, precision=precision, **options)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
@pytest.mark.parametrize(
    ("rows", "vocabulary", "dim", "k", "threads"),
    [(4000, 30000, 64, 10, 2), (3, 60000, 64, 60000, 8), (3000, 2000, 3000, 5, 4)],
)
@pytest.mark.parametrize("precision", ["exact", "certified"])
def test_peak_memory_stays_within_the_workspace(
    rows: int, vocabulary: int, dim: int, k: int, threads: int, precision: str
) -> None:
    # In the first case the logits alone would take 480 MB.
    command = [sys.executable, "-c", MEASURE, *map(str, (rows, vocabulary, dim, k, threads)), precision]
    root = Path(pivotkit.__file__).parents[1]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root)
    assert int(done.stdout) <= WORKSPACE + (8 << 20)  # 8 MiB: thread stacks, ids and allocator slack

"""What the tests of the token graph share: documents as a block, pairs counted one by one, a graph's cells and files."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pivotkit
from pivotkit import _C
from pivotkit.corpus.token_graph.build import TokenGraph

FILES = ("columns.npy", "totals.npy", "offsets.npy", "graph.json")
LEAST = 400_000  # bytes that suffice for a small vocabulary with any fan-in


def block(texts: list[list[int]], dtype: str = "<u2") -> tuple[Any, Any]:
    offsets = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    return np.array(list(itertools.chain.from_iterable(texts)), dtype), offsets


def pairs(texts: list[list[int]], weights: list[int], symmetric: bool) -> dict[tuple[int, int], int]:
    """Every pair of positions, one after the other."""
    found: Counter[tuple[int, int]] = Counter()
    for text in texts:
        for i, j in itertools.combinations(range(len(text)), 2):
            if j - i <= len(weights) and weights[j - i - 1]:
                a, b = text[i], text[j]
                found[(max(a, b), min(a, b)) if symmetric else (a, b)] += weights[j - i - 1]
    return dict(found)


def cells(graph: TokenGraph) -> dict[tuple[int, int], int]:
    rows = np.repeat(np.arange(graph.vocabulary), np.diff(graph.offsets))
    return dict(zip(zip(rows.tolist(), graph.columns.tolist(), strict=True), graph.totals.tolist(), strict=True))


def files(folder: Path) -> list[bytes]:
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)  # and nothing temporary
    return [(folder / name).read_bytes() for name in FILES]


def least_memory(vocabulary: int, weights: Any, fan_in: int, folder: Path) -> int:
    with pytest.raises(ValueError, match="memory must be at least") as refused:
        _C.TokenGraphCounter(vocabulary, weights, True, 1, str(folder), fan_in)
    return int(str(refused.value).split("at least ")[1].split()[0])


def finish(counter: _C.TokenGraphCounter, folder: Path) -> list[bytes]:
    names = [str(folder / name) for name in FILES[:3]]
    counter.finish(*names)
    return [Path(name).read_bytes() for name in names]


def run(code: str, *arguments: Any) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    root = Path(pivotkit.__file__).parents[1]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    return done.stdout

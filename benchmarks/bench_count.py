"""Counting, against what one would write with PyTorch and Numba; every contestant's answer is checked.

Sizes are small, so that the file runs in seconds. Dims: N documents, W words, P pairs, V token ids.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
import torch

from pivotkit import _C

N, W, V = 4000, 1000, 50_000
HITS, TOKENS = 12, 200  # of a document, about
NO_PAIRS = np.zeros((0, 2), np.int32)


@pytest.fixture(scope="module")
def hits() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    rows = [np.unique(rng.zipf(1.3, HITS) % W).astype(np.int32) for _ in range(N)]
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    words = np.concatenate(rows)
    return offsets, words, np.ones(len(words), np.int32)


@pytest.fixture(scope="module")
def tokens() -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    sizes = rng.integers(TOKENS // 2, TOKENS * 3 // 2, N)
    return (rng.zipf(1.2, sizes.sum()) % V).astype(np.uint32), np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def presence(hits: Any) -> torch.Tensor:
    """H (N, W), 0/1."""
    offsets, words, _ = hits
    dense = torch.zeros(N, W)
    dense[np.repeat(np.arange(N), np.diff(offsets)), words.astype(np.int64)] = 1
    return dense


@numba.njit
def numba_pairs(offsets: Any, words: Any, pairs: Any, width: int) -> Any:
    """Each pair looked up in each document: the cost grows with the pairs."""
    counts = np.zeros(len(pairs), np.int64)
    present = np.zeros(width, np.bool_)
    for document in range(len(offsets) - 1):
        row = words[offsets[document] : offsets[document + 1]]
        for word in row:
            present[word] = True
        for place in range(len(pairs)):
            counts[place] += present[pairs[place, 0]] and present[pairs[place, 1]]
        for word in row:
            present[word] = False
    return counts


@pytest.mark.parametrize("pairs", [1000, 100_000])
@pytest.mark.parametrize("contestant", ["torch", "numba", "pivotkit"])
def test_pairs(benchmark: Any, hits: Any, pairs: int, contestant: str) -> None:
    benchmark.group = f"df of {pairs} pairs, N {N}, W {W}"
    listed = np.random.default_rng(2).integers(0, W, (pairs, 2)).astype(np.int32)
    dense = presence(hits)

    def by_torch() -> Any:
        return (dense.T @ dense)[listed[:, 0], listed[:, 1]].long().numpy()

    def by_numba() -> Any:
        return numba_pairs(hits[0], hits[1], listed, W)

    def by_pivotkit() -> Any:
        counter = _C.DocumentCounter(W, listed)
        counter.add(*hits)
        return counter.pair_df

    run = {"torch": by_torch, "numba": by_numba, "pivotkit": by_pivotkit}[contestant]
    run()  # compiles
    found = benchmark(run)
    assert np.array_equal(found, by_torch())


@pytest.mark.filterwarnings("ignore:Sparse")  # torch calls its sparse tensors a beta
@pytest.mark.parametrize("contestant", ["torch", "pivotkit"])
def test_context(benchmark: Any, hits: Any, tokens: Any, contestant: str) -> None:
    benchmark.group = f"context table, N {N}, W {W}, V {V}"
    ids, ends = tokens
    documents = torch.from_numpy(np.repeat(np.arange(N), np.diff(ends)))
    owners = torch.from_numpy(np.repeat(np.arange(N), np.diff(hits[0])))
    words = torch.from_numpy(hits[1].astype(np.int64))

    def by_torch() -> Any:
        cells = torch.unique(documents * V + torch.from_numpy(ids.astype(np.int64)))
        bags = torch.sparse_coo_tensor(torch.stack([cells // V, cells % V]), torch.ones(len(cells)), (N, V))
        rows = torch.sparse_coo_tensor(torch.stack([words, owners]), torch.ones(len(words)), (W, N))
        table = torch.sparse.mm(rows, bags).coalesce()
        return (table.indices()[0] * V + table.indices()[1]).numpy(), table.values().long().numpy()

    def by_pivotkit() -> Any:
        counter = _C.DocumentCounter(W, NO_PAIRS, V, len(ids))
        counter.add(*hits, ids, ends)
        offsets, columns, counts = counter.context(0, W)
        return np.repeat(np.arange(W), np.diff(offsets)) * V + columns, counts

    found = benchmark({"torch": by_torch, "pivotkit": by_pivotkit}[contestant])
    expected = by_torch()
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1], expected[1])

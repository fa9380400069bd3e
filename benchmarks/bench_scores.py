"""Scores of documents from a token file, against `embedding_bag` over batches and a plain loop in Numba; one core.

A Zipf corpus (token r with probability 1 / r, V 50,304, uint16) in documents of 500 ids, 10,000 pivots drawn evenly. The
public function also checks every id and makes the table. The others read the same file in batches that no document
crosses, find where documents end, and give the scores alone. ``PIVOTKIT_BENCH=full`` scores 100 million tokens.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
import torch
from conftest import Interleaved

from pivotkit.corpus import TokenFiles
from pivotkit.selection import score_documents

FULL = os.environ.get("PIVOTKIT_BENCH") == "full"
SECONDS = 60.0 if FULL else 1.0
TOKENS = 100_000_000 if FULL else 1_000_000
V, LENGTH, PIVOTS = 50_304, 500, 10_000
BATCH = 1000 * LENGTH  # ids, about as many as the public function reads at a time


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Ids from 1, and 0 at the end of each document."""
    path = tmp_path_factory.mktemp("corpus") / "zipf.npy"
    bounds = np.cumsum(1 / np.arange(1, V))
    random = np.random.default_rng(0)
    with path.open("wb") as target:
        for _ in range(0, TOKENS, 1_000_000):
            drawn = random.random(1_000_000, np.float32) * bounds[-1]
            ids = (np.searchsorted(bounds, drawn) + 1).clip(1, V - 1).astype("<u2")
            ids[LENGTH - 1 :: LENGTH] = 0
            ids.tofile(target)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def pivots() -> Any:
    return np.random.default_rng(1).choice(np.arange(1, V), PIVOTS, replace=False)


def batches(file: Path) -> Iterator[tuple[Any, Any]]:
    """Ids, and where documents begin, with the end of the last."""
    with file.open("rb") as source:
        while len(ids := np.fromfile(source, "<u2", BATCH)):
            yield ids, np.concatenate([[0], np.flatnonzero(ids == 0) + 1])


def by_torch(file: Path, weights: Any, dtype: Any) -> Any:
    table, scores = torch.from_numpy(weights).unsqueeze(1), []
    for ids, offsets in batches(file):
        tokens, begins = (torch.from_numpy(array.astype(dtype)) for array in (ids, offsets[:-1]))
        scores.append(torch.nn.functional.embedding_bag(tokens, table, begins, mode="mean")[:, 0].numpy())
    return np.concatenate(scores)


def by_torch_gather(file: Path, weights: Any) -> Any:
    table, scores = torch.from_numpy(weights), []
    for ids, offsets in batches(file):
        lengths = torch.from_numpy(np.diff(offsets))
        taken = table[torch.from_numpy(ids.astype(np.int32))]
        scores.append(torch.segment_reduce(taken, "mean", lengths=lengths).numpy())
    return np.concatenate(scores)


@numba.njit
def sums(ids: Any, offsets: Any, weights: Any) -> Any:
    scores = np.zeros(len(offsets) - 1)
    for document in range(len(scores)):
        total = 0.0
        for place in range(offsets[document], offsets[document + 1]):
            total += weights[ids[place]]
        scores[document] = total / (offsets[document + 1] - offsets[document])
    return scores


@numba.njit
def members(ids: Any, offsets: Any, is_pivot: Any) -> Any:
    scores = np.zeros(len(offsets) - 1)
    for document in range(len(scores)):
        total = 0
        for place in range(offsets[document], offsets[document + 1]):
            total += is_pivot[ids[place]]
        scores[document] = total / (offsets[document + 1] - offsets[document])
    return scores


@numba.njit
def distinct(ids: Any, offsets: Any, is_pivot: Any) -> Any:
    scores, seen = np.zeros(len(offsets) - 1), np.full(len(is_pivot), -1)
    for document in range(len(scores)):
        for place in range(offsets[document], offsets[document + 1]):
            token = ids[place]
            if is_pivot[token] and seen[token] != document:
                seen[token] = document
                scores[document] += 1
    return scores


def by_numba(loop: Any, file: Path, table: Any) -> Any:
    return np.concatenate([loop(ids, offsets, table) for ids, offsets in batches(file)])


@pytest.mark.parametrize("score", ["share", "weighted", "distinct"])
def test_scores(interleaved: Interleaved, benchmark: Any, file: Path, pivots: Any, score: str) -> None:
    benchmark.group = f"document scores, {score}, {TOKENS} tokens"
    is_pivot = np.zeros(V, np.bool_)
    is_pivot[pivots] = True
    given = np.random.default_rng(2).random(V, np.float32) if score == "weighted" else None
    weights = np.where(is_pivot, 1 if given is None else given, 0).astype(np.float32)
    files = TokenFiles(file, vocab_size=V, eos=0)
    loop, table = {"share": (members, is_pivot), "weighted": (sums, weights), "distinct": (distinct, is_pivot)}[score]
    torch_methods = {
        "torch_embedding_bag": lambda: by_torch(file, weights, np.int64),
        "torch_embedding_bag_int32": lambda: by_torch(file, weights, np.int32),
        "torch_gather": lambda: by_torch_gather(file, weights),
    }
    methods = {
        **({} if score == "distinct" else torch_methods),
        "numba": lambda: by_numba(loop, file, table),
        "pivotkit": lambda: score_documents(files, pivots, score=score, weights=given)["score"].to_numpy(),
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        baseline = "numba" if score == "distinct" else "torch_embedding_bag"
        results = interleaved(methods, SECONDS, baseline=baseline)
    finally:
        torch.set_num_threads(threads)
    assert np.allclose(results["pivotkit"], results["numba"], rtol=1e-13)
    for name in results.keys() & torch_methods.keys():
        assert np.allclose(results["pivotkit"], results[name], rtol=1e-4)
    if not benchmark.disabled:
        seconds = benchmark.extra_info["seconds"]["pivotkit"]
        benchmark.extra_info["tokens_per_second"] = TOKENS / seconds

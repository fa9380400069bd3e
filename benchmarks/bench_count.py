"""Counting token ids, against what one would write with Numba, SciPy and PyTorch; every method's answer is checked.

Zipf corpora (token r with probability 1 / r, V 50,304, 500 ids per document, uint16), one core. N tokens, W words, P
pairs. ``PIVOTKIT_BENCH=full`` counts 20 million tokens for contexts (the slow methods only a part of them), 100 million
for df and pairs.
"""

from __future__ import annotations

import os
from typing import Any

import numba
import numpy as np
import pytest
import torch
from conftest import Interleaved
from scipy.sparse import csr_array
from zipf_corpus import LENGTH, V, zipf

from pivotkit import _C
from pivotkit.corpus.matching.token_watchlist import spell

FULL = os.environ.get("PIVOTKIT_BENCH") == "full"
SECONDS = 60.0 if FULL else 1.0
BLOCK = 4096  # documents per call


def blocks(ids: Any, offsets: Any) -> Any:
    for begin in range(0, len(offsets) - 1, BLOCK):
        part = offsets[begin : begin + BLOCK + 1]
        yield ids[part[0] : part[-1]], part - part[0]


def single_tokens(words: int, least: int, seed: int = 1) -> Any:
    """A matcher of ``words`` tokens, drawn from all but the ``least`` most frequent, and the tokens."""
    drawn = np.random.default_rng(seed).choice(np.arange(least, V), words, replace=False)
    return spell([[(int(token),)] for token in drawn], np.zeros(V, np.uint8)), drawn


@numba.njit
def numba_df(ids: Any, offsets: Any, width: int) -> Any:
    counts = np.zeros(width, np.int64)
    seen = np.full(width, -1, np.int64)
    for document in range(len(offsets) - 1):
        for place in range(offsets[document], offsets[document + 1]):
            token = ids[place]
            if seen[token] != document:
                seen[token] = document
                counts[token] += 1
    return counts


def test_token_df(interleaved: Interleaved, benchmark: Any) -> None:
    ids, offsets = zipf(100_000_000 if FULL else 200_000)
    benchmark.group = f"df of every token, N {len(ids)}"
    portion = offsets[: len(offsets) // 20 + 1] if FULL else offsets

    def by_pivotkit() -> Any:
        counter = _C.TokenCounter(V)
        for part in blocks(ids, offsets):
            counter.add(*part)
        return counter.df

    def by_torch() -> Any:
        some = torch.from_numpy(ids[: portion[-1]].astype(np.int64))
        cells = torch.unique(torch.arange(len(some)) // LENGTH * V + some)
        return torch.bincount(cells % V, minlength=V).numpy()

    units = {"pivotkit": len(ids), "numba": len(ids), "torch": int(portion[-1])}
    methods = {"torch": by_torch, "numba": lambda: numba_df(ids, offsets, V), "pivotkit": by_pivotkit}
    found = interleaved(methods, SECONDS, units=units)
    benchmark.extra_info["count"] = {"what": "token df"}
    assert np.array_equal(found["pivotkit"], found["numba"])
    assert np.array_equal(found["torch"], numba_df(ids, portion, V))


@numba.njit
def numba_pairs(ids: Any, offsets: Any, word_of: Any, starts: Any, others: Any, places: Any, total: int) -> Any:
    """Adjacency lists over the words of a document: what an expert would write."""
    counts = np.zeros(total, np.int64)
    seen = np.full(len(starts) - 1, -1, np.int64)
    words = np.zeros(len(ids), np.int32)
    for document in range(len(offsets) - 1):
        size = 0
        for place in range(offsets[document], offsets[document + 1]):
            word = word_of[ids[place]]
            if word >= 0 and seen[word] != document:
                seen[word] = document
                words[size] = word
                size += 1
        for i in range(size):
            for edge in range(starts[words[i]], starts[words[i] + 1]):
                if seen[others[edge]] == document:
                    counts[places[edge]] += 1
    return counts


@pytest.mark.parametrize("least", [1000, 10_000])
def test_pairs(interleaved: Interleaved, benchmark: Any, least: int) -> None:
    """10,000 words without the ``least`` most frequent tokens: 34 or 18 of them per document of 500 ids."""
    ids, offsets = zipf(100_000_000 if FULL else 200_000)
    words = 10_000
    matcher, tokens = single_tokens(words, least)
    word_of = np.full(V, -1, np.int32)
    word_of[tokens] = np.arange(words)
    benchmark.group = f"df of pairs, N {len(ids)}, W {words}, not the {least} most frequent"
    rng = np.random.default_rng(2)
    listed = {
        size: rng.integers(0, words, (size, 2)).astype(np.int32) for size in (10_000, 1_000_000 if FULL else 100_000)
    }

    counters = {
        size: _C.DocumentCounter(words, pairs) for size, pairs in listed.items()
    }  # made once, as in a whole run
    graphs = {}
    for size, pairs in listed.items():
        order = np.argsort(pairs[:, 0], kind="stable")
        graphs[size] = np.searchsorted(pairs[order, 0], np.arange(words + 1)), pairs[order, 1], order

    def by_pivotkit(size: int) -> Any:
        counter = counters[size]
        counter.clear()
        for part in blocks(ids, offsets):
            counter.add(*matcher.match(*part)[:3])
        return counter.pair_df

    def by_numba(size: int) -> Any:
        return numba_pairs(ids, offsets, word_of, *graphs[size], size)

    methods = {f"numba {size}": lambda size=size: by_numba(size) for size in listed}
    methods |= {f"pivotkit {size}": lambda size=size: by_pivotkit(size) for size in listed}
    found = interleaved(methods, SECONDS, baseline=f"numba {max(listed)}", units=dict.fromkeys(methods, len(ids)))
    benchmark.extra_info["count"] = {"what": "pairs", "least": least}
    for size in listed:
        assert np.array_equal(found[f"pivotkit {size}"], found[f"numba {size}"])


@numba.njit
def numba_context(ids: Any, offsets: Any, word_of: Any, words: int, width: int) -> Any:
    """The loop one writes first: a cell of a dense table for each word of a document and each distinct token."""
    table = np.zeros((words, width), np.uint32)
    seen = np.full(width, -1, np.int64)
    distinct = np.zeros(len(ids), np.int64)
    for document in range(len(offsets) - 1):
        size = 0
        for place in range(offsets[document], offsets[document + 1]):
            token = ids[place]
            if seen[token] != document:
                seen[token] = document
                distinct[size] = token
                size += 1
        for i in range(size):
            word = word_of[distinct[i]]
            if word >= 0:
                for j in range(size):
                    table[word, distinct[j]] += 1
    return table


@pytest.mark.filterwarnings("ignore:Sparse")  # torch calls its sparse tensors a beta
def test_context(interleaved: Interleaved, benchmark: Any) -> None:
    """4,000 words of the whole vocabulary: 30 of them per document. Each method ends with its table in memory."""
    ids, offsets = zipf(20_000_000 if FULL else 100_000)
    words = 4000
    matcher, tokens = single_tokens(words, 1)
    word_of = np.full(V, -1, np.int32)
    word_of[tokens] = np.arange(words)
    benchmark.group = f"context table, N {len(ids)}, W {words}, V {V}"
    portion = offsets[: len(offsets) // 10 + 1] if FULL else offsets  # what the slow methods count

    def by_pivotkit() -> Any:
        counter = _C.ContextCounter(words, V, 1 << 26)
        for part in blocks(ids, offsets):
            hit_offsets, hit_words = matcher.match(*part)[:2]
            counter.add(hit_offsets, hit_words, *part)
        return [counter.rows(begin, begin + 50) for begin in range(0, words, 50)]

    def matrices() -> tuple[Any, Any]:
        some = ids[: portion[-1]].astype(np.int64)
        cells = np.unique(np.arange(len(some)) // LENGTH * V + some)
        documents, tokens = np.divmod(cells, V)
        hits = word_of[tokens] >= 0
        return (documents, tokens), (word_of[tokens[hits]], documents[hits])

    def by_scipy() -> Any:
        (documents, tokens), (hit_words, holders) = matrices()
        bags = csr_array((np.ones(len(documents), np.int32), (documents, tokens)), shape=(len(portion) - 1, V))
        return (
            csr_array((np.ones(len(holders), np.int32), (hit_words, holders)), shape=(words, len(portion) - 1)) @ bags
        )

    def by_torch() -> Any:
        (documents, tokens), (hit_words, holders) = matrices()
        bags = torch.sparse_coo_tensor(np.stack([documents, tokens]), torch.ones(len(documents)), (len(portion) - 1, V))
        rows = torch.sparse_coo_tensor(
            np.stack([hit_words.astype(np.int64), holders]), torch.ones(len(holders)), (words, len(portion) - 1)
        )
        return torch.sparse.mm(rows, bags).coalesce()

    some = int(portion[-1])
    methods = {
        "torch": by_torch,
        "scipy": by_scipy,
        "numba": lambda: numba_context(ids, offsets, word_of, words, V),
        "pivotkit": by_pivotkit,
    }
    units = {"torch": some, "scipy": some, "numba": len(ids), "pivotkit": len(ids)}
    found = interleaved(methods, SECONDS, baseline="numba", units=units)
    benchmark.extra_info["count"] = {"what": "context"}
    for begin, (ends, columns, counts) in zip(range(0, words, 50), found["pivotkit"], strict=True):
        rows = csr_array((counts, columns, ends), shape=(50, V))
        assert np.array_equal(rows.toarray(), found["numba"][begin : begin + 50])
    part = numba_context(ids[:some], portion, word_of, words, V)
    assert np.array_equal(found["scipy"].toarray(), part)
    torch_cells = found["torch"].indices()
    assert len(torch_cells[0]) == np.count_nonzero(part)
    assert np.array_equal(part[torch_cells[0], torch_cells[1]], found["torch"].values().numpy().astype(np.uint32))

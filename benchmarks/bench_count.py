"""Counting token ids, against what one would write with Numba, SciPy and PyTorch; every method's answer is checked.

Zipf corpora (token r with probability 1 / r, V 50,304, 500 ids per document, uint16), one core. N tokens, W words, P
pairs. ``PIVOTKIT_BENCH=full`` counts 20 million tokens for contexts (the slow methods only a part of them), 100 million
for df and pairs, and 400 million for workers.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
import torch
from conftest import Interleaved
from scipy.sparse import csr_array

from pivotkit import _C
from pivotkit.corpus import TokenFiles, count
from pivotkit.corpus.matching.token_watchlist import TokenWatchList, spell

FULL = os.environ.get("PIVOTKIT_BENCH") == "full"
SECONDS = 60.0 if FULL else 1.0
V, LENGTH = 50_304, 500
BLOCK = 4096  # documents per call


def zipf(tokens: int, seed: int = 0) -> tuple[Any, Any]:
    """Ids, of which 1 is the most frequent, and the offsets of documents of `LENGTH` ids."""
    bounds = np.cumsum(1 / np.arange(1, V))
    drawn = np.random.default_rng(seed).random(tokens, np.float32) * bounds[-1]
    return (np.searchsorted(bounds, drawn) + 1).clip(1, V - 1).astype(np.uint16), np.arange(
        0, tokens + 1, LENGTH, dtype=np.int64
    )


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


def written(folder: Path, tokens: int) -> TokenFiles:
    """A token file of `zipf`, whose documents end with id 0."""
    ids, offsets = zipf(tokens)
    ids[offsets[1:] - 1] = 0
    ids.tofile(folder / "tokens.npy")
    return TokenFiles(folder / "tokens.npy", vocab_size=V, eos=0)


def watched(words: int, least: int) -> TokenWatchList:
    """Words of a token each, drawn from all but the ``least`` most frequent."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    core = Tokenizer(WordLevel({f"w{token}": token for token in range(V)}, unk_token="w0"))
    drawn = np.random.default_rng(1).choice(np.arange(least, V), words, replace=False)
    return TokenWatchList([f"w{token}" for token in drawn], core)


@pytest.mark.parametrize("pairs", [10_000, 1_000_000 if FULL else 100_000])
@pytest.mark.parametrize("kept", ["all", "df"])
def test_count_end_to_end(interleaved: Interleaved, benchmark: Any, tmp_path: Path, kept: str, pairs: int) -> None:
    """`count` as a user calls it, from a file to a folder, beside its kernels alone on the same blocks in memory.

    "all" keeps postings and the background, "df" neither. A loop of Numba for the df of every token is for orientation.
    """
    words = 10_000
    files, watch = written(tmp_path, 300_000_000 if FULL else 300_000), watched(words, 1)
    listed = np.random.default_rng(2).integers(0, words, (pairs, 2)).astype(np.int32)
    named = [(watch.words[a], watch.words[b]) for a, b in listed.tolist()]
    matcher, counter = watch.matcher(V), _C.DocumentCounter(words, listed)
    held = [(block.ids, block.offsets) for unit in files.work_units() for block in files.blocks(unit)]
    size = sum(len(ids) for ids, _ in held)
    numbers = iter(range(1000))
    benchmark.group = f"count end to end, {kept}, N {size}, W {words}, P {pairs}"

    def kernels() -> Any:
        counter.clear()
        background = _C.TokenCounter(V)
        for part in held:
            counter.add(*matcher.match(*part)[:3])
            if kept == "all":
                background.add(*part)
        return counter.df, counter.pair_df, background.df

    def end_to_end() -> Any:
        options = {} if kept == "all" else {"postings": False, "background": False}
        out = tmp_path / f"out{next(numbers)}"
        counts = count(files, watch, pairs=named, workers=1, out=out, **options)
        return counts.df, counts.pair_df, counts.background

    methods = {"numba df": lambda: [numba_df(*part, V) for part in held], "kernels": kernels, "count": end_to_end}
    found = interleaved(methods, SECONDS, baseline="kernels", units=dict.fromkeys(methods, size))
    benchmark.extra_info["count"] = {"what": "end to end", "kept": kept}
    assert all(np.array_equal(*both) for both in zip(found["kernels"][:2], found["count"][:2], strict=True))
    assert kept == "df" or np.array_equal(found["kernels"][2], found["count"][2])


@pytest.mark.parametrize("tokens", [30_000_000, 300_000_000] if FULL else [300_000])
def test_context_end_to_end(interleaved: Interleaved, benchmark: Any, tmp_path: Path, tokens: int) -> None:
    """The same for a context table of 4,000 words; the kernel ends with its rows in memory, as in `test_context`."""
    words = 4000
    files, watch = written(tmp_path, tokens), watched(words, 1)
    matcher = watch.matcher(V)
    held = [(block.ids, block.offsets) for unit in files.work_units() for block in files.blocks(unit)]
    size = sum(len(ids) for ids, _ in held)
    benchmark.group = f"count with contexts end to end, N {size}, W {words}, V {V}"
    numbers = iter(range(1000))

    def kernels() -> int:
        counter, cells = _C.ContextCounter(words, V, 1 << 27), 0
        for part in held:
            hits, taken = matcher.match(*part), 0
            while (taken := taken + counter.add(*hits[:2], *part, taken)) < len(part[1]) - 1:
                cells += sum(len(counter.rows(begin, begin + 50)[1]) for begin in range(0, words, 50))
                counter.clear()
        return cells + sum(len(counter.rows(begin, begin + 50)[1]) for begin in range(0, words, 50))

    def end_to_end() -> Any:
        out = tmp_path / f"out{next(numbers)}"
        counts = count(files, watch, context=True, workers=1, out=out, memory="2GB")
        total = counts.context.nnz
        shutil.rmtree(out)
        return total

    methods = {"kernels": kernels, "count": end_to_end}
    found = interleaved(methods, SECONDS, baseline="kernels", units=dict.fromkeys(methods, size))
    benchmark.extra_info["count"] = {"what": "context end to end"}
    assert found["count"] <= found["kernels"]  # cells of several blocks come together


def test_workers(interleaved: Interleaved, benchmark: Any, tmp_path: Path) -> None:
    """The whole of `count`, from files to tables, in one process and in two.

    The contexts of 400 frequent words keep it bound by the cores. A table larger than the corpus would make it bound by
    the disk.
    """
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    ids, offsets = zipf(100_000_000 if FULL else 100_000)
    ids[offsets[1:] - 1] = 0  # ends of documents
    with (tmp_path / "tokens.npy").open("wb") as file:
        for _ in range(4):
            ids.tofile(file)
    core = Tokenizer(WordLevel({f"w{token}": token for token in range(V)}, unk_token="w0"))
    watch = TokenWatchList([f"w{token}" for token in range(5, 2005, 5)], core)
    files = TokenFiles(tmp_path / "tokens.npy", vocab_size=V, eos=0)
    benchmark.group = f"count with contexts, N {4 * len(ids)}, one worker and two"
    unit = "100MB" if FULL else "200KB"
    methods = {
        f"{n} workers": lambda n=n: count(files, watch, context=True, unit=unit, workers=n, memory="4GB")
        for n in (1, 2)
    }
    found = interleaved(methods, SECONDS, baseline="1 workers")
    benchmark.extra_info["count"] = {"what": "workers"}
    assert np.array_equal(found["1 workers"].df, found["2 workers"].df)
    assert (found["1 workers"].context != found["2 workers"].context).nnz == 0

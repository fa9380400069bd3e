"""`count` as a user calls it, from a file to a folder, beside its kernels alone on the same blocks in memory.

The Zipf corpora of zipf_corpus.py, one core. N tokens, W words, P pairs. ``PIVOTKIT_BENCH=full`` counts 30 to 400 million
tokens.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_count import numba_df
from conftest import Interleaved
from zipf_corpus import V, watched, written, zipf

from pivotkit import _C
from pivotkit.corpus import Strata, TokenFiles, TokenWatchList, count

FULL = os.environ.get("PIVOTKIT_BENCH") == "full"
SECONDS = 60.0 if FULL else 1.0


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
    unit = "auto" if FULL else "200KB"
    methods = {
        f"{n} workers": lambda n=n: count(files, watch, context=True, unit=unit, workers=n, memory="4GB")
        for n in (1, 2)
    }
    found = interleaved(methods, SECONDS, baseline="1 workers")
    benchmark.extra_info["count"] = {"what": "workers"}
    assert np.array_equal(found["1 workers"].df, found["2 workers"].df)
    assert (found["1 workers"].context != found["2 workers"].context).nnz == 0


@pytest.mark.parametrize("context", [False, True], ids=["words", "contexts"])
def test_strata(interleaved: Interleaved, benchmark: Any, tmp_path: Path, context: bool) -> None:
    """What 24 strata of length add."""
    words = 4000
    files, watch = written(tmp_path, 300_000_000 if FULL else 300_000, (100, 900)), watched(words, 1)
    benchmark.group = f"count by strata, {'contexts' if context else 'words'}, W {words}, V {V}"
    numbers = iter(range(1000))

    def counted(**options: Any) -> Any:
        out = tmp_path / f"out{next(numbers)}"
        counts = count(files, watch, context=context, workers=1, out=out, **options)
        shutil.rmtree(out)
        if counts.strata is not None:
            assert counts.strata.documents.min() > 0
            assert counts.strata.documents.sum() == counts.documents
        return counts.df, counts.background

    strata = Strata(language=False, edges=[*range(128, 872, 32)])
    methods = {"documents": counted, "strata": lambda: counted(strata=strata)}
    found = interleaved(methods, SECONDS, baseline="documents")
    benchmark.extra_info["count"] = {"what": "strata"}
    assert all(np.array_equal(*both) for both in zip(found["documents"], found["strata"], strict=True))

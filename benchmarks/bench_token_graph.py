"""The token graph, against GloVe's published counting design (glove_cooccur.cpp) and code with SciPy or Numba.

Every method writes one sorted result to disk on one thread, and spills and merges where it must. The answers are
compared. Only the public function waits for the disk (fsync). Sizes are small by default, so that a smoke run takes
seconds. ``PIVOTKIT_BENCH=full`` counts 2 and 20 million synthetic tokens and the real corpus in ``../shared``, which
takes minutes to tokenize. It takes up to 5 GB of memory for the dictionary and 4 GB of disk.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from scipy.sparse import csr_array

from pivotkit import _C
from pivotkit.corpus import tokenize
from pivotkit.corpus.token_graph.build import TokenGraph, token_graph

FULL = os.environ.get("PIVOTKIT_BENCH") == "full"
V, WINDOW, DOCUMENT = 50_304, 10, 500
WEIGHTS = (2520 // np.arange(1, WINDOW + 1)).astype(np.int64)
SIZES = {"Zipf 2M": 2_000_000, "Zipf 20M": 20_000_000} if FULL else {"Zipf": 200_000}
CASES = [(name, memory) for name in SIZES for memory in (512, 64)] if FULL else [("Zipf", 512), ("Zipf", 8)]


class Report(ctypes.Structure):
    _fields_ = [(f"{name}_seconds", ctypes.c_double) for name in ("count", "sort", "table", "merge")]
    _fields_ += [(name, ctypes.c_int64) for name in ("files", "spilled_records", "records")]


@pytest.fixture(scope="module")
def glove(tmp_path_factory: pytest.TempPathFactory) -> Any:
    if shutil.which("g++") is None:
        pytest.skip("the baseline is C++: no g++ here")
    built = tmp_path_factory.mktemp("glove") / "glove.so"
    source = Path(__file__).with_name("glove_cooccur.cpp")
    command = ["g++", "-std=c++17", "-O3", "-march=native", "-shared", "-fPIC"]
    subprocess.run([*command, str(source), "-o", str(built)], check=True)
    loaded = ctypes.CDLL(str(built))
    sizes = [ctypes.POINTER(ctypes.c_int64)] * 2
    loaded.glove_default_sizes.argtypes = [ctypes.c_double, *sizes]
    arrays = [np.ctypeslib.ndpointer(dtype, flags="C") for dtype in (np.uint32, np.int64)]
    loaded.glove_cooccur.argtypes = [*arrays, *[ctypes.c_int64] * 5, ctypes.c_char_p, ctypes.POINTER(Report)]
    return loaded


@functools.cache
def zipf(tokens: int) -> tuple[Any, Any]:
    """Ids that are ranks, the order that suits both methods."""
    share = np.cumsum(1 / (np.arange(V) + 2.7))
    ids = np.searchsorted(share, np.random.default_rng(0).random(tokens) * share[-1]).astype(np.uint16)
    return ids, np.append(np.arange(0, tokens, DOCUMENT), tokens).astype(np.int64)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any, int]]:
    """Ids, offsets and vocabulary of the real corpus."""
    if not FULL:
        pytest.skip("the real corpus takes minutes: PIVOTKIT_BENCH=full")
    shared = Path(os.environ.get("PIVOTKIT_SHARED", Path(__file__).parents[2] / "shared"))
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    models = Path(os.environ.get("PIVOTKIT_MODELS", cache / "pivotkit" / "models"))
    if not (shared.is_dir() and (models / "smollm2-135m").is_dir()):
        pytest.skip("real text or tokenizer is absent")
    folder = tmp_path_factory.mktemp("store")
    store = tokenize(sorted((shared / "data" / "corpus").glob("*.jsonl.zst")), models / "smollm2-135m", folder)
    ids = np.concatenate([store.ids(unit) for unit in store.units])
    sizes = np.concatenate([np.diff(store.offsets(unit)) for unit in store.units])
    yield ids.astype(np.uint16), np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), store.vocab_size
    shutil.rmtree(folder)


class Case:
    """One corpus and memory budget: the methods, and a check that they agree."""

    def __init__(self, ids: Any, offsets: Any, vocabulary: int, memory: int, folder: Path, library: Any) -> None:
        self.ids, self.offsets, self.vocabulary, self.memory = ids, offsets, vocabulary, memory
        self.folder, self.library = folder, library
        counts = np.bincount(ids, minlength=vocabulary)
        self.tokens_by_rank = np.argsort(-counts, kind="stable")
        ranks = np.empty(vocabulary, np.uint32)
        ranks[self.tokens_by_rank] = np.arange(vocabulary)
        self.ranked = ranks[ids]
        lengths = np.diff(offsets)
        self.pairs = int(sum(np.maximum(lengths - distance, 0).sum() for distance in range(1, WINDOW + 1)))

    def place(self, name: str) -> Path:
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def pivotkit(self) -> dict[str, Any]:
        folder = self.place("pivotkit")
        counter = _C.TokenGraphCounter(self.vocabulary, WEIGHTS, True, self.memory, str(folder))
        counter.add(self.ids, self.offsets)
        counter.finish(*(str(folder / f"{name}.npy") for name in ("columns", "totals", "offsets")))
        return {**counter.seconds, "runs": counter.runs, "spilled": counter.spilled_bytes}

    def public(self) -> TokenGraph:
        return token_graph(
            [(self.ids, self.offsets)], out=self.place("public"), vocabulary=self.vocabulary, memory=self.memory
        )

    def glove(self, filled: bool = False) -> Report:
        most, buffer, report = ctypes.c_int64(), ctypes.c_int64(), Report()
        self.library.glove_default_sizes(self.memory, most, buffer)
        if filled:  # three quarters for a table of doubles, a quarter for the buffer
            self.library.glove_default_sizes(self.memory * 0.75 / 8 * 16 / 0.85, most, ctypes.c_int64())
            buffer.value = self.memory // 4 // 16
        folder = str(self.place("glove_filled" if filled else "glove")).encode()
        sizes = (len(self.offsets) - 1, self.vocabulary, WINDOW, most.value, buffer.value)
        assert self.library.glove_cooccur(self.ranked, self.offsets, *sizes, folder, report)
        return report

    def scipy(self) -> csr_array:
        """Sums one matrix of coordinates per distance."""
        shape = (self.vocabulary, self.vocabulary)
        total = csr_array(shape, dtype=np.int64)
        owners = np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
        for distance in range(1, WINDOW + 1):
            same = owners[distance:] == owners[:-distance]
            a, b = (part[same].astype(np.int32) for part in (self.ids[distance:], self.ids[:-distance]))
            weights = np.full(len(a), WEIGHTS[distance - 1])
            total = total + csr_array((weights, (np.maximum(a, b), np.minimum(a, b))), shape=shape)
        folder = self.place("scipy")
        np.save(folder / "columns.npy", total.indices)
        np.save(folder / "totals.npy", total.data)
        np.save(folder / "offsets.npy", total.indptr)
        return total

    def numba(self) -> Any:
        keys, totals = sums(self.ids, self.offsets, WEIGHTS, self.vocabulary)
        order = np.argsort(keys)
        folder = self.place("numba")
        np.save(folder / "keys.npy", keys[order])
        np.save(folder / "totals.npy", totals[order])

    def check(self, results: dict[str, Any]) -> None:
        arrays = [np.load(self.folder / "pivotkit" / f"{name}.npy") for name in ("columns", "totals", "offsets")]
        columns, totals, offsets = arrays
        for name, found in zip(("columns", "totals", "offsets"), arrays, strict=True):
            if "pivotkit_public" in results:
                assert np.array_equal(found, getattr(results["pivotkit_public"], name))
        if "scipy" in results:
            total = results["scipy"]
            assert np.array_equal(total.indices, columns)
            assert np.array_equal(total.data, totals)
        keys = np.repeat(np.arange(self.vocabulary), np.diff(offsets)) * self.vocabulary + columns
        if "numba" in results:
            assert np.array_equal(np.load(self.folder / "numba" / "keys.npy"), keys)
            assert np.array_equal(np.load(self.folder / "numba" / "totals.npy"), totals)
        for name in {"glove", "glove_filled"} & results.keys():
            record = np.dtype([("row", "<i4"), ("column", "<i4"), ("value", "<f8")])
            records = np.memmap(self.folder / name / "result", record, "r")
            a, b = (self.tokens_by_rank[records[side] - 1] for side in ("row", "column"))
            assert len(records) == 2 * len(keys) - int((a == b).sum())
            half = np.flatnonzero(a >= b)
            found = a[half] * self.vocabulary + b[half]
            order = np.argsort(found)
            assert np.array_equal(found[order], keys)
            values = records["value"][half] / np.where(
                a[half] == b[half], 2, 1
            )  # it counts a pair of equals from both ends
            assert np.allclose(values[order] * 2520, totals, rtol=1e-9)


@numba.njit
def sums(ids: Any, offsets: Any, weights: Any, vocabulary: int) -> Any:
    """The sum of each pair in a dictionary: keys and totals."""
    table = numba.typed.Dict.empty(numba.int64, numba.int64)
    for document in range(len(offsets) - 1):
        for i in range(offsets[document], offsets[document + 1]):
            for j in range(i + 1, min(i + 1 + len(weights), offsets[document + 1])):
                a, b = np.int64(max(ids[i], ids[j])), np.int64(min(ids[i], ids[j]))
                key = a * vocabulary + b
                table[key] = table.get(key, 0) + weights[j - i - 1]
    keys, totals = np.empty(len(table), np.int64), np.empty(len(table), np.int64)
    for place, (key, total) in enumerate(table.items()):
        keys[place], totals[place] = key, total
    return keys, totals


def compare(benchmark: Any, interleaved: Any, name: str, case: Case, all_of_them: bool) -> None:
    benchmark.group = f"token graph, {name}, {case.memory // 1_000_000} MB"
    methods = {
        "glove": case.glove,
        "glove_filled": lambda: case.glove(filled=True),
        **({"scipy": case.scipy, "numba": case.numba} if all_of_them else {}),
        "pivotkit_public": case.public,
        "pivotkit": case.pivotkit,
    }
    if all_of_them:
        sums(case.ids[:100], np.array([0, 100]), WEIGHTS, case.vocabulary)  # compiles
    results = interleaved(methods, 60, baseline="glove")
    case.check(results)
    glove = {field: getattr(results["glove"], field) for field, _ in Report._fields_}
    benchmark.extra_info |= {
        "case": {"corpus": name, "tokens": len(case.ids), "pairs": case.pairs, "memory": case.memory},
        "phases": results["pivotkit"],
        "glove": glove,
    }
    if not benchmark.disabled:
        median = benchmark.extra_info["seconds"]["pivotkit"]
        benchmark.extra_info["tokens_per_second"] = len(case.ids) / median
        benchmark.extra_info["pairs_per_second"] = case.pairs / median


@pytest.mark.parametrize(("name", "memory"), CASES)
def test_synthetic(benchmark: Any, interleaved: Any, glove: Any, tmp_path: Path, name: str, memory: int) -> None:
    case = Case(*zipf(SIZES[name]), V, memory * 1_000_000, tmp_path, glove)
    compare(benchmark, interleaved, name, case, SIZES[name] <= 2_000_000)


@pytest.mark.parametrize("memory", [512, 64])
def test_real(benchmark: Any, interleaved: Any, glove: Any, tmp_path: Path, real: Any, memory: int) -> None:
    ids, offsets, vocabulary = real
    compare(
        benchmark, interleaved, "real text", Case(ids, offsets, vocabulary, memory * 1_000_000, tmp_path, glove), False
    )

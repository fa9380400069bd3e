"""Selection from scores on disk: 200 languages, a tenth of the tokens, against a sort of all rows in memory.

Scores in Parquet files as `score_documents` writes them, a million documents each or a quarter of all where there are
fewer: shares of pivots with ties, lengths of 100 to 900 tokens, languages by Zipf's law. ``PIVOTKIT_BENCH=full`` selects
10^10 tokens of 10^8 documents, by their scores and with noise, without the sort. ``peak_mib`` is the rise of the process's memory, which is the only one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Interleaved, peak_memory, resident

from pivotkit.selection import select
from pivotkit.selection.scoring.score_folder import ScoreFolder
from pivotkit.selection.scoring.scored_rows import SCHEMA

FULL = os.environ.get("PIVOTKIT_BENCH") == "full"
DOCUMENTS = 100_000_000 if FULL else 1_000_000
LANGUAGES, FILES = 200, 100 if FULL else 4
BUDGET = 100 * DOCUMENTS  # of 500 tokens a document


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("scores")
    random = np.random.default_rng(0)
    size = DOCUMENTS // FILES
    shares = 1 / np.arange(1, LANGUAGES + 1)
    names = pa.array([f"l{number:03}" for number in range(LANGUAGES)])
    writer = ScoreFolder(folder, {}, [f"{number:024x}" for number in range(FILES)])
    for number in range(FILES):
        tokens = random.integers(100, 900, size, np.int32)
        pivots = random.binomial(tokens, random.beta(2, 6, size)).astype(np.int32)
        langs = random.choice(LANGUAGES, size, p=shares / shares.sum())
        rows = pa.array(np.arange(size))
        unit = f"{number:024x}"
        columns = [
            pa.repeat(pa.scalar(unit), size), rows,
            pa.compute.binary_join_element_wise(f"part-{number:03}.jsonl.zst", rows.cast(pa.string()), ":"),
            pa.array(tokens), pa.array(pivots), pa.array(pivots / tokens), names.take(pa.array(langs)),
        ]  # fmt: skip
        writer.write(unit, SCHEMA, [pa.table(columns, schema=SCHEMA)])
    writer.finish()
    yield folder
    for file in folder.iterdir():
        file.unlink()


def quotas() -> dict[str, float]:
    """A share for each language, as large as its share of the documents."""
    shares = 1 / np.arange(1, LANGUAGES + 1)
    return {f"l{number:03}": share for number, share in enumerate((shares / shares.sum()).tolist())}


def sorted_in_memory(folder: Path) -> int:
    """What a user would write: read everything, sort it, and cut each language. Returns the tokens taken."""
    table = pa.concat_tables([pq.read_table(file) for file in sorted(folder.glob("*.parquet"))])
    table = table.sort_by([("lang", "ascending"), ("score", "descending"), ("id", "ascending")])
    langs = np.asarray(table["lang"].combine_chunks().dictionary_encode().indices)
    tokens = table["tokens"].to_numpy().astype(np.int64)
    begins = np.searchsorted(langs, np.arange(LANGUAGES))
    before = np.cumsum(tokens) - tokens
    budgets = np.array(list(quotas().values())) * BUDGET
    taken = table.filter(before - before[begins][langs] < budgets[langs])
    pq.write_table(taken, folder.parent / "sorted.parquet", compression="zstd")
    return int(taken["tokens"].to_numpy().sum())


def by_pivotkit(folder: Path, **options: Any) -> int:
    out = select(folder, budget_tokens=BUDGET, quotas=quotas(), out=folder.parent / "chosen", **options)
    return sum(
        int(pq.read_table(file, columns=["tokens"])["tokens"].to_numpy().sum()) for file in out.glob("*.parquet")
    )


@pytest.mark.skipif(not FULL, reason="a hundred million documents where PIVOTKIT_BENCH=full")
@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_select_at_corpus_size(benchmark: Any, scores: Path, temperature: float) -> None:
    benchmark.group = f"selection, {DOCUMENTS} documents, {LANGUAGES} quotas"
    found, peak = benchmark.pedantic(lambda: peak_memory(lambda: by_pivotkit(scores, temperature=temperature)))
    benchmark.extra_info |= {"peak_mib": {"pivotkit": peak}, "resident_mib": round(resident("VmHWM"))}
    assert 0 <= found - BUDGET < 900 * LANGUAGES


@pytest.mark.skipif(FULL, reason="a million documents where PIVOTKIT_BENCH is not full")
def test_select(interleaved: Interleaved, benchmark: Any, scores: Path) -> None:
    benchmark.group = f"selection, {DOCUMENTS} documents, {LANGUAGES} quotas"
    methods = {"sort": lambda: sorted_in_memory(scores), "pivotkit": lambda: by_pivotkit(scores)}
    results = interleaved(methods, 1.0, baseline="sort")
    assert abs(results["sort"] - results["pivotkit"]) < 900 * LANGUAGES

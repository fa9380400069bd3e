"""Writers of selections end to end, beside reading alone: half of a corpus of text, and half of one of ids.

Text: documents of words by Zipf's law, about 2 kB each, in four files of JSON lines; with a tokenizer of these words for
the formats of ids. Ids: uint16 in documents of 500, as OLMo's files. ``PIVOTKIT_BENCH=full`` takes ten times as much.
``extra_info["rates"]`` has the selected documents, and the MB of their text or ids, in a second of each method.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from conftest import Interleaved
from tokenizers import Tokenizer, models, pre_tokenizers

from pivotkit.corpus import TokenFiles
from pivotkit.corpus.reading.documents import read_documents, work_units
from pivotkit.selection import mix, write_selection

FULL = os.environ.get("PIVOTKIT_BENCH") == "full"
DOCUMENTS = 200_000 if FULL else 4_000  # of text
TOKENS = 100_000_000 if FULL else 2_000_000  # of ids
WORDS, LENGTH, EOS = 5_000, 500, 50_279


def rows_of(units: list[Any], documents: int, ids: list[list[str]] | None) -> pa.Table:
    """A selection of every second document."""
    tables = []
    for number, unit in enumerate(units):
        rows = np.arange(0, documents, 2)
        names = pa.nulls(len(rows), pa.string()) if ids is None else pa.array(ids[number][::2])
        tables.append(pa.table({"unit": [unit.name] * len(rows), "row": rows, "id": names}))
    return pa.concat_tables(tables)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, pa.Table, Tokenizer, int]]:
    """A corpus, a selection, a tokenizer, and the bytes of the selected texts."""
    folder = tmp_path_factory.mktemp("text")
    random = np.random.default_rng(0)
    words = [f"w{number:x}" for number in range(WORDS)]
    size, ids = 0, []
    for part in range(4):
        with (folder / f"{part}.jsonl").open("wb") as file:
            for row in range(DOCUMENTS // 4):
                picked = random.zipf(1.2, 500) % WORDS
                line = {"id": f"{part}-{row}", "text": " ".join(words[word] for word in picked), "lang": "en"}
                size += len(line["text"]) * (row % 2 == 0)
                file.write(orjson.dumps(line) + b"\n")
        ids.append([f"{part}-{row}" for row in range(DOCUMENTS // 4)])
    core = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)} | {"[UNK]": WORDS}, "[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    yield folder, rows_of(work_units(folder), DOCUMENTS // 4, ids), core, size
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TokenFiles, pa.Table]]:
    folder = tmp_path_factory.mktemp("tokens")
    random = np.random.default_rng(0)
    count = TOKENS // 4 // LENGTH
    for part in range(4):
        ids = random.integers(0, EOS, count * LENGTH).astype("<u2")
        ids[LENGTH - 1 :: LENGTH] = EOS
        ids.tofile(folder / f"{part}.npy")
    files = TokenFiles(folder, vocab_size=EOS + 1, eos=EOS)
    yield files, rows_of(files.work_units(), count, None)
    shutil.rmtree(folder)


def rates(benchmark: Any, documents: int, size: int) -> None:
    """Selected documents and MB in a second of each method."""
    if "seconds" in benchmark.extra_info:
        benchmark.extra_info["rates"] = {
            name: {"documents": round(documents / seconds), "MB": round(size / seconds / 1e6, 1)}
            for name, seconds in benchmark.extra_info["seconds"].items()
        }


def test_text(interleaved: Interleaved, benchmark: Any, text: Any, tmp_path: Path) -> None:
    folder, selection, core, size = text
    benchmark.group = f"write text, {len(selection)} of {DOCUMENTS} documents"

    def read() -> int:
        return sum(len(batch) for unit in work_units(folder) for batch in read_documents(unit))

    def written(format: str, **options: Any) -> Callable[[], dict[str, Any]]:
        return lambda: write_selection(selection, folder, tmp_path / format, format=format, **options)

    methods: dict[str, Callable[[], Any]] = {"reading alone": read}
    methods |= {name: written(name) for name in ("jsonl", "jsonl.zst", "parquet", "datasets", "dolma")}
    methods["olmo"] = written("olmo", tokenizer=core, eos=WORDS)
    results = interleaved(methods, 10.0 if FULL else 1.0, baseline="reading alone")
    assert results.pop("reading alone") == DOCUMENTS
    assert all(one["selected"]["documents"] == len(selection) for one in results.values())
    rates(benchmark, len(selection), size)


def test_ids(interleaved: Interleaved, benchmark: Any, tokens: Any, tmp_path: Path) -> None:
    files, selection = tokens
    benchmark.group = f"write ids, {len(selection) * LENGTH} of {TOKENS}"

    def read() -> int:
        return sum(len(block.ids) for unit in files.work_units() for block in files.blocks(unit, tokens=1 << 20))

    def written(format: str, **options: Any) -> Callable[[], dict[str, Any]]:
        out = tmp_path / f"{format}{len(options)}"
        return lambda: write_selection(selection, files, out, format=format, **options)

    methods: dict[str, Callable[[], Any]] = {"reading alone": read}
    methods |= {name: written(name) for name in ("olmo", "megatron", "datatrove")}
    methods["olmo, instances of 4096"] = written("olmo", instance_tokens=4096)
    parts, budget = {"one": files, "other": files}, len(selection) * LENGTH
    methods["mix of two"] = lambda: mix(parts, {"one": 3, "other": 1}, budget, tmp_path / "mixed")
    results = interleaved(methods, 10.0 if FULL else 1.0, baseline="reading alone")
    assert results.pop("reading alone") == TOKENS
    whole = len(selection) * LENGTH
    assert results.pop("olmo, instances of 4096")["selected"]["tokens"] == whole // 4096 * 4096
    assert all(one["selected"]["tokens"] == whole for one in results.values())
    rates(benchmark, len(selection), 2 * whole)

"""Reading and counting a corpus, against what one would write in Python; the texts of every method are checked.

The bar for counting is decompression plus JSON parsing alone: the method ``orjson``, which splits a zstandard stream
into lines and gives each to ``orjson.loads``. ``inflate`` only decompresses, so nothing that reads the file can be
faster.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute
import pyarrow.json
import pytest
import zstandard

from pivotkit.corpus import WatchList, count, read_documents, read_texts

FULL = os.environ.get("PIVOTKIT_BENCH") == "full"
SECONDS = 20 if FULL else 1
READ = 1 << 20
SHARED = Path(os.environ.get("PIVOTKIT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
REAL = sorted((SHARED / "data" / "corpus").glob("*.jsonl.zst"))
LANGUAGES = ("de", "en", "es", "fr", "ja", "zh")


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of all lengths: words drawn by Zipf's law, with line breaks, quotes and some accents."""
    rng = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdluéç"))
    words = ["".join(rng.choice(letters, rng.integers(2, 10))) for _ in range(20_000)] + ['"so"', "\n", "\n\n"] * 30
    path = tmp_path_factory.mktemp("bench") / "made-up.jsonl.zst"
    with path.open("wb") as file, zstandard.ZstdCompressor(3).stream_writer(file) as stream:
        for number in range(20_000 if FULL else 1000):
            text = " ".join(words[place] for place in rng.zipf(1.2, rng.integers(20, 600)) % len(words))
            stream.write(orjson.dumps({"id": f"made-up/{number}", "text": text, "lang": "fr"}) + b"\n")
    return path


def chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        while chunk := stream.read(READ):
            yield chunk


def lines(path: Path) -> Iterator[list[bytes]]:
    rest = b""
    for chunk in chunks(path):
        *whole, rest = (rest + chunk).split(b"\n")
        yield whole
    yield [rest] if rest else []


def by_loads(path: Path, loads: Callable[[bytes], Any]) -> int:
    return sum(len(loads(line)["text"]) for part in lines(path) for line in part)


def by_pyarrow(path: Path) -> int:
    with zstandard.open(path, "rb") as stream:
        options = pa.json.ReadOptions(use_threads=False, block_size=4 * READ)
        schema = pa.schema([("id", pa.string()), ("text", pa.string()), ("lang", pa.string())])
        parse = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
        table = pa.json.read_json(io.BufferedReader(stream), options, parse)  # type: ignore[arg-type]
    return pa.compute.sum(pa.compute.utf8_length(table["text"])).as_py()


def characters(data: np.ndarray) -> int:
    return int(np.count_nonzero((data & 0xC0) != 0x80))


def run(path: Path, interleaved: Any, benchmark: Any) -> None:
    raw = sum(map(len, chunks(path)))
    benchmark.group = f"{path.name}: {raw / 1e6:.0f} MB of JSON lines"
    methods = {
        "inflate": lambda: sum(map(len, chunks(path))),
        "orjson": lambda: by_loads(path, orjson.loads),
        "json": lambda: by_loads(path, json.loads),
        "pyarrow": lambda: by_pyarrow(path),
        "pivotkit strings": lambda: sum(len(text) for batch in read_documents(path) for text in batch.texts),
        "pivotkit": lambda: sum(len(block.data) for block in read_texts(path)),
    }
    found = interleaved(methods, SECONDS, baseline="orjson")
    assert found["inflate"] == raw
    assert found["orjson"] == found["json"] == found["pyarrow"] == found["pivotkit strings"]
    assert found["orjson"] == sum(characters(block.data) for block in read_texts(path))
    if not benchmark.disabled:
        benchmark.extra_info["megabytes"] = raw / 1e6


def test_made_up(made_up: Path, interleaved: Any, benchmark: Any) -> None:
    run(made_up, interleaved, benchmark)


@pytest.mark.parametrize("path", REAL if FULL else REAL[:1], ids=lambda path: path.name)
def test_real(path: Path, interleaved: Any, benchmark: Any) -> None:
    run(path, interleaved, benchmark)


@pytest.mark.parametrize("language", [*LANGUAGES, "all"] if FULL else ["es"])
def test_text_end_to_end(language: str, interleaved: Any, benchmark: Any) -> None:
    """The whole of `count`, from files to counts; and its parts: reading alone, reading and matching."""
    lexicon = SHARED / "data" / "lexicon" / "concrete_nouns.tsv"
    if not lexicon.exists() or not REAL:
        pytest.skip("the corpus and its lexicon are absent: no ../shared/data")
    with lexicon.open(encoding="utf-8", newline="") as file:
        watch = WatchList(
            [row[code] for row in csv.DictReader(file, delimiter="\t") for code in LANGUAGES if row[code]]
        )
    paths = [path for path in REAL if language in ("all", path.name.split(".")[0])]
    benchmark.group = f"count of {len(watch)} words in {language}"
    matcher = watch.matcher()
    methods = {
        "inflate": lambda: sum(len(chunk) for path in paths for chunk in chunks(path)),
        "orjson": lambda: sum("text" in orjson.loads(line) for path in paths for part in lines(path) for line in part),
        "read": lambda: sum(len(block) for path in paths for block in read_texts(path)),
        "match": lambda: sum(
            len(matcher.match(block.data, block.offsets)[0]) - 1 for path in paths for block in read_texts(path)
        ),
        "pivotkit": lambda: count(paths, watch, workers=1).documents,
    }
    found = interleaved(methods, SECONDS, baseline="orjson")
    assert found["orjson"] == found["read"] == found["match"] == found["pivotkit"]
    if not benchmark.disabled:
        benchmark.extra_info["megabytes"] = found["inflate"] / 1e6

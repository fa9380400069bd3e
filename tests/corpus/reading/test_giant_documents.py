"""A document that is larger than the budget is refused with the number that it needs; the budget holds for all others."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from token_formats import write_datatrove, write_megatron
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from pivotkit.corpus import TokenFiles, TokenWatchList, count
from pivotkit.corpus.reading.budget import BESIDE_BYTES, DocumentBudget, normalized_bytes
from pivotkit.corpus.reading.documents import read_texts
from pivotkit.corpus.reading.largest import largest_piece
from pivotkit.corpus.reading.scope import Scope
from pivotkit.corpus.reading.units import Unit

MB = 10**6
WORDS = "il file di prova che non finisce mai "
TEXTS = {"ascii": WORDS, "accents": "été naïve señor ", "han": "模型 学习 il ", "long": "ﷺ il ", "fractions": "ab²c ¼ "}


def text_of(kind: str, size: int) -> str:
    part = TEXTS[kind]
    return (part * (size // len(part.encode()) + 1)).encode()[:size].decode("utf-8", "ignore")


def written(folder: Path, suffix: str, text: str) -> Path:
    """A file of three documents, of which ``text`` is the second."""
    texts = ["il primo", text, "di terzo"]
    lines = "".join(json.dumps({"text": one}, ensure_ascii=False) + "\n" for one in texts).encode()
    path = folder / f"a.{suffix}"
    if suffix == "txt":
        path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    elif suffix == "escaped.jsonl":
        path.write_bytes(lines.replace(b"i", b"\\u0069"))
    elif suffix == "parquet":
        pq.write_table(pa.table({"text": texts}), path)
    elif suffix == "arrow":
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, pa.schema([("text", pa.string())])) as stream:
            stream.write_table(pa.table({"text": texts}))
    else:
        path.write_bytes({"jsonl": bytes, "jsonl.gz": gzip.compress, "jsonl.zst": zstandard.compress}[suffix](lines))
    return path


SUFFIXES = ["jsonl", "escaped.jsonl", "txt", "jsonl.gz", "jsonl.zst", "parquet", "arrow"]
ROOM = 2 * MB


def budget(room: int = ROOM, processes: int = 2) -> DocumentBudget:
    return DocumentBudget((room + BESIDE_BYTES) * processes, processes, BESIDE_BYTES)


@pytest.mark.parametrize("skip", ["raise", "skip"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_does_not_fit_is_refused_with_a_budget_that_suffices(suffix: str, skip: str, tmp_path: Path) -> None:
    path = written(tmp_path, suffix, text_of("ascii", 3 * MB))
    with pytest.raises(
        ValueError, match=r"count: memory must be at least \d+ bytes \(option memory\) for a "
    ) as caught:
        list(read_texts(path, skip, budget()))
    assert path.name in str(caught.value)
    assert suffix in ("parquet", "arrow") or "line 2" in str(caught.value)
    needed = int(re.findall(r"at least (\d+) bytes", str(caught.value))[0])
    enough = DocumentBudget(needed, 2, BESIDE_BYTES)
    assert sum(map(len, read_texts(path, skip, enough))) == 3
    with pytest.raises(ValueError, match="memory must be at least"):
        list(read_texts(path, skip, DocumentBudget(needed - 4 * MB, 2, BESIDE_BYTES)))  # lines come in reads of 256 KiB


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_fits_is_read(suffix: str, tmp_path: Path) -> None:
    path = written(tmp_path, suffix, text_of("ascii", MB // 20))
    assert sum(map(len, read_texts(path, "raise", budget()))) == 3


@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_that_grows_when_it_is_normalized_needs_more(kind: str) -> None:
    text = memoryview(text_of(kind, MB).encode())
    grown = normalized_bytes(text)
    assert len(text) <= grown <= 11 * len(text)
    assert (grown > 1.1 * len(text)) == (kind in ("long", "fractions"))
    needed = 2 * len(text) + 3 * grown
    budget(needed).check_text(Path("a"), "line 1", text, 2)
    with pytest.raises(ValueError, match=f"for a document of {len(text)} bytes in a, line 1"):
        budget(needed - 1).check_text(Path("a"), "line 1", text, 2)


@pytest.mark.parametrize("options", [{}, {"data_page_version": "2.0"}, {"use_dictionary": False}, {"compression": "zstd"}, {"write_page_checksum": True}, {"data_page_size": 100}])  # fmt: skip
def test_the_largest_page_is_found_in_headers(options: Any, tmp_path: Path) -> None:
    texts = [f"{place} {WORDS}" for place in range(2000)]
    texts[1234] = text_of("ascii", 3 * MB)
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"id": [str(place) for place in range(2000)], "text": texts}), path, row_group_size=700, **options
    )
    assert 3 * MB <= largest_piece(Unit.of(path), 1000) <= 4 * MB
    texts[1234] = ""
    pq.write_table(pa.table({"text": texts}), path, **options)
    assert 0 < largest_piece(Unit.of(path), 1000) < MB


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
@pytest.mark.parametrize("raw", [b"", b"PAR1", b"PAR1" * 9, b"\xff" * 64, b"ARROW1\0\0" * 4])
def test_a_broken_file_is_left_to_its_reader(name: str, raw: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(raw)
    assert largest_piece(Unit.of(tmp_path / name), 10) == 0


PEAK = """
import sys, threading, time
from pathlib import Path
from pivotkit.corpus import count

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

base, peak, stop = resident(), 0, False

def watch():
    global peak
    while not stop:
        peak = max(peak, resident())
        time.sleep(0.002)

thread = threading.Thread(target=watch)
thread.start()
try:
    print(count(sys.argv[1], ["il", "di"], memory="300MB", workers=1).documents)
except ValueError as error:
    print(error)
stop = True
thread.join()
print(peak - base)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of the process from /proc")
@pytest.mark.parametrize(
    ("suffix", "kind", "size", "counted"),
    [
        ("jsonl", "ascii", 38 * MB, True), ("jsonl.zst", "ascii", 80 * MB, False), ("txt", "long", 30 * MB, False),
        ("parquet", "ascii", 27 * MB, True), ("parquet", "ascii", 80 * MB, False), ("arrow", "ascii", 38 * MB, True),
        ("arrow", "fractions", 80 * MB, False), ("jsonl", "fractions", 33 * MB, True), ("txt", "long", 6 * MB, True),
    ],
)  # fmt: skip
def test_the_budget_holds_whatever_comes(suffix: str, kind: str, size: int, counted: bool, tmp_path: Path) -> None:
    path = written(tmp_path, suffix, text_of(kind, size))
    done = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True)
    told, peak = done.stdout.splitlines()
    assert int(peak) < 300 * MB
    assert told == "3" if counted else "count: memory must be at least" in told


TOKENS = 3_000_000


def token_file(folder: Path, name: str, tokens: int) -> TokenFiles:
    """Three documents, of which the second has ``tokens`` ids, in one of the formats."""
    if name == "olmo":
        ids = np.full(tokens + 5, 7, np.uint16)
        ids[[2, tokens + 2, tokens + 4]] = 1
        ids.tofile(folder / "a.npy")
        return TokenFiles(folder / "a.npy", vocab_size=50, eos=1)
    texts = [[7] * size for size in (3, tokens, 2)]
    if name == "megatron":
        return TokenFiles(write_megatron(folder / "a.bin", [[text] for text in texts]), format=name, vocab_size=50)
    return TokenFiles(write_datatrove(folder / "a.ds", texts), format=name, vocab_size=50)


@pytest.mark.parametrize("kind", ["document", "window:2", "instance"])
@pytest.mark.parametrize("name", ["olmo", "megatron", "datatrove"])
def test_token_ids_that_do_not_fit_are_refused_with_a_budget_that_suffices(
    name: str, kind: str, tmp_path: Path
) -> None:
    files = token_file(tmp_path, name, TOKENS)
    scope = Scope.parse(f"instance:{TOKENS}" if kind == "instance" else kind, "count")
    unit = files.work_units(scope=scope)[0]

    def rows(memory: int) -> int:
        room = DocumentBudget(memory, 2, BESIDE_BYTES, scope.kind == "window")
        return sum(len(block.offsets) - 1 for block in files.blocks(unit, scope, budget=room))

    with pytest.raises(
        ValueError, match=r"count: memory must be at least \d+ bytes \(option memory\) for a "
    ) as caught:
        rows(2 * (BESIDE_BYTES + 12 * MB))
    assert f"for a document of {2 * TOKENS} bytes in {files.paths()[0]}, token {0 if kind == 'instance' else 3}" in str(
        caught.value
    )
    needed = int(re.findall(r"at least (\d+) bytes", str(caught.value))[0])
    assert rows(needed) == (1 if kind == "instance" else 3)
    with pytest.raises(ValueError, match="memory must be at least"):
        rows(needed - 2)


def test_the_number_suffices_where_a_context_table_takes_its_half(tmp_path: Path) -> None:
    files = token_file(tmp_path, "olmo", 8 * TOKENS)
    tokenizer = Tokenizer(BPE({"i": 2, "l": 7}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(False), decoders.ByteLevel()
    watch = TokenWatchList(["i"], tokenizer)
    with pytest.raises(ValueError, match="for a document of") as caught:
        count(files, watch, memory="310MB", workers=1, context=True)
    needed = int(re.findall(r"at least (\d+) bytes", str(caught.value))[0])
    assert count(files, watch, memory=needed, workers=1, context=True).documents == 3
    with pytest.raises(ValueError, match=f"at least {needed} bytes"):
        count(files, watch, memory=needed - 4, workers=1, context=True)


TOKEN_PEAK = PEAK.replace(
    'count(sys.argv[1], ["il", "di"], memory="300MB", workers=1)',
    "count(TokenFiles(sys.argv[1], vocab_size=50, eos=1), "
    "TokenWatchList(['il', 'di'], Tokenizer.from_str(sys.argv[3])), memory='300MB', workers=1, scope=sys.argv[2])",
).replace(
    "from pivotkit.corpus import count",
    "from tokenizers import Tokenizer\nfrom pivotkit.corpus import TokenFiles, TokenWatchList, count",
)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of the process from /proc")
@pytest.mark.parametrize(
    ("scope", "tokens", "counted"),
    [
        ("document", 12 * MB, True),
        ("window:3", 3 * MB, True),
        ("line", 3 * MB, True),
        ("document", 80 * MB, False),
        ("window:3", 40 * MB, False),
        ("sentence", 40 * MB, False),
    ],
)
def test_the_budget_holds_for_token_ids(scope: str, tokens: int, counted: bool, tmp_path: Path) -> None:
    """Every id of the giant is a word that is watched, and a line of its own."""
    pieces = {"i": 2, "l": 3, "Ġ": 4, "d": 5, "il": 6, "Ċil" if scope == "line" else "Ġil": 7}
    tokenizer = Tokenizer(BPE(pieces, [("i", "l")]))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(False), decoders.ByteLevel()
    path = token_file(tmp_path, "olmo", tokens).paths()[0]
    done = subprocess.run(
        [sys.executable, "-c", TOKEN_PEAK, str(path), scope, tokenizer.to_str()],
        capture_output=True,
        text=True,
        check=True,
    )
    told, peak = done.stdout.splitlines()
    assert int(peak) < 300 * MB
    documents = str(tokens + 2 if scope == "line" else 3)
    assert told == documents if counted else "count: memory must be at least" in told


def test_a_budget_for_more_processes_leaves_less_to_each(tmp_path: Path) -> None:
    path = written(tmp_path, "jsonl", text_of("ascii", 45 * MB))
    with pytest.raises(ValueError, match=r"a\.jsonl, line 2"):
        count(path, ["il"], memory="300MB", workers=1)
    assert count(path, ["il"], memory="350MB", workers=1).documents == 3

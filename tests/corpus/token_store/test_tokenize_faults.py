"""Runs of `tokenize` that are stopped anywhere: the store in the end is the one of a run that was not."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from corpus_formats import write
from tokenizers import Tokenizer

from pivotkit.corpus import Unit, tokenize
from pivotkit.corpus.token_store import encode, parts, writer
from pivotkit.corpus.token_store.writer import UnitWriter, begun_folder
from pivotkit.errors import CorpusError

PART_BYTES, PIECE_BYTES = 700, 2000
DOCUMENTS = [{"text": " ".join(["the cat", "a dog", "le chat"][i % 3 :] * (i % 9)) or "."} for i in range(400)]

# Tokenizes in a process that is killed at its n-th open, rename, removal or folder below the store.
KILLED = f"""
import os, signal, sys
from pivotkit.corpus import tokenize
from pivotkit.corpus.token_store import parts, writer

parts.PART_BYTES, writer.PIECE_BYTES = {PART_BYTES}, {PIECE_BYTES}
corpus, tokenizer, out, left = *sys.argv[1:4], int(sys.argv[4])
events = 0

def count(event, arguments):
    global events
    if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir") and out in str(arguments[0]):
        events += 1
        if events == left:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
tokenize(corpus, tokenizer, out)
print(events)
"""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", PART_BYTES)
    monkeypatch.setattr(writer, "PIECE_BYTES", PIECE_BYTES)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "corpus").mkdir()
    for kind in ("jsonl", "txt.zst"):
        write(tmp_path / "corpus", kind, DOCUMENTS)
    return tmp_path / "corpus"


@pytest.fixture
def saved(tmp_path: Path, tokenizer: Tokenizer) -> Path:
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def digests(store: Path) -> dict[str, str]:
    """Every file below ``store``, and what it holds."""
    files = (path for path in store.rglob("*") if path.is_file())
    return {str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def start(*arguments: Any) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", KILLED, *map(str, arguments)], stdout=pipe, stderr=pipe, text=True)


def test_a_run_that_is_killed_again_and_again_writes_the_same_store(corpus: Path, saved: Path, tmp_path: Path) -> None:
    whole, _ = (run := start(corpus, saved, tmp_path / "whole", 0)).communicate()
    assert run.returncode == 0
    rng, events, out = random.Random(7), int(whole), tmp_path / "killed"
    assert events > 60
    for left in [events - 3, *(rng.randrange(10, events // 3) for _ in range(3))]:
        _, said = (run := start(corpus, saved, out, left)).communicate()
        assert run.returncode in (-9, 0), said
    tokenize(corpus, saved, out)
    assert digests(out) == digests(tmp_path / "whole")


def test_two_runs_at_once_write_one_store(corpus: Path, saved: Path, tmp_path: Path) -> None:
    runs = [start(corpus, saved, tmp_path / "out", 0) for _ in range(2)]
    assert [(run.communicate(), run.returncode)[1] for run in runs] == [0, 0]
    tokenize(corpus, saved, tmp_path / "whole")
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


def stopped(corpus: Path, saved: Path, out: Path, name: str, calls: int) -> Unit:
    """Stop a run of `tokenize` before the call number ``calls`` of a function of `writer`; the unit that it was at."""
    real, units = getattr(writer, name), []

    def stop(*arguments: Any) -> Any:
        units.append(arguments)
        if len(units) == calls:
            raise KeyboardInterrupt
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, name, stop)
        with pytest.raises(KeyboardInterrupt):
            tokenize(corpus, saved, out)
    (begun,) = (out / "units").glob(f".*{writer.BEGUN}")
    return next(unit for path in corpus.iterdir() if begun_folder(out, unit := Unit.of(path)) == begun)


def documents_encoded(monkeypatch: pytest.MonkeyPatch, corpus: Path, saved: Path, out: Path) -> int:
    """Finish a store; how many documents that took."""
    real, sizes = encode._encode, []
    monkeypatch.setattr(encode, "_encode", lambda core, texts: (sizes.append(len(texts)), real(core, texts))[1])
    tokenize(corpus, saved, out)
    return sum(sizes)


@pytest.mark.parametrize(
    ("name", "calls"), [("write_table", 3), ("write_table", 5), ("write_parts", 1), ("file_digest", 1)]
)
def test_what_was_done_of_a_file_is_not_done_again(
    corpus: Path, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, calls: int
) -> None:
    unit = stopped(corpus, saved, tmp_path / "out", name, calls)
    begun = UnitWriter(tmp_path / "out", unit)
    begun.close()
    assert 0 < begun.documents < 400
    assert documents_encoded(monkeypatch, corpus, saved, tmp_path / "out") == 800 - begun.documents
    tokenize(corpus, saved, tmp_path / "whole")
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("file", ["ids", "0.parquet", "1.parquet"])
@pytest.mark.parametrize("damage", ["bit", "end", "absence"])
def test_what_was_damaged_since_is_done_again(
    corpus: Path, saved: Path, tmp_path: Path, file: str, damage: str, seed: int
) -> None:
    unit = stopped(corpus, saved, tmp_path / "out", "write_table", 4)
    path = begun_folder(tmp_path / "out", unit) / file
    raw = bytearray(path.read_bytes())
    place = random.Random(seed).randrange(len(raw))
    if damage == "bit":
        raw[place] ^= 1 << seed
    path.write_bytes(raw[:place] if damage == "end" else raw)
    if damage == "absence":
        path.unlink()
    tokenize(corpus, saved, tmp_path / "out")
    tokenize(corpus, saved, tmp_path / "whole")
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


def test_parts_of_another_size_go_on_too(
    corpus: Path, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(corpus, saved, tmp_path / "out", "write_table", 4)
    monkeypatch.setattr(parts, "PART_BYTES", 1111)
    store = tokenize(corpus, saved, tmp_path / "out")
    whole = tokenize(corpus, saved, tmp_path / "whole")
    for unit in whole.units:
        assert store.ids(unit).tolist() == whole.ids(unit).tolist()
        assert store.table(unit) == whole.table(unit)


def test_what_was_begun_of_a_file_that_changed_is_removed(corpus: Path, saved: Path, tmp_path: Path) -> None:
    unit = stopped(corpus, saved, tmp_path / "out", "write_table", 4)
    write(corpus, "jsonl", DOCUMENTS[:50])
    assert Unit.of(unit.path) != unit
    tokenize(corpus, saved, tmp_path / "out")
    assert not list((tmp_path / "out" / "units").glob(".*"))


def test_an_error_in_a_file_comes_after_the_files_before_it(corpus: Path, saved: Path, tmp_path: Path) -> None:
    with (corpus / "z.jsonl").open("w") as file:
        file.write("{\n")
    with pytest.raises(CorpusError, match=r"z\.jsonl.*line 1"):
        tokenize(corpus, saved, tmp_path / "out")
    assert len(list((tmp_path / "out" / "units").glob("*.u32"))) == 2
    assert not list((tmp_path / "out" / "units").glob(".*"))

"""Tables that are killed, damaged or out of date: finished as if nothing had been, or refused by the file's name."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pivotkit.corpus.languages import LanguageTable, document_languages
from pivotkit.corpus.languages.language_part import LanguagePart
from pivotkit.errors import CorpusError, InputError

MAKE = """
import importlib, sys
door = importlib.import_module("pivotkit.corpus.languages.document_languages")

if __name__ == "__main__":
    door.UNIT_BYTES = 2000
    print("begun", flush=True)
    door.document_languages(sys.argv[1], languages=sys.argv[2], out=sys.argv[3], workers=int(sys.argv[4]))
"""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in "ab":
        lines = [json.dumps({"text": f"word {n}" * 5, "lang": ["en", "fr", "en+fr"][n % 3]}) for n in range(1000)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


@pytest.mark.parametrize("workers", [1, 2])
def test_kills_at_random_moments_lose_and_repeat_nothing(corpus: Path, tmp_path: Path, workers: int) -> None:
    def command(out: str) -> list[str]:
        return [sys.executable, "-c", MAKE, str(corpus), "field", str(tmp_path / out), str(workers)]

    subprocess.run(command("whole"), check=True, capture_output=True)
    rng = random.Random(workers)
    for kill in range(5):
        process = subprocess.Popen(command("out"), stdout=subprocess.PIPE, start_new_session=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.2 * workers * (kill + 1)))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    subprocess.run(command("out"), check=True, capture_output=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_what_is_done_is_not_read_again(corpus: Path, tmp_path: Path, monkeypatch: Any) -> None:
    from pivotkit.corpus.languages.unit_languages import UnitLanguages

    document_languages(corpus, languages="field", out=tmp_path / "out", workers=1)
    before = contents(tmp_path / "out")
    read = []
    real = UnitLanguages.of
    monkeypatch.setattr(UnitLanguages, "of", lambda self, unit: read.append(unit.path.name) or real(self, unit))
    document_languages(corpus, languages="field", out=tmp_path / "out", workers=1)
    assert read == []
    part = next((tmp_path / "out").glob("*.parquet"))
    for raw in (before[part.name][:-9], before[part.name].replace(b"PAR1", b"PAR0"), b""):
        part.write_bytes(raw)
        document_languages(corpus, languages="field", out=tmp_path / "out", workers=1)
        assert len(read) == 1
        assert contents(tmp_path / "out") == before
        read.clear()
    (corpus / "b.jsonl").write_text('{"text": "un", "lang": "fr"}\n')
    table = document_languages(corpus, languages="field", out=tmp_path / "out", workers=1)
    assert read == ["b.jsonl"]
    assert table.documents == 1001
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 2


@pytest.mark.parametrize("damage", ["short", "flipped", "gone", "other"])
def test_a_damaged_part_is_refused_by_its_name(corpus: Path, tmp_path: Path, damage: str) -> None:
    out = tmp_path / "out"
    table = document_languages(corpus, languages="field", out=out, workers=1)
    part = out / f"{table.units[0].name}.parquet"
    raw = bytearray(part.read_bytes())
    if damage == "short":
        part.write_bytes(raw[: len(raw) // 2])
    elif damage == "flipped":
        raw[len(raw) // 8] ^= 1
        part.write_bytes(raw)
    elif damage == "gone":
        part.unlink()
    else:  # whole, but of other languages
        (corpus / "a.jsonl").write_text('{"text": "un", "lang": "fr"}\n')
        other = document_languages(corpus / "a.jsonl", languages="field", workers=1)
        LanguagePart.read(part)
        other._part(0).write(part, "other")

    def read() -> None:
        LanguageTable.open(out).of_unit(table.units[0])

    with pytest.raises(InputError) as refusal:
        read()
    assert refusal.value.path == str(part)
    with pytest.raises((InputError, OSError), match=part.name):
        table.of_unit(table.units[0])


def test_a_damaged_index_is_refused(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    document_languages(corpus, languages="field", out=out, workers=1)
    index = out / "languages.json"
    whole = index.read_text()
    for text in (
        whole[:-20],
        "{}",
        whole.replace('"characters"', '"tokens"'),
        whole.replace('"format": 1', '"format": 2'),
    ):
        index.write_text(text)
        with pytest.raises(InputError) as refusal:
            LanguageTable.open(out)
        assert refusal.value.path == str(index)
    index.unlink()
    with pytest.raises(InputError, match=r"must be a finished table of languages; found no languages\.json"):
        LanguageTable.open(out)


def test_a_changed_file_is_refused_by_its_name(corpus: Path, tmp_path: Path) -> None:
    table = document_languages(corpus, languages="field", out=tmp_path / "out", workers=1)
    path = (corpus / "a.jsonl").resolve()
    os.utime(path, (1, 1))
    for opened in (table, LanguageTable.open(tmp_path / "out")):
        with pytest.raises(
            InputError, match=f"must hold every file of the corpus as it is now; {path} has changed since"
        ):
            opened.of_file(path)
        assert len(opened.of_file(corpus / "b.jsonl")) == 1000
    (corpus / "c.jsonl").write_text("")
    with pytest.raises(InputError, match=r"c\.jsonl is not in it"):
        table.of_file(corpus / "c.jsonl")


def test_a_file_that_changes_while_it_is_read_is_refused(corpus: Path, tmp_path: Path) -> None:
    def change(text: str) -> str:
        with (corpus / "a.jsonl").open("a") as file:
            file.write("\n")
        return "en"

    with pytest.raises(CorpusError, match=r"a\.jsonl: must stay as it was when the run began"):
        document_languages(corpus, languages=change, out=tmp_path / "out")
    with pytest.raises(InputError, match=r"found no languages\.json"):
        LanguageTable.open(tmp_path / "out")


def test_a_full_disk_leaves_no_part(corpus: Path, tmp_path: Path, monkeypatch: Any) -> None:
    import pyarrow.parquet as pq

    def full(table: Any, path: Any, **arguments: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", full)
        with pytest.raises(OSError, match="No space left on device"):
            document_languages(corpus, languages="field", out=tmp_path / "out", workers=1)
    assert not list((tmp_path / "out").glob("*.parquet"))
    assert not list((tmp_path / "out").glob(".*.part"))
    assert document_languages(corpus, languages="field", out=tmp_path / "out", workers=1).documents == 2000

"""Kills, damaged parts, full disks and changing files: the same rows after the same call, or a refusal by name."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from guard_oracle import made_texts

from pivotkit.artifacts import table_metadata
from pivotkit.errors import CorpusError
from pivotkit.selection import filter_documents
from pivotkit.selection.guard import unit_guard

SCRIPT = """
import sys
from pathlib import Path
from pivotkit.selection import filter_documents
if __name__ == "__main__":
    filter_documents(sorted(Path(sys.argv[1]).glob("*.jsonl")), quality=("gopher",), workers=int(sys.argv[3]), out=sys.argv[2])
"""


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "corpus").mkdir()
    for number in range(6):
        texts = made_texts(number % 3, 5, 3, "abcdefghij", " ")
        lines = (json.dumps({"id": f"{number}.{row}", "text": text}) for row, text in enumerate(texts))
        (tmp_path / "corpus" / f"{number}.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path / "corpus"


def files(corpus):
    return sorted(corpus.glob("*.jsonl"))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_call_goes_on_and_ends_with_the_same_bytes(corpus, tmp_path, workers):
    (tmp_path / "call.py").write_text(SCRIPT)
    whole = filter_documents(files(corpus), quality=("gopher",), workers=1, out=tmp_path / "whole")
    assert whole.num_rows > 20
    command = [sys.executable, str(tmp_path / "call.py"), str(corpus), str(tmp_path / "out"), str(workers)]
    draw = random.Random(workers)
    for kills in range(2):
        running = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        enough = time.monotonic() + 60
        parts = tmp_path / "out" / "units"
        while running.poll() is None and time.monotonic() < enough:
            if parts.is_dir() and len(list(parts.glob("*.parquet"))) > kills:
                break
            time.sleep(0.01)
        time.sleep(draw.random() * 0.05)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    subprocess.run(command, check=True, capture_output=True)
    one, other = ((tmp_path / folder / "dropped.parquet").read_bytes() for folder in ("whole", "out"))
    assert one == other
    assert not list((tmp_path / "out").rglob("*.part")) or workers == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_part_is_made_again(corpus, tmp_path, damage):
    first = filter_documents(files(corpus), quality=(), workers=1, out=tmp_path / "out")
    part = sorted((tmp_path / "out" / "units").glob("*.parquet"))[2]
    raw = bytearray(part.read_bytes())
    if damage == "flipped":
        raw[len(raw) // 3] ^= 0x40
    part.write_bytes({"cut": raw[: len(raw) // 2], "flipped": raw, "empty": b""}[damage])
    again = filter_documents(files(corpus), quality=(), workers=1, out=tmp_path / "out")
    assert again.equals(first)
    assert table_metadata(again) == table_metadata(first)


def test_a_full_disk_is_named_and_leaves_no_result(corpus, tmp_path):
    full = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    )
    (tmp_path / "call.py").write_text(SCRIPT.replace("if __name__", full + "if __name__"))
    command = [sys.executable, str(tmp_path / "call.py"), str(corpus), str(tmp_path / "out"), "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "OSError" in done.stderr
    assert ".parquet" in done.stderr
    assert not list((tmp_path / "out").rglob("*.parquet"))
    again = filter_documents(files(corpus), quality=("gopher",), workers=1, out=tmp_path / "out")
    assert again.equals(filter_documents(files(corpus), quality=("gopher",), workers=1))


def test_a_file_that_changes_while_it_is_read_is_named(corpus, tmp_path, monkeypatch):
    words = unit_guard.text_words
    target = files(corpus)[3]

    def changing(block):
        target.write_text(target.read_text() + '{"text": "more"}\n')
        return words(block)

    monkeypatch.setattr(unit_guard, "text_words", changing)
    with pytest.raises(CorpusError, match=r"3\.jsonl: must stay as it was when the run began"):
        filter_documents(files(corpus), quality=(), workers=1, out=tmp_path / "out")
    assert not (tmp_path / "out" / "dropped.parquet").exists()


def test_a_changed_file_leaves_no_rows_of_what_it_was(corpus, tmp_path):
    filter_documents(files(corpus), quality=(), workers=1, out=tmp_path / "out")
    files(corpus)[0].write_text('{"id": "new", "text": "one document that is like no other one here at all"}\n')
    again = filter_documents(files(corpus), quality=(), workers=1, out=tmp_path / "out")
    assert again.equals(filter_documents(files(corpus), quality=(), workers=1))
    assert not [one for one in again["id"].to_pylist() if one.startswith("0.")]

"""A pool of spawned processes: what reaches them, and how their end is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pivotkit.processes import SPAWN, spawned_pool

MUCH = b"x" * (1 << 20)  # more than a pipe holds

_got: Any = None


def _start(handed: bytes, shared: Any) -> None:
    global _got
    _got = handed, shared


def _size() -> int:
    handed, shared = _got
    with shared.get_lock():
        shared.value += 1
    return len(handed)


def _fail() -> None:
    raise ValueError("said by a worker")


def test_what_is_handed_over_reaches_every_process_and_what_is_shared_is_one() -> None:
    shared = SPAWN.Value("q", 0)
    with spawned_pool("count", 2, _start, MUCH, shared) as pool:
        assert [future.result() for future in [pool.submit(_size) for _ in range(4)]] == [len(MUCH)] * 4
    assert shared.value == 4


def test_an_error_of_a_process_is_raised_here_and_a_dead_one_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with (
        pytest.raises(ValueError, match="said by a worker"),
        spawned_pool("count", 1, _start, MUCH, SPAWN.Value("q", 0)) as pool,
    ):
        pool.submit(_fail).result()
    with (
        pytest.raises(ChildProcessError, match="count: workers must live until their units are done; one died"),
        spawned_pool("count", 1, _start, MUCH, SPAWN.Value("q", 0)) as pool,
    ):
        pool.submit(os._exit, 1).result()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [1, 20_000])
def test_a_script_that_does_not_guard_its_start_is_told_so(tmp_path: Path, words: int) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text('{"text": "cat"}\n')
    script = tmp_path / "script.py"
    script.write_text(
        "from pivotkit.corpus import count\n"
        f"words = [f'w{{number}}' for number in range({words})]\n"
        f"count({[str(tmp_path / 'a.jsonl'), str(tmp_path / 'b.jsonl')]!r}, words, pairs=[], workers=2)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert 'if __name__ == "__main__"' in done.stderr  # not always the last line: its processes end in their own time

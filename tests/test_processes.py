"""A pool of spawned processes: what reaches them, and how their end is told. Scripts, since processes import them."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from pivotkit.processes import run_each

POOL = """
import os, sys, tempfile
from pivotkit.processes import SPAWN, spawned_pool

def start(handed, shared):
    global got
    got = handed, shared

def size():
    handed, shared = got
    with shared.get_lock():
        shared.value += 1
    return len(handed)

def fail():
    raise ValueError("said by a worker")

if __name__ == "__main__":
    tempfile.tempdir = sys.argv[1]
    shared = SPAWN.Value("q", 0)
    much = b"x" * (1 << 20)  # more than a pipe holds
    with spawned_pool("count", 2, start, much, shared) as pool:
        print([future.result() for future in [pool.submit(size) for _ in range(4)]], shared.value)
    for work in ((fail,), (os._exit, 1)):
        try:
            with spawned_pool("count", 1, start, much, shared) as pool:
                pool.submit(*work).result()
        except Exception as error:
            print(f"{type(error).__name__}: {error}")
    print(os.listdir(sys.argv[1]))
"""


def test_work_of_any_size_reaches_every_process_and_how_one_ends_is_told(tmp_path: Path) -> None:
    (tmp_path / "left").mkdir()
    script = tmp_path / "script.py"
    script.write_text(POOL)
    done = subprocess.run(
        [sys.executable, script, tmp_path / "left"], capture_output=True, text=True, check=True, timeout=120
    )
    sizes, failure, death, left = done.stdout.splitlines()
    assert sizes == f"{[1 << 20] * 4} 4"
    assert failure == "ValueError: said by a worker"
    assert death.startswith("ChildProcessError: count: workers must live until their units are done; one died")
    assert left == "[]"


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


@pytest.mark.parametrize("workers", [1, 2])
def test_each_task_has_its_own_result_and_an_error_is_that_of_the_task(workers: int) -> None:
    assert run_each("count", math.sqrt, [9.0, 4.0, 1.0], workers, "Roots") == {9.0: 3.0, 4.0: 2.0, 1.0: 1.0}
    with pytest.raises(ValueError, match="math domain error"):
        run_each("count", math.sqrt, [4.0, -1.0], workers, "Roots")

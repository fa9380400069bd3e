"""Run folders: what is run again, what is not, and what an interruption leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pyarrow as pa
import pytest

from pivotkit.artifacts import read_json, read_table
from pivotkit.run_folder import RunFolder


def run_stage(folder, text="made", settings=None, inputs=()):
    """Run a stage that writes ``text``; returns whether it ran."""
    with RunFolder(folder) as run:
        return run.stage(
            "stage", ["out.txt"], lambda: (run / "out.txt").write_text(text), settings=settings or {}, inputs=inputs
        )


def test_a_finished_stage_is_not_run_again(tmp_path):
    assert run_stage(tmp_path)
    assert not run_stage(tmp_path, "again")
    assert (tmp_path / "out.txt").read_text() == "made"


def test_other_settings_run_it_again(tmp_path):
    assert run_stage(tmp_path, settings={"seed": 0})
    assert run_stage(tmp_path, settings={"seed": 1})


def test_a_changed_input_runs_it_again(tmp_path):
    given = tmp_path / "in.txt"
    given.write_text("one")
    assert run_stage(tmp_path / "run", inputs=[given])
    assert not run_stage(tmp_path / "run", inputs=[given])
    given.write_text("another")
    assert run_stage(tmp_path / "run", inputs=[given])


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("ma")])
def test_a_missing_or_changed_output_runs_it_again(tmp_path, damage):
    run_stage(tmp_path)
    damage(tmp_path / "out.txt")
    assert run_stage(tmp_path)


def test_a_failed_stage_leaves_no_record(tmp_path):
    run_stage(tmp_path)
    with RunFolder(tmp_path) as run, pytest.raises(ZeroDivisionError):
        run.stage("stage", ["out.txt"], lambda: 1 / 0, settings={"seed": 1})
    assert "stage" not in read_json(tmp_path / "run.json")["stages"]
    assert run_stage(tmp_path)


def test_the_manifest_says_how_long_and_how_much(tmp_path):
    run_stage(tmp_path)
    manifest = read_json(tmp_path / "run.json")
    stage = manifest["stages"]["stage"]
    assert stage["seconds"] >= 0
    assert stage["peak_memory_bytes"] > 1_000_000
    assert manifest["environment"]["numpy"]


def test_two_processes_do_not_share_a_folder(tmp_path):
    with RunFolder(tmp_path):
        script = f"from pivotkit.run_folder import RunFolder; RunFolder({str(tmp_path)!r})"
        other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "must not be in use by another process" in other.stderr


def parts(items, size):
    return [items.slice(begin, size) for begin in range(0, items.num_rows, size)]


def test_shards_go_on_where_they_were_left(tmp_path):
    items = pa.table({"item": list(range(10))})
    made = []

    def make(part):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(part["item"].to_pylist())
        return part

    with RunFolder(tmp_path) as run:
        with pytest.raises(KeyboardInterrupt):
            run.shards("parts", parts(items, 3), "key", make, "x")
        made_again = []
        run.shards(
            "parts", parts(items, 3), "key", lambda part: made_again.append(part["item"].to_pylist()) or part, "x"
        )
        assert made == [[0, 1, 2], [3, 4, 5]]
        assert made_again == [[6, 7, 8], [9]]
        assert run.gather("parts") == items


def test_shards_of_another_key_are_not_trusted(tmp_path):
    items = pa.table({"item": list(range(4))})
    with RunFolder(tmp_path) as run:
        run.shards("parts", parts(items, 2), "one", lambda part: part, "x")
        run.shards("parts", parts(items, 2), "two", lambda part: pa.table({"item": [7]}), "x")
        assert run.gather("parts")["item"].to_pylist() == [7, 7]


def test_a_kill_at_any_moment_leaves_a_folder_that_resumes(tmp_path):
    """A process is killed while it writes shards again and again; what it left is whole."""
    script = textwrap.dedent(f"""
        import os, signal, sys, threading, pyarrow as pa
        from pivotkit.run_folder import RunFolder
        parts = [pa.table({{"item": list(range(begin, begin + 4))}}) for begin in range(0, 64, 4)]
        threading.Timer(float(sys.argv[1]), lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
        with RunFolder({str(tmp_path)!r}) as run:
            for key in range(10_000):
                run.shards("parts", parts, str(key), lambda part: part, "x")
    """)
    for number in range(6):
        killed = subprocess.run([sys.executable, "-c", script, str(0.02 + 0.03 * number)], check=False)
        assert killed.returncode == -9
        for path in (tmp_path / "parts").glob("*.parquet"):
            assert read_table(path).num_rows == 4
    items = pa.table({"item": list(range(64))})
    with RunFolder(tmp_path) as run:
        run.shards("parts", parts(items, 4), "last", lambda part: part, "x")
        assert run.gather("parts") == items


def test_an_unwritable_folder_is_named(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the kind depends on the system
        RunFolder(blocker / "run")
    assert os.fspath(blocker) in str(caught.value)

"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from pivotkit.artifacts import (
    atomic_path,
    read_json,
    read_table,
    sweep,
    table_metadata,
    temporary_path,
    write_json,
    write_table,
)
from pivotkit.errors import InputError


def test_a_table_keeps_its_metadata(tmp_path):
    write_table(pa.table({"x": [1]}), tmp_path / "t.parquet", {"seed": 3})
    assert table_metadata(read_table(tmp_path / "t.parquet")) == {"seed": 3}


def test_a_folder_of_tables_reads_as_one(tmp_path):
    for number in (2, 0, 1):
        write_table(pa.table({"x": [number]}), tmp_path / f"part-{number}.parquet")
    assert read_table(tmp_path)["x"].to_pylist() == [0, 1, 2]


def test_a_failure_keeps_the_old_file_and_leaves_no_other(tmp_path):
    write_json({"old": True}, tmp_path / "a.json")

    def break_off():
        with atomic_path(tmp_path / "a.json") as path:
            path.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    assert read_json(tmp_path / "a.json") == {"old": True}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_write_that_fails_names_its_file(tmp_path):
    def break_off():
        with atomic_path(tmp_path / "a.npy"):
            raise OSError("230304 requested and 24968 written")

    with pytest.raises(OSError, match="230304 requested") as caught:
        break_off()
    assert caught.value.filename == str(tmp_path / "a.npy")


def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    def full(*arguments, **more):
        raise OSError(errno.ENOSPC, "No space left on device", str(arguments[1]))

    write_table(pa.table({"x": [1]}), tmp_path / "t.parquet")
    monkeypatch.setattr("pivotkit.artifacts.pq.write_table", full)
    with pytest.raises(OSError, match="No space left"):
        write_table(pa.table({"x": [2]}), tmp_path / "t.parquet")
    monkeypatch.undo()
    assert read_table(tmp_path / "t.parquet")["x"].to_pylist() == [1]
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_not_in_its_format_is_named(tmp_path):
    (tmp_path / "t.parquet").write_text("no")
    (tmp_path / "j.json").write_text('{"a": 1,\n x}')
    with pytest.raises(InputError, match=r"t\.parquet: must be a Parquet file"):
        read_table(tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"j\.json, line 2: must be JSON"):
        read_json(tmp_path / "j.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"at least one \.parquet file"):
        read_table(tmp_path / "empty")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the state of a process from Linux's /proc")
def test_what_a_killed_process_was_writing_is_swept_before_anybody_waits_for_the_process(tmp_path):
    own = temporary_path(tmp_path / "a.json")
    own.touch()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as killed:
        other = own.with_name(own.name.replace(f"-{os.getpid()}-", f"-{killed.pid}-"))
        other.touch()
        sweep(tmp_path)
        assert set(tmp_path.iterdir()) == {own, other}
        killed.kill()
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
        sweep(tmp_path)
        assert list(tmp_path.iterdir()) == [own]

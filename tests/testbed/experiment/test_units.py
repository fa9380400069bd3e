"""A stopped experiment goes on with the units that it lacks."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from small_experiment import small_setting

from pivotkit.artifacts import read_json, write_json
from pivotkit.testbed.experiment.units import Unit, finished, read_unit, run_units

UNITS = [Unit("alike", seed, small_setting(), ("random",)) for seed in (1, 2, 3)]

SCRIPT = """
import pickle, sys
from pathlib import Path
from pivotkit.testbed.experiment.units import run_units

if __name__ == "__main__":
    units = pickle.loads(Path(sys.argv[1]).read_bytes())
    run_units(units, Path(sys.argv[2]), processes=1)
"""


@pytest.fixture
def script(tmp_path):
    import pickle

    (tmp_path / "run.py").write_text(SCRIPT)
    (tmp_path / "units.pickle").write_bytes(pickle.dumps(UNITS))
    return [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "units.pickle"), str(tmp_path / "out")]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads the children of a process from Linux's /proc")
def test_a_killed_experiment_keeps_what_is_done(script, tmp_path):
    out = tmp_path / "out"
    first = out / UNITS[0].file
    running = subprocess.Popen(script)
    while running.poll() is None and not first.exists():
        time.sleep(0.05)
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    running.kill()
    running.wait()
    assert first.exists()
    while any(
        Path(f"/proc/{child}/cmdline").exists() and Path(f"/proc/{child}/cmdline").read_bytes() for child in children
    ):
        time.sleep(0.05)  # nobody trains on
    before = first.stat().st_mtime_ns
    subprocess.run(script, check=True, capture_output=True)
    assert first.stat().st_mtime_ns == before
    assert [unit["seed"] for unit in finished(UNITS, out)] == [1, 2, 3]
    assert sorted(path.name for path in out.iterdir()) == sorted(unit.file for unit in UNITS)


def test_finished_units_are_read_and_not_run(tmp_path, monkeypatch):
    for unit in UNITS:
        write_json({"digest": unit.digest, "seed": unit.seed}, tmp_path / unit.file)
    monkeypatch.setattr("pivotkit.testbed.experiment.units.spawned_pool", None)  # a call would raise
    assert [unit["seed"] for unit in run_units(UNITS, tmp_path)] == [1, 2, 3]


@pytest.mark.parametrize(
    "change", [{"seed": 9}, {"setting": replace(small_setting(), steps=5)}, {"arms": ("parallel",)}]
)
def test_a_file_of_another_setting_is_not_taken_for_a_units(change, tmp_path):
    [unit, *_] = UNITS
    write_json({"digest": unit.digest, "seed": unit.seed}, tmp_path / unit.file)
    assert read_unit(unit, tmp_path) is not None
    other = replace(unit, **change)
    write_json(read_json(tmp_path / unit.file), tmp_path / other.file)
    assert read_unit(other, tmp_path) is None
    assert finished([other], tmp_path) == []


def test_the_file_of_a_unit_is_named_after_pool_and_seed():
    assert Path(Unit("mostly parallel", 201, small_setting(), ("random",)).file).name == "mostly-parallel-201.json"

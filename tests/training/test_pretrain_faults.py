"""A training that is killed goes on with the same losses; one without room keeps its last good checkpoint."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
import small_training

PROGRAM = small_training.__file__


def run(*arguments: object, launch: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, *launch, PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def losses(out: Path) -> list[float]:
    lines = (out / "one" / "seed-0" / "log.jsonl").read_bytes().splitlines()
    return [orjson.loads(line)["loss"] for line in lines]


@pytest.fixture(scope="module")
def whole(given, tmp_path_factory):
    """The losses of a training that nothing stopped."""
    out = tmp_path_factory.mktemp("whole") / "out"
    done = run(given, out)
    assert done.returncode == 0, done.stderr
    assert len(losses(out)) == 16
    return losses(out), (out / "pretrain.parquet").read_bytes()


def test_a_training_killed_at_random_moments_has_the_same_losses(given, whole, tmp_path):
    done = run(given, tmp_path / "out", "kill", 1)
    assert done.returncode == 0, done.stderr
    assert "killed" in done.stdout
    assert losses(tmp_path / "out") == whole[0]
    assert (tmp_path / "out" / "pretrain.parquet").read_bytes() == whole[1]


@pytest.mark.parametrize(
    "place",
    [
        "pivotkit.training.checkpoints.write_json",  # the files are there, the record is not
        "pivotkit.training.checkpoints.file_digests",
        "pivotkit.training.measures.classify",  # in the middle of what a checkpoint answers
        "pivotkit.training.pretrain.write_table",  # everything is trained
    ],
)
def test_a_training_killed_inside_a_checkpoint_has_the_same_losses(given, whole, tmp_path, place):
    done = run(given, tmp_path / "out", "at", place)
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path / "out") == whole[0]
    assert (tmp_path / "out" / "pretrain.parquet").read_bytes() == whole[1]


def test_a_full_disk_is_named_and_the_training_goes_on_when_there_is_room(given, whole, tmp_path):
    weights = (given / "model" / "model.safetensors").stat().st_size
    done = run(given, tmp_path / "out", "full", weights + 100_000 if weights > 10**6 else weights - 1000)
    assert done.returncode != 0
    assert "No space left on device" in done.stderr
    assert "one/seed-0" in done.stderr
    done = run(given, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path / "out") == whole[0]


def test_two_processes_have_the_losses_of_one_with_accumulation(given, tmp_path):
    assert (done := run(given, tmp_path / "one", "micro", 2)).returncode == 0, done.stderr
    launch = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")
    assert (done := run(given, tmp_path / "two", "micro", 2, launch=launch)).returncode == 0, done.stderr
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    assert (tmp_path / "two" / "pretrain.parquet").exists()

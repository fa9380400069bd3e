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
    assert "killed 20 times" in done.stdout
    assert losses(tmp_path / "out") == whole[0]
    assert (tmp_path / "out" / "pretrain.parquet").read_bytes() == whole[1]


PLACES = [
    "pivotkit.training.checkpoints.write_json",  # the files are there, the record is not
    "pivotkit.training.checkpoints.file_digests",
    "pivotkit.training.measures.classify",  # in the middle of what a checkpoint answers
    "pivotkit.training.pretrain.write_table",  # everything is trained
]


@pytest.fixture(scope="module")
def killed_inside(given, tmp_path_factory):
    """A training for each of the places, killed there once and begun again, and what was told of them."""
    out = tmp_path_factory.mktemp("inside")
    return out, run(given, out, "at", *PLACES)


@pytest.mark.parametrize("place", PLACES)
def test_a_training_killed_inside_a_checkpoint_has_the_same_losses(killed_inside, whole, place):
    out, done = killed_inside
    assert done.returncode == 0, done.stderr
    assert f"{place}: not called" not in done.stdout
    own = out / str(PLACES.index(place))
    assert losses(own) == whole[0], done.stderr
    assert (own / "pretrain.parquet").read_bytes() == whole[1]


def test_a_full_disk_is_named_and_the_training_goes_on_when_there_is_room(given, whole, tmp_path):
    weights = (given / "model" / "model.safetensors").stat().st_size
    limits = (weights - 1000, weights + 1000)  # no room for the weights; for the optimizer's state, twice as large
    done = run(given, tmp_path, "full", *limits)
    assert done.returncode == 0, done.stderr
    for number, why in enumerate(("[Errno 27] File too large", "[Errno 28] No space left on device")):
        folder = tmp_path / str(number) / "one" / "seed-0"
        assert f"{why}: '{folder}'; kept checkpoint-3\n" in done.stdout, done.stderr
        assert losses(tmp_path / str(number)) == whole[0]


def test_two_processes_have_the_losses_of_one_with_accumulation(given, tmp_path):
    small_training.train(given, tmp_path / "one", recipe={**small_training.RECIPE, "micro_batch": 2})
    launch = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")
    assert (done := run(given, tmp_path / "two", "micro", 2, launch=launch)).returncode == 0, done.stderr
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    assert (tmp_path / "two" / "pretrain.parquet").exists()

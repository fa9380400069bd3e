"""A run that is killed again and again ends with the bytes of one that was left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from pivotkit.testbed import World, WorldConfig, build_tokenizer, plant

# Importing the planted model registers it.
ENTRY = "import sys, pivotkit.testbed.planted_model; from pivotkit.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The model's wing on the planted model: 80 items, four shards of scores and four of traces."""
    world = World(WorldConfig(concepts=40, held_out=20, background=30, documents=10, blocks=10))
    folder = tmp_path_factory.mktemp("killed")
    world.write(folder / "world")
    plant(world).save_pretrained(folder / "model")
    build_tokenizer(world.vocabulary).save_pretrained(folder / "model")
    return [
        sys.executable, "-c", ENTRY, "run", "--model", str(folder / "model"), "--lexicon",
        str(folder / "world" / "lexicon.tsv"), "--pairs", "a-b,b-a", "--prompt", "testbed", "--shots", "4",
        "--contexts", "2", "--latent", "p", "--chains", "--out",
    ]  # fmt: skip


def shards(run):
    return sorted([*run.glob("scores/*.parquet"), *run.glob("traces/*.parquet")])


def artifacts(run):
    """Every file but the manifest and the report, which hold times, by its place in the run."""
    files = [
        path for path in run.rglob("*") if path.is_file() and path.name not in {"run.json", "report.html", ".lock"}
    ]
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(files)}


def test_a_run_killed_at_any_shard_ends_with_the_same_bytes(command, tmp_path):
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # a model this small only waits for a second thread
    subprocess.run([*command, str(alone)], check=True, capture_output=True, timeout=300, env=environment)
    for least in (1, 4, 6):
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen([*command, str(killed)], **silent, env=environment)
        deadline = time.monotonic() + 300
        while len(shards(killed)) < least and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert len(shards(killed)) < 8
    (killed / "traces" / ".part-00000.parquet.0123abcd.part").write_bytes(b"half")  # as a kill in a write leaves it
    subprocess.run([*command, str(killed)], check=True, capture_output=True, timeout=300, env=environment)
    assert len(shards(killed)) == 8
    assert artifacts(killed) == artifacts(alone)

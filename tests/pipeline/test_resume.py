"""A run that is killed again and again ends with the bytes of one that was left alone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from pivotkit.testbed import World, WorldConfig, build_tokenizer, plant

HANG_SECONDS = 300  # then a command is killed, and its exit status fails the test

# Each line is a command, run in a fork: all of them share the seconds that the imports take.
SERVER = f"""
import json, os, signal, sys
import pivotkit.testbed.planted_model  # registers the planted model
from pivotkit.cli import main

replies = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
for line in sys.stdin:
    child = os.fork()
    if not child:
        sys.exit(main(json.loads(line)))
    print(child, file=replies, flush=True)
    signal.alarm({HANG_SECONDS})
    status = os.waitpid(child, 0)[1]
    signal.alarm(0)
    print(os.waitstatus_to_exitcode(status), file=replies, flush=True)
"""


@contextlib.contextmanager
def server():
    """A function that starts a command and returns its process, and one that waits for its exit status."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # a model this small only waits for a second thread
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", SERVER], env=environment, **pipes) as process:

        def start(command):
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield start, lambda: int(process.stdout.readline())
        process.stdin.close()


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The model's wing on the planted model: 80 items of two pairs, four shards of scores and two of traces."""
    world = World(WorldConfig(concepts=40, held_out=20, background=30, documents=10, blocks=10))
    folder = tmp_path_factory.mktemp("killed")
    world.write(folder / "world")
    plant(world).save_pretrained(folder / "model")
    build_tokenizer(world.vocabulary).save_pretrained(folder / "model")
    return [
        "run", "--model", str(folder / "model"), "--lexicon",
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
    with server() as (start, status):
        start([*command, str(alone)])
        assert status() == 0
        for least in (1, 4, 5):
            process = start([*command, str(killed)])
            deadline = time.monotonic() + 300
            while len(shards(killed)) < least and time.monotonic() < deadline:
                time.sleep(0.01)
            os.kill(process, signal.SIGKILL)
            assert status() == -signal.SIGKILL
            assert len(shards(killed)) < 6
        (killed / "traces" / ".part-00000.parquet.0123abcd.part").write_bytes(b"half")  # as a kill in a write leaves it
        start([*command, str(killed)])
        assert status() == 0
    assert len(shards(killed)) == 6
    assert artifacts(killed) == artifacts(alone)

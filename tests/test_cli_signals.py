"""A run that is told to end, by Ctrl-C or by a scheduler's SIGTERM: nothing is left behind, and it resumes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pivotkit.cli import main
from pivotkit.pipeline.stage import StageTable
from pivotkit.testbed import World, WorldConfig, build_tokenizer
from pivotkit.testbed.commands.stages import STAGES

FILES = ("a.jsonl", "b.jsonl", "c.jsonl", "d.jsonl")
# The command line, where every unit but the first takes a minute, of which it tells. Workers import this, too.
WAITING = """
import os, sys, time
from pathlib import Path
from pivotkit.corpus.counting.unit_counter import UnitCounter

count = UnitCounter._count

def waiting(self, unit, writer, postings, tell):
    if unit.path.name != "a.jsonl":
        Path(os.environ["BUSY"], f"{os.getpid()}").touch()
        for _ in range(600):
            tell(0)
            time.sleep(0.1)
    return count(self, unit, writer, postings, tell)

UnitCounter._count = waiting

if __name__ == "__main__":
    from pivotkit.cli import main
    sys.exit(main(sys.argv[1:]))
"""


PAPER = ("--pivot-rule", "paper")  # documents have no languages


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A folder with a corpus of four files and the run folder of a count that has not begun."""
    folder = tmp_path_factory.mktemp("prepared")
    world = World(WorldConfig(concepts=20, held_out=10, background=5, documents=20, blocks=2))
    build_tokenizer(world.vocabulary).save_pretrained(folder / "model")
    (folder / "words.tsv").write_text("en\tfr\n" + "".join(f"a{n}\tp{n}\n" for n in range(20)))
    for size, name in zip((300, 200, 100, 50), FILES, strict=True):
        (folder / name).write_text('{"text": "a1 p1 a2"}\n' * size)
    corpus, run = [str(folder / name) for name in FILES], str(folder / "run")
    assert main(["task", run, "--lexicon", str(folder / "words.tsv"), "--pairs", "en-fr"]) == 0
    assert main(["tokens", run, "--model", str(folder / "model"), "--corpus", *corpus]) == 0
    (folder / "waiting.py").write_text(WAITING)
    return folder


def counted(run: Path) -> dict[str, bytes]:
    """All files of the counts but checkpoints, which hold whatever units a worker took between two of them."""
    files = [path for path in (run / "counts").rglob("*") if path.is_file() and path.parent.suffix != ".context"]
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


@pytest.fixture(autouse=True)
def _interruptible():
    """Whoever starts the tests may have told them to ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def start_counting(prepared: Path, run: Path, busy: Path, workers: int) -> subprocess.Popen[str]:
    """A count in a process of its own, once all its workers wait."""
    busy.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(prepared / "waiting.py"), "count", str(run), "--workers", str(workers), *PAPER],
        stderr=subprocess.PIPE, env={**os.environ, "BUSY": str(busy)}, text=True, start_new_session=True,
    )  # fmt: skip
    give_up = time.monotonic() + 60
    while len(list(busy.iterdir())) < workers and process.poll() is None and time.monotonic() < give_up:
        time.sleep(0.02)
    return process


def said_until_the_end(process: subprocess.Popen[str], seconds: float) -> str:
    """What a count says on stderr; one that does not end is killed, so that it spoils no other test."""
    try:
        return process.communicate(timeout=seconds)[1]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise


@pytest.mark.parametrize(
    ("number", "workers", "group"),
    [(signal.SIGTERM, 2, False), (signal.SIGTERM, 2, True), (signal.SIGINT, 1, True)],
)
def test_a_count_that_is_told_to_end_leaves_nothing_behind_and_resumes(prepared, tmp_path, number, workers, group):
    whole, run, busy = tmp_path / "whole", tmp_path / "run", tmp_path / "busy"
    for copy in (whole, run):
        shutil.copytree(prepared / "run", copy)
    assert main(["count", str(whole), "--workers", "1", *PAPER]) == 0
    process = start_counting(prepared, run, busy, workers)
    assert any(run.rglob(".*.part"))  # it is in the middle of a unit
    (os.killpg if group else os.kill)(process.pid, number)
    said = said_until_the_end(process, 20)
    assert process.returncode == 128 + number, said
    assert said.splitlines()[-1] == "pivotkit: interrupted; the same command resumes it"
    assert "Traceback" not in said
    assert not [worker.name for worker in busy.iterdir() if is_alive(int(worker.name))]
    left = [path.name for path in run.rglob("*") if path.is_file() and path.name.startswith(".")]
    assert set(left) == {".lock"}
    assert not (run / "counts" / "counts.json").exists()
    assert list((run / "counts" / "units").glob("*.parquet"))  # the unit that was done
    assert main(["count", str(run), *PAPER]) == 0
    assert counted(run) == counted(whole)


@pytest.mark.parametrize("which", [min, max], ids=["started first", "started last"])
def test_a_worker_that_is_killed_is_named_and_the_run_resumes(prepared, tmp_path, which):
    whole, run, busy = tmp_path / "whole", tmp_path / "run", tmp_path / "busy"
    for copy in (whole, run):
        shutil.copytree(prepared / "run", copy)
    assert main(["count", str(whole), "--workers", "1", *PAPER]) == 0
    process = start_counting(prepared, run, busy, workers=3)
    started = {int(worker.name) for worker in busy.iterdir()} - {process.pid}
    os.kill(which(started), signal.SIGKILL)  # as a kernel out of memory does
    said = said_until_the_end(process, 30)
    assert process.returncode == 2, said
    assert said.splitlines()[-1].startswith("pivotkit: count: workers must live until their units are done; one died")
    assert "Traceback" not in said
    assert not (run / "counts" / "counts.json").exists()
    assert main(["count", str(run), *PAPER]) == 0
    assert counted(run) == counted(whole)


def test_the_handler_is_there_for_the_command_alone(capsys):
    before = signal.getsignal(signal.SIGTERM)
    assert main(["info"]) == 0
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("command", ["run", "demo", *(stage.name for stage in STAGES)])
def test_every_command_ends_alike(command, number, status, prepared, tmp_path, capsys, monkeypatch):
    """In the middle of its work; a second signal does not disturb the cleaning up."""
    cleaned = []

    def work(*arguments: object, **named: object) -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        finally:
            if number == signal.SIGTERM:
                os.kill(os.getpid(), number)
            cleaned.append(command)

    shutil.copytree(prepared / "run", tmp_path / "run")
    monkeypatch.setattr(StageTable, "run", work)
    monkeypatch.setattr("pivotkit.testbed.commands.demo.demo", work)
    folder = ["--out", str(tmp_path / "run")] if command in ("run", "demo") else [str(tmp_path / "run")]
    before = (tmp_path / "run" / "run.json").read_bytes()
    assert main([command, *folder]) == status
    assert capsys.readouterr().err == "pivotkit: interrupted; the same command resumes it\n"
    assert cleaned == [command]
    assert command in ("run", "demo") or (tmp_path / "run" / "run.json").read_bytes() == before


def test_in_another_thread_the_command_works_without_a_handler(capsys):
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(main, ["info"]).result() == 0

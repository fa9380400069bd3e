"""Runs that are killed, share a folder, or find their files changed; and a budget that holds."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pivotkit.corpus import Counts, count

KILLS = 20 if os.environ.get("PIVOTKIT_BENCH") == "full" else 4

COUNT = """
import sys
from pivotkit.corpus import Strata, TokenFiles, TokenWatchList, count
from tokenizers import Tokenizer

if __name__ == "__main__":
    folder, tokenizer, out, workers = sys.argv[1:5]
    watch = TokenWatchList([f"w{i}" for i in range(5, 400, 4)], Tokenizer.from_file(tokenizer))
    files = TokenFiles(folder, vocab_size=2000, eos=0)
    print("begun", flush=True)
    count(files, watch, pairs=[(f"w{i}", f"w{i + 4}") for i in range(5, 390, 4)], context=True, unit="20KB",
          workers=int(workers), out=out, checkpoint=0.05, strata=Strata(language=False, edges=[50, 200]))
"""


def command(corpus: Path, out: Path, workers: int = 1) -> list[str]:
    return [sys.executable, "-c", COUNT, str(corpus / "tokens"), str(corpus / "tokenizer.json"), str(out), str(workers)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    folder = tmp_path_factory.mktemp("corpus")
    Tokenizer(WordLevel({f"w{i}": i for i in range(2000)}, unk_token="w0")).save(str(folder / "tokenizer.json"))
    (folder / "tokens").mkdir()
    rng = np.random.default_rng(0)
    for name in "abc":
        (rng.zipf(1.2, 600_000) % 2000).astype("<u2").tofile(folder / "tokens" / f"{name}.npy")
    return folder


def tables(out: Path) -> dict[str, bytes]:
    names = [
        "words.parquet",
        "pairs.parquet",
        "background.parquet",
        "context/df.npy",
        "context/tokens.npy",
        "strata/df.npy",
        "counts.json",
    ]
    postings = [path.relative_to(out).as_posix() for path in sorted((out / "units").glob("*.postings"))]
    return {name: (out / name).read_bytes() for name in [*names, *postings]}


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole")
    subprocess.run(command(corpus, out), check=True, capture_output=True)
    assert len(list((out / "units").iterdir())) > 150
    return tables(out)


@pytest.mark.parametrize("workers", [1, 2])
def test_twenty_kills_at_random_moments_lose_and_repeat_nothing(
    corpus: Path, whole: Any, tmp_path: Path, workers: int
) -> None:
    out, random_ = tmp_path / "out", random.Random(workers)
    killed, done = 0, 0
    while killed < 20:
        process = subprocess.Popen(
            command(corpus, out, workers), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(random_.uniform(0, 0.25 if workers == 1 else 1.0))
        finished = process.poll() is not None
        subprocess.run(["pkill", "-KILL", "-s", str(process.pid)], check=False)
        process.wait()
        process.stdout.close()
        killed += 1
        counted = len(list((out / "units").glob("[!.]*"))) if out.exists() else 0
        assert counted >= done
        done = counted
        if finished or (out / "counts.json").exists():  # begin anew: a run that is done has nothing to kill
            assert tables(out) == whole
            out, done = tmp_path / f"out{killed}", 0
    subprocess.run(command(corpus, out, workers), check=True, capture_output=True)
    assert tables(out) == whole


def test_three_runs_in_one_folder_do_not_spoil_each_other(corpus: Path, whole: Any, tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(command(corpus, tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(3)
    ]
    for process in processes:
        errors = process.communicate()[1]
        assert process.returncode == 0, errors.decode()
    assert tables(tmp_path) == whole
    assert Counts.load(tmp_path).documents > 0


def test_a_run_goes_on_where_another_in_its_folder_is_killed(corpus: Path, whole: Any, tmp_path: Path) -> None:
    random_ = random.Random(2)
    for place in range(KILLS):
        out = tmp_path / str(place)
        runs = [
            subprocess.Popen(command(corpus, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)
        ]
        for run in runs:
            assert run.stdout is not None
            run.stdout.readline()
        time.sleep(random_.uniform(0, 1.0))
        runs[0].kill()
        runs[0].communicate()
        errors = runs[1].communicate()[1]
        assert runs[1].returncode == 0, errors.decode()
        assert tables(out) == whole


def test_a_file_that_changed_between_runs_is_counted_as_it_is_now(write: Any, tmp_path: Path) -> None:
    path = write(["cat dog", "cat"])
    out = tmp_path / "out"
    assert count(path, ["cat", "dog"], workers=1, out=out).df.tolist() == [2, 1]
    write(["dog", "dog", "dog cat"])
    counts = count(path, ["cat", "dog"], pairs=[("cat", "dog")], workers=1, out=out)
    assert (counts.documents, counts.df.tolist(), counts.query("dog").num_rows) == (3, [1, 3], 3)


BUDGET = """
import resource, sys
from pathlib import Path

def peak():
    return next(int(line.split()[1]) * 1024 for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))

if __name__ == "__main__":
    before = peak()
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from pivotkit.corpus import TokenFiles, TokenWatchList, count

    core = Tokenizer(WordLevel({f"w{i}": i for i in range(50_000)}, unk_token="w0"))
    watch = TokenWatchList([f"w{i}" for i in range(5, 20_000, 10)], core)
    counts = count(TokenFiles(sys.argv[1], vocab_size=50_000, eos=0), watch, context=True, workers=1, memory=sys.argv[2], out=sys.argv[3])
    print(peak() - before, counts.context.nnz, len(counts.words))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from /proc")
def test_the_budget_holds_where_the_table_is_larger(tmp_path: Path) -> None:
    """2,000 rows over 50,000 tokens are 800 MB as the sums are held; the corpus has 12 million tokens."""
    bounds = np.cumsum(1 / np.arange(1, 50_000))
    ids = np.searchsorted(bounds, np.random.default_rng(0).random(12_000_000) * bounds[-1] * 0.999).astype("<u2") + 1
    ids[499::500] = 0
    (tmp_path / "corpus").mkdir()
    ids.tofile(tmp_path / "corpus" / "a.npy")
    made = {}
    for memory in ("420MB", "2GB"):
        command = [sys.executable, "-c", BUDGET, str(tmp_path / "corpus"), memory, str(tmp_path / memory)]
        peak, cells, words = map(
            int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        )
        assert peak < int(memory[:-2]) * {"M": 10**6, "G": 10**9}[memory[-2]], (memory, peak)
        made[memory] = {name: (tmp_path / memory / "context" / name).read_bytes() for name in ("df.npy", "tokens.npy")}
        assert (words, cells > 5_000_000) == (2000, True)
    assert made["420MB"] == made["2GB"]

"""The budget of a count, measured over all of its processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="reads the memory of processes from /proc"
)
COUNT = """
import json, sys
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from pivotkit.corpus import Strata, TokenFiles, TokenWatchList, count

if __name__ == "__main__":
    corpus, out, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    words = [f"w{i}" for i in range(5, 20_000, 10)]
    if corpus.endswith("tokens"):
        core = Tokenizer(WordLevel({f"w{i}": i for i in range(50_000)}, unk_token="w0"))
        words, corpus = TokenWatchList(words, core), TokenFiles(corpus, vocab_size=50_000, eos=0)
        options["context"] = True
    print("begun", flush=True)
    sys.stdin.readline()
    counts = count(corpus, words, strata=Strata(language=False), out=out, unit="4MB", **options)
    assert counts.documents and counts.df.any()
"""
MEMORY = 420_000_000  # of each process; the least is 300


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 million tokens, and as text 4 million of them."""
    folder = tmp_path_factory.mktemp("corpora")
    bounds = np.cumsum(1 / np.arange(1, 50_000))
    ids = np.searchsorted(bounds, np.random.default_rng(0).random(12_000_000) * bounds[-1] * 0.999).astype("<u2") + 1
    ids[499::500] = 0
    for name in ("tokens", "texts"):
        (folder / name).mkdir()
    ids.tofile(folder / "tokens" / "a.npy")
    with (folder / "texts" / "a.jsonl").open("w") as file:
        for document in ids[:4_000_000].reshape(-1, 500)[:, :-1]:
            file.write(json.dumps({"text": "\n".join(f"w{i}." for i in document.tolist())}) + "\n")
    return folder


def held(session: int) -> int:
    """The bytes that the processes of a session hold, each page divided among those that share it."""
    total = 0
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if int((place / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                lines = (place / "smaps_rollup").read_text().splitlines()
                total += 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except OSError:  # it has ended
            continue
    return total


@pytest.mark.parametrize(
    ("corpus", "scope"),
    [("tokens", "document"), ("tokens", "window:40"), ("texts", "sentence"), ("texts", "window:60")],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_the_budget_holds_over_all_processes(
    corpora: Path, tmp_path: Path, corpus: str, scope: str, workers: int
) -> None:
    options = {"scope": scope, "workers": workers, "memory": MEMORY * workers}
    command = [sys.executable, "-c", COUNT, str(corpora / corpus), str(tmp_path), json.dumps(options)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, start_new_session=True) as process:
        process.stdout.readline()
        peak = before = held(process.pid)
        process.stdin.write(b"\n")
        process.stdin.flush()
        while process.poll() is None:
            peak = max(peak, held(process.pid))
            time.sleep(0.02)
        assert process.returncode == 0, process.stderr.read().decode()
    print(f"{corpus} {scope} {workers}: {peak - before:,}")
    assert before < peak < before + MEMORY * workers

"""Tokenizing a corpus into a store, against the tokenizer itself on texts that are in memory already.

``encode_batch_fast`` gives nothing but encodings, whose ids are no arrays yet. ``by_hand`` is the code that one would
write: read, encode, make arrays, write. ``pivotkit`` is `tokenize`, which also keeps ids and languages, waits for the
disk (fsync) and can go on after a kill. All have the same threads. The ids are compared. The record also has the CPU
seconds of each, which hold on a machine that others use. By default a generated corpus
and tokenizer take seconds; ``PIVOTKIT_BENCH=full`` takes those of ``../shared`` and real models, and minutes. It also
kills 20 runs at random moments and compares the store that is left.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import zstandard
from conftest import Interleaved
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from pivotkit.corpus import tokenize
from pivotkit.corpus.token_store.encode import tokenizer_core, vocabulary_size

FULL = os.environ.get("PIVOTKIT_BENCH") == "full"
SECONDS = 240.0 if FULL else 1.0
BATCH = 1 << 20  # characters per call: with 2^18 and 2^22 encode_batch_fast is no faster
MODELS = ["gemma3-270m", "smollm2-135m"] if FULL else ["generated"]
KILLS = 20


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    if FULL:
        shared = Path(os.environ.get("PIVOTKIT_SHARED", Path(__file__).parents[2] / "shared"))
        files = sorted((shared / "data" / "corpus").glob("*.jsonl.zst"))
        return files or pytest.skip("the real corpus is absent")
    rng, folder = random.Random(0), tmp_path_factory.mktemp("corpus")
    words = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(2, 9))) for _ in range(2000)]
    for name in "ab":
        texts = [" ".join(rng.choices(words, k=rng.randint(5, 400))) for _ in range(800)]
        lines = b"".join(orjson.dumps({"text": text}) + b"\n" for text in texts)
        (folder / f"{name}.jsonl.zst").write_bytes(zstandard.compress(lines))
    return sorted(folder.iterdir())


@pytest.fixture(scope="module", params=MODELS)
def core(request: pytest.FixtureRequest, corpus: list[Path]) -> Tokenizer:
    if not FULL:
        made = Tokenizer(BPE())
        made.pre_tokenizer = ByteLevel()
        made.train_from_iterator(texts_of(corpus[0]), BpeTrainer(vocab_size=1000, show_progress=False))
        return made
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    models = Path(os.environ.get("PIVOTKIT_MODELS", cache / "pivotkit" / "models"))
    file = models / request.param / "tokenizer.json"
    return Tokenizer.from_file(str(file)) if file.exists() else pytest.skip(f"{request.param} is absent")


def texts_of(file: Path) -> Iterator[str]:
    with zstandard.open(file, "rt", encoding="utf-8", newline="\n") as lines:
        for line in lines:
            yield orjson.loads(line)["text"]


def batches(texts: Iterator[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def encode(core: Tokenizer, batch: list[str]) -> list[Any]:
    return core.encode_batch_fast(batch, add_special_tokens=False)


def test_rate(interleaved: Interleaved, benchmark: Any, corpus: list[Path], core: Tokenizer, tmp_path: Path) -> None:
    in_memory = [batch for file in corpus for batch in batches(texts_of(file))]
    core, _ = tokenizer_core("bench", core)  # without truncation and padding

    def by_tokenizers() -> int:
        return sum(len(encode(core, batch)) for batch in in_memory)

    def by_hand() -> Path:
        out = tmp_path / "ids"
        with out.open("wb") as file:
            for path in corpus:
                for batch in batches(texts_of(path)):
                    for encoding in encode(core, batch):
                        np.array(encoding.ids, np.uint32).tofile(file)
        return out

    def by_pivotkit() -> Any:
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        return tokenize(corpus, core, tmp_path / "store")

    cpu: dict[str, list[float]] = {}

    def timed(name: str, method: Any) -> Any:
        def run() -> Any:
            begin = time.process_time()
            result = method()
            cpu.setdefault(name, []).append(time.process_time() - begin)
            return result

        return run

    methods = {"encode_batch_fast": by_tokenizers, "by_hand": by_hand, "pivotkit": by_pivotkit}
    methods = {name: timed(name, method) for name, method in methods.items()}
    size = sum(len(text.encode()) for batch in in_memory for text in batch)
    benchmark.group = f"tokenize {size / 1e6:.1f} MB of text, {core.get_vocab_size()} tokens"
    results = interleaved(methods, SECONDS, baseline="encode_batch_fast")
    store = results["pivotkit"]
    assert sum(len(store.offsets(unit)) - 1 for unit in store.units) == results["encode_batch_fast"]
    assert np.array_equal(
        np.concatenate([store.ids(unit) for unit in store.units]), np.fromfile(results["by_hand"], np.uint32)
    )
    begin = time.perf_counter()
    vocabulary_size(tokenizer_core("bench", core)[0])
    benchmark.extra_info |= {
        "bytes": size,
        "seconds_to_copy_the_tokenizer": time.perf_counter() - begin,
        "cpu_seconds": {name: statistics.median(seconds[1:]) for name, seconds in cpu.items()},  # without the warm-up
    }
    shutil.rmtree(tmp_path / "store")


# A run that keeps pieces often, so that most kills find some.
RUN = """
import sys
from pivotkit.corpus import tokenize
from pivotkit.corpus.token_store import writer
writer.PIECE_BYTES = int(sys.argv[1])
tokenize(sys.argv[4:], sys.argv[2], sys.argv[3])
"""


@pytest.mark.skipif(not FULL, reason="kills by the clock; test_tokenize_faults.py kills at chosen moments")
def test_kills(corpus: list[Path], core: Tokenizer, tmp_path: Path) -> None:
    """A store that was killed at random moments, each run going on from the last, is the one of an undisturbed run."""
    core.save(str(tmp_path / "tokenizer.json"))
    files = [str(file) for file in corpus]
    piece = str(4 << 20)

    def start(out: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", RUN, piece, str(tmp_path / "tokenizer.json"), str(tmp_path / out), *files]
        return subprocess.Popen(command)

    begin = time.perf_counter()
    assert start("whole").wait() == 0
    took, rng, killed = time.perf_counter() - begin, random.Random(0), 0
    for _ in range(KILLS):
        run = start("killed")
        try:
            run.wait(rng.uniform(0.1, 1) * took / 4)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
            killed += run.wait() == -signal.SIGKILL
    assert start("killed").wait() == 0
    assert killed
    assert digests(tmp_path / "killed") == digests(tmp_path / "whole")


def digests(store: Path) -> dict[str, str]:
    files = (path for path in store.rglob("*") if path.is_file())
    return {str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

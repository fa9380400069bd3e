"""A count in parts: each perhaps in another process, with the files of one count at the end."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from pivotkit.corpus import CountJob, Counts, Strata, TokenFiles, count, tokenize
from pivotkit.errors import InputError

WORDS = ["cat", "chat", "dog", "猫"]
PAIRS = [("cat", "chat"), ("dog", "猫")]


@pytest.fixture
def corpus(write: Any, tmp_path: Path) -> Path:
    """Seven files of unlike size."""
    rng = np.random.default_rng(3)
    for file in range(7):
        texts = [" ".join(rng.choice(["the", "a", *WORDS], rng.integers(0, 30))) for _ in range(5 + 40 * file)]
        write(texts, f"corpus/{file}.jsonl")
    return tmp_path / "corpus"


def files(out: Path) -> dict[str, bytes]:
    """The counts in a folder, and the postings of its units."""
    own = [path for path in out.rglob("*") if path.is_file() and "units" not in path.parts and path.name != ".lock"]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in [*own, *out.rglob("*.postings")]}


@pytest.mark.parametrize("parts", [1, 3, 20])
def test_parts_make_the_files_of_one_count(corpus: Path, tmp_path: Path, tokenizer: Tokenizer, parts: int) -> None:
    store = tokenize(corpus, tokenizer, tmp_path / "store")
    about: dict[str, Any] = {"pairs": PAIRS, "context": store, "strata": Strata(length=2), "unit": "2KB"}
    one = count(corpus, WORDS, **about, workers=1, out=tmp_path / "one")
    for part in reversed(range(parts)):
        CountJob(corpus, WORDS, **about, out=tmp_path / "shared").count(part, parts)
    job = CountJob(corpus, WORDS, **about, out=tmp_path / "shared")
    assert len(job.units) > 6
    assert np.array_equal(job.merge().df, one.df)
    assert files(tmp_path / "shared") == files(tmp_path / "one")
    assert Counts.load(tmp_path / "shared").pair_df.tolist() == one.pair_df.tolist()


def test_parts_of_token_files_do_too(tmp_path: Path, tokenizer: Tokenizer) -> None:
    from pivotkit.corpus import TokenWatchList

    size = tokenizer.get_vocab_size()
    for name in "abc":
        np.random.default_rng(ord(name)).integers(0, size, 500).astype("<u2").tofile(tmp_path / f"{name}.npy")
    tokens = TokenFiles([tmp_path / f"{name}.npy" for name in "abc"], size, dtype="uint16", eos=0)
    watch = TokenWatchList(["cat", "dog"], tokenizer)
    count(tokens, watch, context=True, workers=1, unit="300B", out=tmp_path / "one")
    for part in range(2):
        CountJob(tokens, watch, context=True, unit="300B", out=tmp_path / "shared").count(part, 2)
    CountJob(tokens, watch, context=True, unit="300B", out=tmp_path / "shared").merge()
    assert files(tmp_path / "shared") == files(tmp_path / "one")


def test_units_are_added_up_only_when_all_of_them_are_counted(corpus: Path, tmp_path: Path) -> None:
    job = CountJob(corpus, WORDS, out=tmp_path / "out", unit=None)
    job.count(0, 2)
    with pytest.raises(InputError, match=r"must hold the whole counts of all 7 units before .*; got 3 less$"):
        job.merge()
    assert not (tmp_path / "out" / "counts.json").exists()
    job.count(1, 2)
    assert job.merge().documents == count(corpus, WORDS, workers=1).documents


def test_a_damaged_unit_is_removed_and_told_and_counted_again(corpus: Path, tmp_path: Path) -> None:
    job = CountJob(corpus, WORDS, pairs=PAIRS, out=tmp_path / "out", unit=None)
    job.count()
    path = max((tmp_path / "out" / "units").glob("*.parquet"), key=lambda path: path.stat().st_size)
    counts = pq.ParquetFile(path).metadata.row_group(1).column(3)  # behind the languages: the documents of each word
    raw = bytearray(path.read_bytes())
    raw[counts.data_page_offset + counts.total_compressed_size - 1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"got 1 less$"):
        job.merge()
    job.count()
    assert job.merge().df.tolist() == count(corpus, WORDS, workers=1).df.tolist()


def test_a_part_goes_on_from_its_finished_units(corpus: Path, tmp_path: Path) -> None:
    job = CountJob(corpus, WORDS, out=tmp_path / "out", unit=None)
    job.count(0, 7)
    (first,) = (tmp_path / "out" / "units").glob("*.parquet")
    before = first.stat().st_ino
    job.count()
    assert first.stat().st_ino == before


def test_parts_in_processes_at_once_make_the_same(corpus: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pivotkit.corpus import CountJob\n"
        "CountJob(sys.argv[1], ['cat', 'chat', 'dog', '猫'], out=sys.argv[2], unit='2KB').count(int(sys.argv[3]), 3)"
    )
    arguments = [sys.executable, "-c", code, str(corpus), str(tmp_path / "shared")]
    running = [subprocess.Popen([*arguments, str(part)], env={**os.environ}) for part in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    CountJob(corpus, WORDS, out=tmp_path / "shared", unit="2KB").merge()
    count(corpus, WORDS, out=tmp_path / "one", unit="2KB", workers=1)
    assert files(tmp_path / "shared") == files(tmp_path / "one")


@pytest.mark.parametrize(
    ("part", "parts", "said"),
    [
        (2, 2, "part must be less than parts, 2; got 2"),
        (-1, 2, "part must be at least 0; got -1"),
        (0, 0, "parts must be at least 1; got 0"),
        (0.5, 2, "part must be an int; got float"),
    ],
)
def test_a_part_that_is_none_is_refused(corpus: Path, tmp_path: Path, part: Any, parts: Any, said: str) -> None:
    job = CountJob(corpus, WORDS, out=tmp_path / "out")
    with pytest.raises((TypeError, ValueError)) as caught:
        job.count(part, parts)
    assert str(caught.value).startswith("CountJob.count: part")
    assert said.split(";")[0].split(" must ")[1] in str(caught.value)


def test_it_takes_what_count_takes() -> None:
    def named(function: Callable[..., Any]) -> set[str]:
        return {name for name in inspect.signature(function).parameters if name != "self"}

    assert named(CountJob.__init__) == named(count)


def test_it_says_what_it_is(corpus: Path, tmp_path: Path) -> None:
    assert repr(CountJob(corpus, WORDS, out=tmp_path, unit=None)) == f"CountJob(7 units, {str(tmp_path)!r})"

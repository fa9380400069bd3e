"""Runs that are stopped, disks that are full, files that are damaged: nothing half-written is trusted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest

from pivotkit.corpus import Counts, TokenStore, count, tokenize
from pivotkit.corpus.counting import run as run_module
from pivotkit.corpus.counting import sources, unit_counter, unit_tokens
from pivotkit.corpus.counting.workers import count_units
from pivotkit.corpus.tables import unit_counts as module
from pivotkit.errors import InputError

WORDS = ["cat", "chat", "dog"]
PAIRS = [("cat", "chat")]

# Counts a corpus in a process that is stopped at the end of the third unit, before its file is whole.
KILLED = """
import os, signal, sys
from pivotkit.corpus import TokenStore, count
from pivotkit.corpus.tables.unit_counts import UnitCountsWriter

real, calls = UnitCountsWriter.header, []

def header(self, header):
    calls.append(header)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, header)

UnitCountsWriter.header = header
corpus, store, out = sys.argv[1:]
count(corpus, {words}, pairs={pairs}, context=TokenStore.open(store), workers=1, out=out, checkpoint=0)
"""

# Counts or tokenizes in a process that may write no file beyond some bytes, as on a disk that runs full.
FULL = """
import resource, sys
from pivotkit.corpus import TokenStore, count, tokenize

corpus, store, out, bytes_left = sys.argv[1:]
source = TokenStore.open(store) if store else None
resource.setrlimit(resource.RLIMIT_FSIZE, (int(bytes_left), int(bytes_left)))
if source:
    count(corpus, {words}, pairs={pairs}, context=source, workers=1, out=out)
else:
    tokenize(corpus, {tokenizer!r}, out)
"""


def run(script: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def same(a: Counts, b: Counts) -> bool:
    vectors = all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("df", "tf", "pair_df", "background"))
    assert a.context is not None
    assert b.context is not None
    return vectors and a.units == b.units and a.documents == b.documents and (a.context != b.context).nnz == 0


@pytest.fixture
def corpus(write: Any, tmp_path: Path) -> Path:
    rng = np.random.default_rng(5)
    for file in range(6):
        texts = [
            " ".join(rng.choice(["the", "a", "tree", *WORDS], rng.integers(0, 30))) for _ in range(300 - 10 * file)
        ]
        write(texts, f"corpus/{file}.jsonl")
    return tmp_path / "corpus"


@pytest.fixture
def store(corpus: Path, tmp_path: Path, tokenizer: Any) -> TokenStore:
    return tokenize(corpus, tokenizer, tmp_path / "store")


def files(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "units").glob("[!.]*.parquet")}


def checkpoints(out: Path) -> list[Path]:
    return sorted((out / "units").glob("*.context"))


def test_a_killed_run_goes_on_and_counts_exactly(corpus: Path, store: TokenStore, tmp_path: Path) -> None:
    out = tmp_path / "out"
    whole = count(corpus, WORDS, pairs=PAIRS, context=store, workers=1)
    killed = run(KILLED.format(words=WORDS, pairs=PAIRS), corpus, store.folder, out)
    assert killed.returncode == -9, killed.stderr
    done = files(out)
    assert len(done) == 2
    assert len(checkpoints(out)) == 2
    assert list((out / "units").glob(".*.part")), "the third unit was to be cut off while it was written"
    with pytest.raises(ValueError, match="must hold finished counts"):
        Counts.load(out)
    resumed = count(corpus, WORDS, pairs=PAIRS, context=store, workers=2, out=out)
    assert same(resumed, whole)
    assert len(files(out)) == 6
    assert done.items() <= files(out).items(), "finished units are not counted again"


def test_a_full_disk_stops_the_count_and_leaves_nothing_to_trust(
    corpus: Path, store: TokenStore, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    full = run(FULL.format(words=WORDS, pairs=PAIRS, tokenizer=""), corpus, store.folder, out, 1500)
    assert full.returncode == 1
    assert "OSError" in full.stderr.splitlines()[-1]
    assert files(out) == {}
    assert not (out / "counts.json").exists()
    assert same(
        count(corpus, WORDS, pairs=PAIRS, context=store, workers=1, out=out),
        count(corpus, WORDS, pairs=PAIRS, context=store, workers=1),
    )


def test_a_full_disk_stops_the_tokenizer_and_leaves_nothing_to_trust(
    corpus: Path, tmp_path: Path, tokenizer: Any
) -> None:
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    script = FULL.format(words=WORDS, pairs=PAIRS, tokenizer=str(tmp_path))
    full = run(script, corpus, "", tmp_path / "out", 4000)
    assert full.returncode == 1
    assert "OSError" in full.stderr.splitlines()[-1]
    assert not list((tmp_path / "out" / "units").glob("*.parquet"))
    store = tokenize(corpus, tokenizer, tmp_path / "out")
    assert sum(len(store.table(unit)) for unit in store.units) == 6 * 300 - 150


def test_a_place_under_a_file_is_refused_before_any_work(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "read_texts", lambda *_: pytest.fail("no document may be read"))
    with pytest.raises((NotADirectoryError, FileExistsError)):
        count(corpus, WORDS, out=corpus / "0.jsonl" / "out", workers=1)


def page_of(path: Path, kind: int) -> int:
    """A place inside a page of the cells of ``kind``."""
    about = pq.read_metadata(path)
    groups = [about.row_group(group) for group in range(about.num_row_groups)]
    column = next(group for group in groups if group.column(0).statistics.min == kind).column(1)
    begin = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
    return int(begin) + int(column.total_compressed_size) - 1  # the last byte of its last page


@pytest.mark.parametrize("kind", ["parquet", "postings"])
def test_damaged_postings_are_refused_when_they_are_asked(corpus: Path, tmp_path: Path, kind: str) -> None:
    counts = count(corpus, WORDS, workers=1, out=tmp_path / "out")
    assert counts.query("cat").num_rows == counts.df[0]
    victim = min((tmp_path / "out" / "units").glob(f"*.{kind}"))
    raw = bytearray(victim.read_bytes())
    raw[page_of(victim, module.LANGUAGE) if kind == "parquet" else 20] ^= 0x55
    victim.write_bytes(raw)
    with pytest.raises(InputError, match="must be the unit counts that the total was made of") as refusal:
        counts.query("cat")
    assert refusal.value.path == str(victim)
    victim.unlink()
    with pytest.raises(InputError, match="must be the unit counts that the total was made of"):
        Counts.load(tmp_path / "out").query("cat")


KINDS = ("*.parquet", "*.postings", "*.context/0.rows", "*.context/units.json")
DAMAGES = [(kind, damage) for kind in KINDS for damage in ("gone", "empty", "short", "flipped", "foreign")]
DAMAGES.remove(("*.postings", "flipped"))  # postings are not read until they are asked, and then refused


@pytest.mark.parametrize(("kind", "damage"), DAMAGES)
def test_damaged_unit_counts_are_made_anew(
    corpus: Path, store: TokenStore, tmp_path: Path, kind: str, damage: str
) -> None:
    out = tmp_path / "out"
    whole = count(corpus, WORDS, pairs=PAIRS, context=store, workers=1, out=out, checkpoint=0)
    victim, other = sorted((out / "units").glob(kind))[:2]
    before = {path: path.read_bytes() for path in (out / "units").glob("*.*[sp][!x]*") if path.is_file()}
    raw = victim.read_bytes()
    flipped = bytearray(raw)
    flipped[page_of(victim, module.DF) if kind == "*.parquet" else 20] ^= 0x55
    damaged = {"empty": b"", "short": raw[:-20], "flipped": bytes(flipped), "foreign": other.read_bytes()}
    if damage == "gone":
        victim.unlink()
    else:
        victim.write_bytes(damaged[damage])
    assert same(count(corpus, WORDS, pairs=PAIRS, context=store, workers=1, out=out), whole)
    assert {path: path.read_bytes() for path in before} == before
    held = [name for folder in checkpoints(out) if (names := units_of(folder)) for name in names]
    assert sorted(set(held)) == sorted(whole.units)


def units_of(checkpoint: Path) -> list[str]:
    try:
        return list(orjson.loads((checkpoint / "units.json").read_bytes())["units"])
    except (OSError, orjson.JSONDecodeError):
        return []


def test_tables_that_change_places_before_they_are_added_up_are_counted_anew(
    corpus: Path, store: TokenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = count(corpus, WORDS, pairs=PAIRS, context=store, workers=1)
    out = tmp_path / "out"

    def run_and_swap(*arguments: Any) -> None:
        count_units(*arguments)
        if not list(out.glob("*.swapped")):
            one, another = sorted((out / "units").glob("*.context/0.rows"))[:2]
            one.rename(out / "1.swapped")
            another.rename(one)
            (out / "1.swapped").rename(another)
            (out / "2.swapped").touch()

    monkeypatch.setattr(run_module, "count_units", run_and_swap)
    counts = count(corpus, WORDS, pairs=PAIRS, context=store, workers=1, out=out, checkpoint=0)
    assert same(counts, whole)
    assert (out / "2.swapped").exists()


@pytest.mark.parametrize("seconds", [0, 1e9])
def test_a_checkpoint_holds_the_units_since_the_one_before(
    corpus: Path, store: TokenStore, tmp_path: Path, seconds: float
) -> None:
    out = tmp_path / "out"
    counts = count(corpus, WORDS, context=store, workers=1, out=out, checkpoint=seconds)
    held = [units_of(folder) for folder in checkpoints(out)]
    assert len(held) == (6 if seconds == 0 else 1)
    assert sorted(name for names in held for name in names) == list(counts.units)


def test_checkpoints_that_share_units_count_once(corpus: Path, store: TokenStore, tmp_path: Path) -> None:
    """Of files 0 to 2, of 2 and 3, of 0 to 3, of 4: the third holds the first two."""
    out = tmp_path / "out"
    for chosen in ([0, 1, 2], [2, 3], [0, 1, 2, 3], [4]):
        paths = [corpus / f"{file}.jsonl" for file in chosen]
        expected = count(paths, WORDS, pairs=PAIRS, context=store, workers=1)
        assert same(count(paths, WORDS, pairs=PAIRS, context=store, workers=1, out=out), expected)
    whole = count(corpus, WORDS, pairs=PAIRS, context=store, workers=1)
    assert same(count(corpus, WORDS, pairs=PAIRS, context=store, workers=2, out=out), whole)
    held = [name for folder in checkpoints(out) for name in units_of(folder)]
    assert sorted(held) == list(whole.units), "what the total was not made of is gone"


def test_blocks_of_a_killed_process_are_swept_and_those_of_a_living_one_are_not(corpus: Path, tmp_path: Path) -> None:
    units = tmp_path / "out" / "units"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    stale, living, foreign = (
        units / name
        for name in (
            f"{unit_tokens.BLOCKS}{ended.pid}-a",
            f"{unit_tokens.BLOCKS}{os.getpid()}-a",
            ".blocks-elsewhere-1-a",
        )
    )
    for place in (stale, living, foreign):
        place.mkdir(parents=True)
        (place / "0.rows").touch()
    count(corpus, WORDS, workers=1, out=tmp_path / "out")
    assert [place.exists() for place in (stale, living, foreign)] == [False, True, True]


def test_other_words_pairs_or_rules_do_not_share_unit_counts(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    count(corpus, WORDS, workers=1, out=out)
    for words, pairs, on_error in ((WORDS[:2], [], "raise"), (WORDS, PAIRS, "raise"), (WORDS, [], "skip")):
        before = len(files(out))
        counts = count(corpus, words, pairs=pairs, on_error=on_error, workers=1, out=out)
        assert len(counts.words) == len(words)
        assert len(files(out)) == before + 6


def test_blocks_of_the_context_table_do_not_change_it(
    corpus: Path, store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = count(corpus, WORDS, pairs=PAIRS, context=store, workers=1)
    monkeypatch.setattr(unit_counter, "RUN_HITS", 1)
    monkeypatch.setattr(module, "GROUP_CELLS", 7)
    monkeypatch.setattr(unit_tokens, "CELL_BYTES", 1 << 40)  # so that a block is of one document
    assert same(count(corpus, WORDS, pairs=PAIRS, context=store, workers=1), whole)


def test_the_cells_of_unit_counts_add_up_in_any_engine(corpus: Path, tmp_path: Path) -> None:
    counts = count(corpus, WORDS, pairs=PAIRS, workers=1, out=tmp_path / "out")
    paths = sorted((tmp_path / "out" / "units").glob("*.parquet"))
    cells = pq.read_table(paths, filters=[("kind", "<=", module.PAIR)])
    cells = cells.group_by(["kind", "row"]).aggregate([("count", "sum")])
    table = np.zeros((3, 3), np.int64)
    table[tuple(cells[name].to_numpy() for name in ("kind", "row"))] = cells["count_sum"].to_numpy()
    assert np.array_equal(table[module.DF], counts.df)
    assert np.array_equal(table[module.TF], counts.tf)
    assert np.array_equal(table[module.PAIR, :1], counts.pair_df)

"""Progress bars: when one appears, what it shows, and that it disturbs nothing else."""

from __future__ import annotations

import contextlib
import io
import re
import time

import numpy as np
import pytest
from rich.console import Console

import pivotkit as pk
from pivotkit import progress
from pivotkit.corpus.counting import workers
from pivotkit.corpus.token_graph import build


@pytest.fixture
def screen(monkeypatch) -> io.StringIO:
    """A terminal, on which a bar appears at once."""
    written = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=written, force_terminal=True, width=120))
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    return written


def wait_for(screen: io.StringIO, text: str) -> bool:
    give_up = time.monotonic() + 20
    while not (seen := re.search(text, shown(screen))) and time.monotonic() < give_up:
        time.sleep(0.01)
    return bool(seen)


def shown(screen: io.StringIO) -> str:
    """What was written, without the sequences that color it and move the cursor."""
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", screen.getvalue())


def test_a_bar_appears_before_the_first_item_is_done(screen):
    for _ in progress.track([1, 2, 3], "Working"):
        assert wait_for(screen, "Working")
    assert "3/3" in shown(screen)


def test_bytes_come_with_a_rate_and_the_time_that_is_left(screen):
    with progress.progress("Reading", 4_000_000, progress.BYTES) as tell:
        for done in range(1_000_000, 4_000_000, 1_000_000):
            tell(done)
            time.sleep(0.02)
        assert wait_for(screen, r"3\.0/4\.0 MB")
        assert wait_for(screen, r"[\d.]+ [kMG]?B(ytes)?/s")
        assert wait_for(screen, r"\d:\d\d:\d\d.* \d:\d\d:\d\d")


def test_work_of_unknown_size_shows_how_long_it_has_taken(screen):
    with progress.progress("Adding up", amount=()):
        assert wait_for(screen, r"Adding up .* \d:\d\d:\d\d")


def test_quick_work_shows_nothing(screen, monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", 1000.0)
    assert list(progress.track([1, 2, 3], "Working")) == [1, 2, 3]
    assert screen.getvalue() == ""


def test_a_file_gets_one_line_at_the_end(monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=written, width=120))
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    for _ in progress.track([1, 2], "Working"):
        time.sleep(0.3)
    [line] = written.getvalue().splitlines()
    assert re.match(r"  Working .*2/2", line)
    assert "\x1b" not in line


def test_work_inside_other_work_is_no_error(screen):
    with progress.progress("Outer", 1) as tell:
        assert wait_for(screen, "Outer")
        assert list(progress.track([1], "Inner")) == [1]
        tell(1)
    assert "1/1" in shown(screen)


def test_an_error_ends_the_bar(screen):
    def work():
        with progress.progress("Working", 1):
            assert wait_for(screen, "Working")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    end = len(screen.getvalue())
    time.sleep(0.3)
    assert len(screen.getvalue()) == end


# ---- what is told


@pytest.fixture
def told(monkeypatch) -> list[tuple[int, list[int]]]:
    """The total of each bar, and all that it was told."""
    bars: list[tuple[int, list[int]]] = []

    @contextlib.contextmanager
    def recorded(description, total=None, amount=progress.ITEMS):
        assert amount == progress.BYTES
        bars.append((total, []))
        yield bars[-1][1].append

    for module in (workers, build):
        monkeypatch.setattr(module, "progress", recorded)
    return bars


@pytest.fixture
def files(tmp_path) -> pk.TokenFiles:
    ids = np.arange(3_000_000, dtype="<u2") % 50
    for name, part in (("a", ids), ("b", ids[:1000]), ("c", ids[:500_000])):
        part.tofile(tmp_path / f"{name}.npy")
    return pk.TokenFiles(str(tmp_path / "*.npy"), vocab_size=400, eos=49)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("unit", [None, "300KB"])
def test_counting_tells_the_bytes_of_token_files(processes, unit, files, tokenizer, told):
    pk.count(files, pk.TokenWatchList(["dog"], tokenizer), workers=processes, unit=unit)
    [(total, done)] = told
    assert total == 2 * 3_501_000
    assert done[-1] == total
    assert done == sorted(done)
    if processes == 1:
        assert len(set(done)) > 3  # within the units too


def test_counting_tells_the_bytes_of_text_as_they_lie_on_the_disk(tmp_path, told):
    import zstandard

    lines = b'{"text": "' + b"dog and cat " * 50 + b'"}\n'
    (tmp_path / "a.jsonl").write_bytes(lines * 20_000)
    (tmp_path / "b.jsonl.zst").write_bytes(zstandard.compress(lines * 20_000))
    pk.count(tmp_path, ["dog"], workers=1)
    [(total, done)] = told
    assert total == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert done[-1] == total
    assert done == sorted(done)
    assert len(set(done)) > 3


def test_what_an_earlier_run_finished_is_not_told_again(files, tokenizer, tmp_path, told):
    watch = pk.TokenWatchList(["dog"], tokenizer)
    for _ in range(2):
        pk.count(files, watch, workers=1, out=tmp_path / "out")
    assert [total for total, _ in told] == [2 * 3_501_000, 0]


def test_a_token_graph_tells_the_bytes_of_its_ids(files, tmp_path, told):
    pk.token_graph(files, out=tmp_path / "graph", window=2)
    [(total, done)] = told
    assert done[-1] == total == 2 * 3_501_000

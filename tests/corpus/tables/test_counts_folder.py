"""The folder of counts: saved all at once, never mixed, and never read where a bit is another."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from pivotkit.artifacts import WHOLE, read_json, settle, write_json, write_sealed
from pivotkit.cli import main
from pivotkit.corpus import Counts, TokenFiles, TokenWatchList, count
from pivotkit.corpus.tables.context_table import open_context
from pivotkit.errors import InputError

VOCABULARY = 300


def watch() -> TokenWatchList:
    core = Tokenizer(WordLevel({f"w{i}": i for i in range(VOCABULARY)}, unk_token="w0"))
    return TokenWatchList([f"w{i}" for i in range(1, 40)], core)


def counted(folder: Path, name: str, out: Path | None = None, seed: int = 0, **more: Any) -> Counts:
    ids = np.random.default_rng([seed, *name.encode()]).integers(1, VOCABULARY, 4000).astype("<u2")
    ids[49::50] = 0
    ids.tofile(folder / f"{name}.npy")
    files = TokenFiles(folder / f"{name}.npy", vocab_size=VOCABULARY, eos=0)
    given = {"context": True, "workers": 1} | more
    return count(files, watch(), pairs=[("w1", "w2"), ("w3", "w4")], out=out, **given)


@pytest.fixture(scope="module")
def two(made_once: Any) -> Path:
    """Counts ``A`` and ``B`` of two files."""

    def make(folder: Path) -> None:
        for name in "AB":
            counted(folder, name, folder / name)

    return made_once("two-counts", make)


@pytest.fixture
def copies(two: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(two, tmp_path / "two"))


def files(folder: Path) -> list[Path]:
    """All files but checkpoints, which only a count reads again."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.parent.suffix != ".context"]
    return sorted(path for path in found if not path.name.startswith("."))


def merged(*arguments: Path) -> int:
    *counts, out = map(str, arguments)
    return main(["merge", *counts, "--out", out])


def same(one: Counts, other: Counts) -> bool:
    assert one.context is not None
    assert other.context is not None
    arrays = all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("df", "tf", "pair_df", "background")
    )
    return arrays and one.units == other.units and np.array_equal(one.context.toarray(), other.context.toarray())


@pytest.mark.parametrize("seed", range(12))
def test_a_flipped_bit_anywhere_is_refused_by_the_name_of_its_file(seed: int, copies: Path, capsys: Any) -> None:
    """In every file once, and at every one of the twelve seeds in another place."""
    random_ = random.Random(seed)
    for path in files(copies / "A"):
        raw = path.read_bytes()
        at = random_.choice([random_.randrange(len(raw)), random_.randrange(min(len(raw), 200)), len(raw) - 1])
        damaged = bytearray(raw)
        damaged[at] ^= 1 << random_.randrange(8)
        path.write_bytes(damaged)
        capsys.readouterr()
        assert merged(copies / "A", copies / "B", copies / "sum") == 2, (path, at)
        assert path.name in capsys.readouterr().err.splitlines()[-1], (path, at)
        assert not (copies / "sum").exists()
        path.write_bytes(raw)
    assert merged(copies / "A", copies / "B", copies / "sum") == 0


def test_the_top_byte_of_a_token_id_is_refused(copies: Path, capsys: Any) -> None:
    path = copies / "A" / "context" / "tokens.npy"
    raw = bytearray(path.read_bytes())
    raw[128 + 4 * ((len(raw) - 128) // 8) + 3] ^= 0x40
    path.write_bytes(raw)
    assert merged(copies / "A", copies / "B", copies / "sum") == 2
    assert "tokens.npy: must hold a whole context table" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("tokens", lambda old: np.where(np.arange(len(old)) == 7, VOCABULARY, old).astype("<i4"), r"not in \[0, 300\)"),
        ("tokens", lambda old: np.where(np.arange(len(old)) == len(old) - 1, -1, old).astype("<i4"), r"not in \[0, 300\)"),
        ("tokens", lambda old: old.astype("<i8"), "got int64"),
        ("tokens", lambda old: old[:-1], "do not ascend from 0 to"),
        ("indptr", lambda old: np.where(np.arange(len(old)) == 3, 1 << 40, old), "do not ascend"),
        ("indptr", lambda old: np.where(np.arange(len(old)) == 0, 1, old), "do not ascend"),
        ("indptr", lambda old: np.where(np.arange(len(old)) == 5, -1, old), "do not ascend"),
        ("indptr", lambda old: old[:-1], "for 39 words"),
        ("df", lambda old: old[1:], "tokens"),
        ("df", lambda old: old.astype("<f4"), "got float32"),
        ("df", lambda old: old.reshape(1, -1), "tokens"),
    ],
)  # fmt: skip
def test_what_native_code_relies_on_is_checked_without_digests(
    name: str, value: Any, problem: str, copies: Path
) -> None:
    path = copies / "A" / "context" / f"{name}.npy"
    np.save(path, value(np.load(path)))
    with pytest.raises(InputError, match=problem) as caught:
        open_context(copies / "A" / "context", 39, VOCABULARY)
    assert caught.value.path.endswith(".npy")


@pytest.mark.parametrize("order", [("A", "B"), ("B", "A"), ("A",)])
def test_a_sum_may_take_the_place_of_its_first_summand(order: Any, copies: Path) -> None:
    whole = Counts.load(copies / "A").merge(Counts.load(copies / "B")) if len(order) > 1 else Counts.load(copies / "A")
    assert merged(*(copies / name for name in order), copies / "A") == 0
    found = Counts.load(copies / "A")
    assert same(found, whole)
    assert found.query("w1").num_rows == found.df[found.index("w1")]  # the units of both are where they were
    assert Counts.load(copies / "B").documents > 0


LIMITED = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0})); {1}"
ENTRY = "from pivotkit.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize("size", [100, 1500, 3000, 9000, 20_000, 60_000])
def test_a_merge_that_fails_at_any_file_destroys_no_input(size: int, copies: Path) -> None:
    before = {path: path.read_bytes() for path in files(copies)}
    arguments = ["merge", str(copies / "A"), str(copies / "B"), "--out", str(copies / "A")]
    limited = LIMITED.format(size, ENTRY)
    done = subprocess.run([sys.executable, "-c", limited, *arguments], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert (done.returncode, {path: path.read_bytes() for path in files(copies)}) == (2, before)
    assert Counts.load(copies / "A").documents > 0


KILLED = """
    import os, signal, sys, threading
    from pathlib import Path
    from pivotkit.corpus import Counts
    one, two, out = (Path(name) for name in sys.argv[1:4])
    counts = [Counts.load(one), Counts.load(two)]
    print("begun", flush=True)
    threading.Timer(float(sys.argv[4]), lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
    for number in range(100_000):
        counts[number % 2].save(out)
"""


def test_a_kill_at_any_moment_leaves_the_old_counts_or_the_new(copies: Path) -> None:
    one, two = Counts.load(copies / "A"), Counts.load(copies / "B")
    out = copies / "out"
    one.save(out)
    for number in range(12):
        arguments = [str(copies / "A"), str(copies / "B"), str(out), str(0.01 * number + 0.003)]
        killed = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(KILLED), *arguments], check=False, capture_output=True
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        found = Counts.load(out)
        assert same(found, one) or same(found, two)
    one.save(out)
    assert same(Counts.load(out), one)
    assert not list(out.glob(".*.part")), "what the killed processes left is swept"


@pytest.mark.parametrize("moved", range(8))
def test_a_kill_between_the_renames_leaves_the_new_counts(moved: int, copies: Path) -> None:
    """A save is decided by one rename; ``moved`` of its files had found their places when it was killed."""
    out, new = copies / "A", copies / "B"
    whole = Counts.load(new)
    names = [path.relative_to(new) for path in files(new) if "units" not in path.parts]
    for name in names:
        (out / WHOLE / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(new / name, out / WHOLE / name)
    for name in names[:moved]:
        (out / WHOLE / name).replace(out / name)
    found = Counts.load(out)
    assert same(found, whole)
    assert not (out / WHOLE).exists()
    settle(out)


def test_counts_are_saved_whole_where_others_were_counted_since(tmp_path: Path) -> None:
    for first, second in ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10)):
        out = tmp_path / f"out{first}"
        one = counted(tmp_path, "a", out, first)
        want = one.context.toarray().copy()
        counted(tmp_path, "b", out, second)
        one.save(out)
        got = Counts.load(out)
        assert same(got, one)
        assert np.array_equal(got.context.toarray(), want)
        assert same(Counts.load(got.save(out)), one)


def test_tables_that_the_new_counts_lack_are_gone(tmp_path: Path) -> None:
    counted(tmp_path, "a", tmp_path / "out")
    plain = counted(tmp_path, "a", tmp_path / "plain", context=False)
    plain.save(tmp_path / "out")
    assert not list((tmp_path / "out" / "context").glob("*.npy"))
    assert Counts.load(tmp_path / "out").context is None


def test_a_count_that_fails_keeps_the_counts_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted(tmp_path, "a", tmp_path / "out", 1)
    before = {path: path.read_bytes() for path in files(tmp_path / "out") if "units" not in path.parts}

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pivotkit.artifacts.pq.write_table", full)
    with pytest.raises(OSError, match="No space left"):
        counted(tmp_path, "a", tmp_path / "out", 2)
    assert before == {path: path.read_bytes() for path in before}


@pytest.mark.parametrize("key", ["skipped", "units", "context", "files", "documents", "format", "digest"])
def test_a_header_without_a_key_is_refused(key: str, copies: Path) -> None:
    path = copies / "A" / "counts.json"
    header = read_json(path)
    del header[key]
    write_json(header, path)
    with pytest.raises(InputError, match=r"counts\.json"):
        Counts.load(copies / "A")


def test_a_folder_of_before_digests_is_refused_with_what_to_do(copies: Path) -> None:
    path = copies / "A" / "counts.json"
    write_sealed({"format": 3, "documents": 1}, path)
    with pytest.raises(InputError, match="must have format 4; got 3: count again, which keeps the units"):
        Counts.load(copies / "A")
    before = {path.name for path in (copies / "A" / "units").iterdir()}
    counted(copies, "A", copies / "A")
    assert before <= {path.name for path in (copies / "A" / "units").iterdir()}
    assert Counts.load(copies / "A").documents == 80

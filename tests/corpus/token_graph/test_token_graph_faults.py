"""What the token graph refuses, what it finds broken, and the memory it keeps within."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from token_graphs import FILES, LEAST, block, finish, run

from pivotkit import _C
from pivotkit.corpus import TokenFiles
from pivotkit.corpus.token_graph.build import TokenGraph, token_graph
from pivotkit.errors import CorpusError, InputError

# ---- refusals ----


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"window": 0}, ValueError, "window must be in"),
        ({"window": 2.0}, TypeError, "window must be an int"),
        ({"vocabulary": 0}, ValueError, "vocabulary must be in"),
        ({"vocabulary": 1.5}, TypeError, "vocabulary must be an int"),
        ({"vocabulary": None}, ValueError, "vocabulary must be given"),
        ({"denominator": 0}, ValueError, "denominator must be"),
        ({"memory": "1KB"}, ValueError, "memory must be at least"),
        ({"memory": "much"}, ValueError, "memory must be"),
        ({"documents": 3}, TypeError, "documents must be"),
        ({"documents": [3]}, TypeError, "documents must be"),
        ({"documents": [([1], [0, 1])]}, TypeError, "ids must be"),
        ({"documents": [(np.array([1.0]), np.array([0, 1]))]}, TypeError, "ids must be"),
        ({"documents": [(np.array([1]), np.array([0, 2]))]}, ValueError, "offsets must begin at 0"),
        ({"documents": [(np.array([1, 2]), np.array([0, 2, 1, 2]))]}, ValueError, "offsets must begin at 0"),
        ({"documents": [(np.array([1, 7]), np.array([0, 2]))]}, IndexError, r"ids must be in \[0, 7\); got 7 at 1"),
        ({"documents": [(np.array([1, -1]), np.array([0, 2]))]}, IndexError, r"ids must be in \[0, 7\); got -1 at 1"),
        ({"units": ["a", "a"]}, ValueError, "units must be distinct"),
        ({"units": "a"}, TypeError, "units must be a sequence"),
    ],
)
def test_arguments_that_cannot_be_are_refused(tmp_path: Path, options: Any, error: Any, message: str) -> None:
    arguments = {"documents": [block([[1, 2]])], "vocabulary": 7, **options}
    with pytest.raises(error, match=f"^token_graph: {message}"):
        token_graph(out=tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


def test_an_id_outside_the_vocabulary_names_file_and_token(tmp_path: Path) -> None:
    np.array([1, 2, 9, 3], "<u2").tofile(tmp_path / "part.npy")
    with pytest.raises(CorpusError, match=r"part\.npy, token 2: must be an id in \[0, 9\); got 9"):
        token_graph(TokenFiles(tmp_path / "part.npy", vocab_size=9, eos=0), out=tmp_path / "graph")
    with pytest.raises(CorpusError, match=r"part\.npy, token 2: must be below the vocabulary, 9; got 9"):
        token_graph(TokenFiles(tmp_path / "part.npy", vocab_size=10, eos=0), out=tmp_path / "graph", vocabulary=9)


def test_an_index_outside_the_vocabulary_is_refused(tmp_path: Path) -> None:
    graph = token_graph([block([[1, 2]])], out=tmp_path, vocabulary=3)
    for call in (lambda: graph.row(3), lambda: graph.row(-1), lambda: graph.weight(0, 3), lambda: graph.weight(-1, 0)):
        with pytest.raises(IndexError, match=r"must be in \[0, 3\)"):
            call()


def test_a_matrix_that_would_not_fit_is_refused(tmp_path: Path) -> None:
    graph = token_graph([block([list(range(100)) * 3])], out=tmp_path, vocabulary=100)
    with pytest.raises(ValueError, match=r"to_scipy: memory must be at least [0-9]+ bytes for 1000 cells; got 1000"):
        graph.to_scipy(memory=1000)


def test_the_native_counter_checks_what_it_is_given(tmp_path: Path) -> None:
    one = np.array([1], np.int64)

    def counter(vocabulary: int = 5, weights: Any = one, memory: int = LEAST, fan_in: int = 64) -> Any:
        return _C.TokenGraphCounter(vocabulary, weights, True, memory, str(tmp_path), fan_in)

    for arguments in ({"vocabulary": 0}, {"vocabulary": 1 << 31}, {"weights": one[:0]}, {"weights": -one},
                      {"weights": one << 31}, {"memory": 0}, {"fan_in": 1}, {"fan_in": 1000}):  # fmt: skip
        with pytest.raises(ValueError, match="must"):
            counter(**arguments)
    ids, offsets = np.array([1, 4], np.uint16), np.array([0, 2])
    for cell in ((0, [0, 1], [1], [1]), (4, [0, 2], [1, 1], [1, 1]), (9, [0, 0], [], []), (0, [0, 1], [-1], [1])):
        with pytest.raises(IndexError, match="must"):
            counter().add_rows(cell[0], *(np.array(part, kind) for part, kind in zip(cell[1:], "lil", strict=True)))
    for call in (
        lambda: counter().add_rows(0, np.array([0, 1]), np.array([0], np.int32), np.array([0])),
        lambda: counter().add(ids, np.array([0, 1])),
        lambda: counter().add(ids, offsets, continued=True),
    ):
        with pytest.raises(ValueError, match="must"):
            call()
    with pytest.raises(TypeError, match="uint16 or uint32"):
        counter().add(ids.astype(np.int64), offsets)
    spent = counter()
    with pytest.raises(IndexError, match="must be below the vocabulary, 5; got 5"):
        spent.add(ids + np.uint16(1), offsets)
    spent.add(ids, offsets)  # nothing was counted, nothing is broken
    finish(spent, tmp_path)
    for call in (lambda: spent.add(ids, offsets), spent.spill, lambda: finish(spent, tmp_path)):
        with pytest.raises(RuntimeError, match="must not be used"):
            call()


# ---- faults ----


def counter_with_runs(folder: Path) -> tuple[_C.TokenGraphCounter, list[Path]]:
    counter = _C.TokenGraphCounter(300, np.array([2, 1]), True, LEAST, str(folder))
    rng = np.random.default_rng(4)
    for _ in range(3):
        counter.add(*block([(rng.zipf(1.3, 4000) % 300).tolist()]))
        counter.spill()
    return counter, sorted(folder.glob("*.run"))


def test_a_run_that_is_not_as_it_was_written_is_found(tmp_path: Path) -> None:
    _, runs = counter_with_runs(tmp_path)
    size = runs[1].stat().st_size
    assert len(runs) == 3
    assert size > 4096

    def truncate(raw: bytearray) -> None:
        del raw[-1:]

    def extend(raw: bytearray) -> None:
        raw.append(0)

    def empty(raw: bytearray) -> None:
        raw.clear()

    def flip(bit: int) -> Any:
        def change(raw: bytearray) -> None:
            raw[bit // 8] ^= 1 << bit % 8

        return change

    bits = np.random.default_rng(5).integers(0, size * 8, 60).tolist()
    for change in (truncate, extend, empty, *map(flip, [*range(0, 200, 7), *bits])):
        for path in tmp_path.iterdir():
            path.unlink()
        counter, runs = counter_with_runs(tmp_path)
        raw = bytearray(runs[1].read_bytes())
        change(raw)
        runs[1].write_bytes(raw)
        with pytest.raises(CorpusError, match=r"1\.run, byte [0-9]+: must hold"):
            finish(counter, tmp_path)
        del counter
        assert not list(tmp_path.glob("*.run"))


def test_a_run_that_is_gone_is_an_error_of_the_system(tmp_path: Path) -> None:
    counter, runs = counter_with_runs(tmp_path)
    runs[2].unlink()
    with pytest.raises(FileNotFoundError) as refused:
        finish(counter, tmp_path)
    assert refused.value.filename == str(runs[2])


FULL = """
import errno, resource, signal, sys
from pathlib import Path
import numpy as np
from pivotkit.corpus.token_graph.build import token_graph

folder, limit, memory = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
ids = (np.random.default_rng(0).zipf(1.2, 100_000) % 3000).astype(np.uint16)
before = token_graph([(ids[:100], np.array([0, 100]))], out=folder, vocabulary=3000)
expected = before.totals.tolist()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    token_graph([(ids, np.array([0, len(ids)]))], out=folder, vocabulary=3000, memory=memory)
except OSError as error:
    after = token_graph.__globals__["TokenGraph"].load(folder)
    print(errno.errorcode[error.errno], Path(error.filename).suffix, after.totals.tolist() == expected,
          sorted(path.name for path in folder.iterdir()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of file sizes are the system's")
@pytest.mark.parametrize(("limit", "memory", "suffix"), [(10_000, 700_000, ".run"), (300_000, 20_000_000, ".part")])
def test_a_full_disk_leaves_the_old_graph_and_nothing_else(
    tmp_path: Path, limit: int, memory: int, suffix: str
) -> None:
    """While runs are spilled, and while the graph is written."""
    name, failed, kept, left = run(FULL, tmp_path, limit, memory).split(maxsplit=3)
    assert (name, failed, kept) == ("EFBIG", suffix, "True")
    assert left.strip() == str(sorted(FILES))


def test_a_folder_without_a_whole_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must hold a finished token graph; found no graph\.json"):
        TokenGraph.load(tmp_path)
    token_graph([block([[1, 2, 3]])], out=tmp_path, vocabulary=4)
    whole = {name: (tmp_path / name).read_bytes() for name in FILES}
    header = json.loads(whole["graph.json"])
    for name, content in {
        "graph.json": orjson.dumps({**header, "format": 0}),
        "columns.npy": whole["columns.npy"][:-1],
        "totals.npy": whole["columns.npy"],
        "offsets.npy": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            TokenGraph.load(tmp_path)
        (tmp_path / name).write_bytes(whole[name])
    (tmp_path / "totals.npy").unlink()
    with pytest.raises(InputError, match="totals"):
        TokenGraph.load(tmp_path)


# ---- memory ----


MEASURE = """
import resource, sys
import numpy as np
from pathlib import Path
from pivotkit.corpus import TokenFiles
from pivotkit.corpus.token_graph.build import token_graph

folder, memory = Path(sys.argv[1]), int(sys.argv[2])
small = (np.arange(20) % 7).astype(np.uint16)
token_graph([(small, np.array([0, 20]))], out=folder / "small", vocabulary=30_000)  # what a first call loads
file = TokenFiles(folder / "part.npy", vocab_size=30_000, eos=0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
graph = token_graph(file, out=folder / "graph", vocabulary=30_000, memory=memory)
counted = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
graph.merge(graph.load(folder / "graph"), out=folder / "merged", memory=memory)
merged = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
size = sum((folder / "graph" / name).stat().st_size for name in ("columns.npy", "totals.npy"))
print((counted - before) * 1024, (merged - before) * 1024, size)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
def test_peak_memory_stays_within_the_budget_where_corpus_and_graph_are_several_times_larger(tmp_path: Path) -> None:
    memory = 16 << 20
    rng = np.random.default_rng(6)
    share = np.cumsum(1 / (np.arange(30_000) + 3))
    ids = np.searchsorted(share, rng.random(10_000_000, np.float32) * share[-1]).astype("<u2")
    ids[::400] = 0
    ids.tofile(tmp_path / "part.npy")
    counted, merged, size = map(int, run(MEASURE, tmp_path, memory).split())
    assert size > 10 * memory
    assert ids.nbytes > memory
    assert counted <= memory + (4 << 20)  # 4 MiB: allocator slack and Python's own
    assert merged <= memory + (4 << 20)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss > 0

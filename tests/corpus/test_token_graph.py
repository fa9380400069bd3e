"""The token graph: every total exact, whatever the blocks, the memory and the order of merging."""

from __future__ import annotations

import itertools
import json
import resource
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import numba
import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

import pivotkit
from pivotkit import _C
from pivotkit.corpus import read_documents, tokenize
from pivotkit.corpus.pair_weights import pair_weights
from pivotkit.corpus.token_files import open_olmo
from pivotkit.corpus.token_graph import TokenGraph, token_graph
from pivotkit.errors import CorpusError, InputError

FILES = ("columns.npy", "totals.npy", "offsets.npy", "graph.json")
LEAST = 400_000  # bytes that suffice for a small vocabulary with any fan-in

ids = st.integers(0, 6)
documents = st.lists(st.lists(ids, max_size=30), max_size=8)
tables = st.lists(st.integers(0, 5), min_size=1, max_size=12).filter(any)


def block(texts: list[list[int]], dtype: str = "<u2") -> tuple[Any, Any]:
    offsets = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    return np.array(list(itertools.chain.from_iterable(texts)), dtype), offsets


def pairs(texts: list[list[int]], weights: list[int], symmetric: bool) -> dict[tuple[int, int], int]:
    """Every pair of positions, one after the other."""
    found: Counter[tuple[int, int]] = Counter()
    for text in texts:
        for i, j in itertools.combinations(range(len(text)), 2):
            if j - i <= len(weights) and weights[j - i - 1]:
                a, b = text[i], text[j]
                found[(max(a, b), min(a, b)) if symmetric else (a, b)] += weights[j - i - 1]
    return dict(found)


def cells(graph: TokenGraph) -> dict[tuple[int, int], int]:
    rows = np.repeat(np.arange(graph.vocabulary), np.diff(graph.offsets))
    return dict(zip(zip(rows.tolist(), graph.columns.tolist(), strict=True), graph.totals.tolist(), strict=True))


def files(folder: Path) -> list[bytes]:
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)  # and nothing temporary
    return [(folder / name).read_bytes() for name in FILES]


def least_memory(vocabulary: int, weights: Any, fan_in: int, folder: Path) -> int:
    with pytest.raises(ValueError, match="memory must be at least") as refused:
        _C.TokenGraphCounter(vocabulary, weights, True, 1, str(folder), fan_in)
    return int(str(refused.value).split("at least ")[1].split()[0])


def finish(counter: _C.TokenGraphCounter, folder: Path) -> list[bytes]:
    names = [str(folder / name) for name in FILES[:3]]
    counter.finish(*names)
    return [Path(name).read_bytes() for name in names]


# ---- exact ----


def test_a_pair_has_the_weight_of_its_distance_and_none_beyond_the_window_or_the_document(tmp_path: Path) -> None:
    graph = token_graph([block([[1, 2, 3, 1], [2, 2]])], out=tmp_path, window=2, vocabulary=5)
    assert graph.weights.numerators == (2, 1)
    assert graph.weights.denominator == 2
    assert {pair: graph.weight(*pair) for pair in itertools.combinations_with_replacement(range(5), 2)} == {
        (0, 0): 0, (0, 1): 0, (0, 2): 0, (0, 3): 0, (0, 4): 0, (1, 1): 0, (1, 2): 1.5, (1, 3): 1.5, (1, 4): 0,
        (2, 2): 1, (2, 3): 1, (2, 4): 0, (3, 3): 0, (3, 4): 0, (4, 4): 0,
    }  # fmt: skip
    assert graph.weight(2, 1) == graph.weight(1, 2)
    assert (graph.documents, graph.tokens, graph.cells, graph.approximation) == (2, 6, 4, None)


@pytest.mark.parametrize("symmetric", [True, False])
def test_row_weight_and_matrix_agree(tmp_path: Path, symmetric: bool) -> None:
    rng = np.random.default_rng(0)
    texts = [(rng.zipf(1.5, 200) % 40).tolist() for _ in range(20)]
    graph = token_graph([block(texts)], out=tmp_path, weight="flat", symmetric=symmetric, vocabulary=50)
    expected = np.zeros((50, 50), np.int64)
    for (a, b), total in pairs(texts, [1] * 10, symmetric).items():
        expected[a, b] = total
        if symmetric:
            expected[b, a] = total
    matrix = graph.to_scipy()
    assert matrix.dtype == np.int64
    assert np.array_equal(matrix.toarray(), expected)
    for token in range(50):
        neighbours, weights = graph.row(token)
        assert np.array_equal(neighbours, np.flatnonzero(expected[token]))
        assert np.array_equal(weights, expected[token][neighbours])
        assert [graph.weight(token, other) for other in range(50)] == expected[token].tolist()


@given(texts=documents, weights=tables, symmetric=st.booleans(), wide=st.booleans())
def test_totals_are_those_of_every_pair_of_positions(tmp_path_factory, texts, weights, symmetric, wide) -> None:
    table = np.array(weights, np.int64)
    folder = tmp_path_factory.mktemp("graph")
    vocabulary = 70_000 if wide else 7
    shifted = [[token * 9999 for token in text] for text in texts] if wide else texts
    counter = _C.TokenGraphCounter(vocabulary, table, symmetric, 10_000_000, str(folder))
    counter.add(*block(shifted, "<u4"))
    finish(counter, folder)
    columns, totals, offsets = (np.load(folder / name) for name in FILES[:3])
    rows = np.repeat(np.arange(vocabulary), np.diff(offsets))
    found = dict(zip(zip(rows.tolist(), columns.tolist(), strict=True), totals.tolist(), strict=True))
    assert found == pairs(shifted, weights, symmetric)


@settings(max_examples=60)
@given(data=st.data(), texts=documents, weights=tables, symmetric=st.booleans(), fan_in=st.integers(2, 4))
def test_cuts_spills_memory_and_levels_of_merging_change_no_byte(
    tmp_path_factory, data, texts, weights, symmetric, fan_in
) -> None:
    table = np.array(weights, np.int64)
    folder = tmp_path_factory.mktemp("graph")
    whole = _C.TokenGraphCounter(7, table, symmetric, 10_000_000, str(folder))
    whole.add(*block(texts))
    once = finish(whole, folder)

    least = least_memory(7, table, fan_in, folder)
    counter = _C.TokenGraphCounter(7, table, symmetric, least + data.draw(st.integers(0, 400)), str(folder), fan_in)
    for text in texts:
        bounds = [0, *sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4))), len(text)]
        for place, (begin, end) in enumerate(itertools.pairwise(bounds)):
            counter.add(*block([text[begin:end]]), continued=place > 0)
            if data.draw(st.booleans()):
                counter.spill()
    assert finish(counter, folder) == once
    assert (counter.documents, counter.tokens) == (whole.documents, whole.tokens)
    assert len(list(folder.iterdir())) == 3  # no run is left


def test_one_document_longer_than_any_block_is_counted_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    text = rng.integers(0, 30, 40_000).astype(np.uint16)
    offsets = np.array([0, len(text)])
    table = np.array([5, 0, 3, 1, 1, 1, 2], np.int64)
    results = []
    for extra in (0, 5_000, 10_000_000):
        counter = _C.TokenGraphCounter(30, table, True, least_memory(30, table, 3, tmp_path) + extra, str(tmp_path), 3)
        counter.add(text, offsets)
        results.append((counter.runs > 20, finish(counter, tmp_path)))
    assert [many for many, _ in results] == [True, True, False]
    assert results[0][1] == results[1][1] == results[2][1]
    columns, totals, starts = (np.load(tmp_path / name) for name in FILES[:3])
    expected = np.zeros((30, 30), np.int64)
    for distance, weight in enumerate(table.tolist(), 1):
        np.add.at(expected, (text[distance:], text[:-distance]), weight)
    expected = np.tril(expected + np.triu(expected, 1).T)
    assert np.array_equal(csr_array((totals, columns, starts), shape=(30, 30)).toarray(), expected)


@pytest.mark.parametrize("bytes_at_once", [1, 25, 100, 10_000])
@pytest.mark.parametrize("dtype", ["<u2", "<u4", "<i4", "<i8", ">i2", "u1"])
def test_pieces_of_a_source_are_its_documents(tmp_path: Path, bytes_at_once: int, dtype: str, monkeypatch: Any) -> None:
    monkeypatch.setattr("pivotkit.corpus.token_graph.LARGEST_PIECE", bytes_at_once)
    texts = [[], [1, 2, 3, 4, 5, 6, 7, 8], [], [], [3], [4, 4, 4, 1], []]
    graph = token_graph([block(texts, dtype)], out=tmp_path, window=3, weight="flat", vocabulary=9)
    assert cells(graph) == pairs(texts, [1, 1, 1], True)
    assert (graph.documents, graph.tokens) == (7, 13)


def test_nothing_at_all_is_an_empty_graph(tmp_path: Path) -> None:
    graph = token_graph([], out=tmp_path, vocabulary=3)
    assert (graph.cells, graph.documents, graph.tokens, graph.weight(1, 2)) == (0, 0, 0, 0.0)
    assert [len(part) for part in graph.row(1)] == [0, 0]
    assert graph.to_scipy().nnz == 0


def test_windows_longer_than_documents_and_than_blocks(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    texts = [rng.integers(0, 9, size).tolist() for size in (300, 1, 40, 0, 2, 90)]
    graph = token_graph([block(texts)], out=tmp_path, window=1000, weight="flat", vocabulary=9)
    assert cells(graph) == pairs(texts, [1] * 1000, True)


# ---- sources ----


def test_token_files_and_stores_are_read_by_unit(tmp_path: Path, tokenizer: Any) -> None:
    texts = [[[1, 2, 3, 0], [4, 4, 0]], [[2, 5, 0], [1, 0]]]
    sources = []
    for place, part in enumerate(texts):
        np.array(list(itertools.chain.from_iterable(part)), "<u2").tofile(tmp_path / f"{place}.npy")
        sources.append(open_olmo(tmp_path / f"{place}.npy", dtype="uint16", eos=0))
    graph = token_graph(sources, out=tmp_path / "both", window=2, weight="flat")
    assert cells(graph) == pairs([*texts[0], *texts[1]], [1, 1], True)
    assert (graph.vocabulary, len(graph.units), graph.tokenizer) == (6, 2, None)
    assert token_graph(sources[0], out=tmp_path / "one", window=2).units != graph.units
    with pytest.raises(ValueError, match=r"documents must hold each unit once; got .*0\.npy twice"):
        token_graph([sources[0], sources[0]], out=tmp_path / "twice")

    (tmp_path / "text.jsonl").write_bytes(
        b"".join(orjson.dumps({"text": text}) + b"\n" for text in ("dog cat", "cat house cat"))
    )
    store = tokenize(tmp_path / "text.jsonl", tokenizer, tmp_path / "store")
    graph = token_graph(store, out=tmp_path / "stored", weight="flat")
    assert cells(graph) == pairs([d.tolist() for d in store.documents(store.units[0])], [1] * 10, True)
    assert (graph.vocabulary, graph.tokenizer) == (store.vocab_size, store.fingerprint)
    assert graph.units == (store.units[0].name,)


def test_a_real_corpus_against_sparse_products(shared: Path, real_models: Path, tmp_path: Path) -> None:
    """300 documents of each language, shift by shift as SciPy's sums of coordinates."""
    sample = []
    for source in sorted((shared / "data" / "corpus").glob("*.jsonl.zst")):
        sample.append(tmp_path / source.with_suffix("").name)
        texts = next(iter(read_documents(source))).texts[:300]
        sample[-1].write_bytes(b"".join(orjson.dumps({"text": text}) + b"\n" for text in texts))
    store = tokenize(sample, real_models / "smollm2-135m", tmp_path / "store")
    graph = token_graph(store, out=tmp_path / "graph", memory="12MB")
    shape = (store.vocab_size, store.vocab_size)
    expected = csr_array(shape, dtype=np.int64)
    for unit in store.units:
        ids, owners = store.ids(unit), np.repeat(np.arange(len(store.offsets(unit)) - 1), np.diff(store.offsets(unit)))
        for distance in range(1, 11):
            same = owners[distance:] == owners[:-distance]
            a, b = ids[distance:][same].astype(np.int64), ids[:-distance][same].astype(np.int64)
            totals = np.full(len(a), 2520 // distance)
            expected = expected + csr_array((totals, (np.maximum(a, b), np.minimum(a, b))), shape=shape)
    expected.sum_duplicates()
    assert graph.weights.denominator == 2520
    assert graph.cells == expected.nnz > 500_000
    assert np.array_equal(graph.offsets, expected.indptr)
    assert np.array_equal(graph.columns, expected.indices)
    assert np.array_equal(graph.totals, expected.data)


# ---- weights ----


@given(window=st.integers(1, 40))
def test_harmonic_weights_are_exact_up_to_sixteen_and_within_half_a_step_beyond(window: int) -> None:
    table = pair_weights("f", "harmonic", window)
    for distance, numerator in enumerate(table.numerators, 1):
        error = abs(Fraction(numerator, table.denominator) - Fraction(1, distance))
        assert error == 0 if window <= 16 else error <= Fraction(1, 1 << 21)


def test_a_function_of_the_distance_may_be_python_njit_or_cfunc(tmp_path: Path) -> None:
    def halves(distance):
        return 2.0**-distance

    expected = pair_weights("f", halves, 8)
    assert expected.numerators == (128, 64, 32, 16, 8, 4, 2, 1)
    assert pair_weights("f", numba.njit(halves), 8) == expected
    assert pair_weights("f", numba.cfunc("float64(int64)")(halves), 8) == expected
    texts = [[1, 2, 3, 1, 2], [2, 2]]
    graph = token_graph([block(texts)], out=tmp_path, weight=halves, window=8, vocabulary=4)
    assert cells(graph) == pairs(texts, list(expected.numerators), True)
    assert graph.weight(1, 2) == 0.5 + 0.5 + 0.25 + 0.0625
    assert TokenGraph.load(tmp_path).weights == expected


def test_a_constant_function_counts_as_flat_does() -> None:
    table = pair_weights("f", lambda distance: 1.0, 3)
    assert (table.numerators, table.denominator) == ((1, 1, 1), 1)


def test_a_denominator_rounds_once_with_ties_to_even() -> None:
    table = pair_weights("f", lambda distance: 0.25 * distance + 0.25, 6, denominator=2)
    assert (table.numerators, table.denominator) == ((1, 2, 2, 2, 3, 4), 2)


def test_numba_is_loaded_only_for_a_function(tmp_path: Path) -> None:
    code = (
        "import sys; from pivotkit.corpus.pair_weights import pair_weights as w; w('f', 'harmonic', 10)\n"
        "before = 'numba' in sys.modules; w('f', lambda d: 1.0 / d, 10); print(before, 'numba' in sys.modules)"
    )
    assert run(code).split() == ["False", "True"]


@pytest.mark.parametrize(
    ("weight", "rule"),
    [
        (lambda d: np.nan, "finite and at least 0; got nan at distance 1"),
        (lambda d: np.inf if d == 2 else 1.0, "finite and at least 0; got inf at distance 2"),
        (lambda d: 1.0 - d, "finite and at least 0; got -1.0 at distance 2"),
        (lambda d: 1e-9, "0 or more than 1 / 2097152"),
        (lambda d: 0.0, "above 0 at some distance"),
        (lambda d: 1e6, "a sum of at most 2.30 / denominator, 1024; got 4e\\+06"),
        (lambda d: 1 / (d - 1), "not raise; got ZeroDivisionError"),
        ("linear", "'harmonic', 'flat' or a function; got 'linear'"),
    ],
)
def test_weights_that_cannot_be_are_refused(weight: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=f"^f: weight must .*{rule}"):
        pair_weights("f", weight, 4)


@pytest.mark.parametrize(
    "weight", [3, None, lambda a, b: 1.0, lambda d: "x", numba.cfunc("float64(float64)")(lambda d: d)]
)
def test_weights_that_are_no_function_of_a_distance_are_refused(weight: Any) -> None:
    with pytest.raises(TypeError, match=r"^f: weight must be"):
        pair_weights("f", weight, 4)


# ---- merging ----


def parts(tmp_path: Path, count: int = 3, **options: Any) -> tuple[list[TokenGraph], TokenGraph]:
    rng = np.random.default_rng(3)
    blocks = [block([(rng.zipf(1.3, size) % 300).tolist() for size in rng.integers(0, 99, 20)]) for _ in range(count)]
    single = [
        token_graph([one], out=tmp_path / f"part-{place}", vocabulary=300, units=[f"unit-{place}"], **options)
        for place, one in enumerate(blocks)
    ]
    names = [f"unit-{place}" for place in range(count)]
    return single, token_graph(blocks, out=tmp_path / "whole", vocabulary=300, units=names, **options)


@pytest.mark.parametrize("symmetric", [True, False])
def test_merging_is_counting_everything_in_any_order_and_grouping(tmp_path: Path, symmetric: bool) -> None:
    (a, b, c), whole = parts(tmp_path, symmetric=symmetric)
    merged = a.merge(b, c, out=tmp_path / "abc")
    assert files(merged.folder) == files(whole.folder)
    assert files(c.merge(a, b, out=tmp_path / "cab", memory=LEAST).folder) == files(whole.folder)
    assert files(a.merge(b, out=tmp_path / "ab").merge(c, out=tmp_path / "ab-c").folder) == files(whole.folder)
    assert files(a.merge(b.merge(c, out=tmp_path / "bc"), out=tmp_path / "a-bc").folder) == files(whole.folder)
    assert (merged.documents, merged.tokens, merged.units) == (60, whole.tokens, ("unit-0", "unit-1", "unit-2"))


def test_merging_counts_a_unit_once(tmp_path: Path) -> None:
    (a, b, c), whole = parts(tmp_path)
    ab = a.merge(b, out=tmp_path / "ab")
    assert files(ab.merge(a, ab, out=tmp_path / "again").folder) == files(ab.folder)
    assert files(a.merge(whole, c, out=tmp_path / "all").folder) == files(whole.folder)
    assert files(ab.merge(c, out=ab.folder).folder) == files(whole.folder)  # onto itself
    bc = b.merge(c, out=tmp_path / "bc")
    with pytest.raises(ValueError, match="must share no work units or all; got 1 in common"):
        a.merge(b, out=tmp_path / "ab").merge(bc, out=tmp_path / "never")


def test_many_graphs_merge_over_several_levels(tmp_path: Path) -> None:
    single, whole = parts(tmp_path, 11)
    merged = single[0].merge(*single[1:], out=tmp_path / "merged", memory=LEAST, _fan_in=2)
    assert files(merged.folder) == files(whole.folder)


def test_graphs_of_another_kind_do_not_merge(tmp_path: Path) -> None:
    texts = [block([[1, 2]])]
    one = token_graph(texts, out=tmp_path / "one", vocabulary=3)
    for name, options in {
        "weights": {"window": 5},
        "vocabulary": {"vocabulary": 4},
        "symmetric": {"symmetric": False},
    }.items():
        other = token_graph(texts, **{"out": tmp_path / name, "vocabulary": 3, **options})
        with pytest.raises(ValueError, match=f"merge: others must have the same {name}"):
            one.merge(other, out=tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_a_total_beyond_63_bits_is_an_error(tmp_path: Path) -> None:
    offsets, columns = np.array([0, 1]), np.array([0], np.int32)
    for totals in ([1 << 62, (1 << 62) - 1], [1 << 62, 1 << 62]):
        counter = _C.TokenGraphCounter(1, np.array([1]), True, LEAST, str(tmp_path))
        for total in totals:
            counter.add_rows(0, offsets, columns, np.array([total]))
        if sum(totals) < 1 << 63:
            finish(counter, tmp_path)
            assert np.load(tmp_path / "totals.npy").tolist() == [(1 << 63) - 1]
        else:
            with pytest.raises(OverflowError, match="must stay below 2\\^63"):
                finish(counter, tmp_path)


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
    file = open_olmo(tmp_path / "part.npy", dtype="uint16", eos=0)
    with pytest.raises(CorpusError, match=r"part\.npy, token 2: must be below the vocabulary, 9; got 9"):
        token_graph(file, out=tmp_path / "graph", vocabulary=9)


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


def run(code: str, *arguments: Any) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    root = Path(pivotkit.__file__).parents[1]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    return done.stdout


FULL = """
import errno, resource, signal, sys
from pathlib import Path
import numpy as np
from pivotkit.corpus.token_graph import token_graph

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
from pivotkit.corpus.token_files import open_olmo
from pivotkit.corpus.token_graph import token_graph

folder, memory = Path(sys.argv[1]), int(sys.argv[2])
small = (np.arange(20) % 7).astype(np.uint16)
token_graph([(small, np.array([0, 20]))], out=folder / "small", vocabulary=30_000)  # what a first call loads
file = open_olmo(folder / "part.npy", dtype="uint16", eos=0)
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

"""The token graph: every total exact, whatever the blocks, the memory and the order of merging."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from token_formats import made_store, write_datatrove, write_megatron, write_olmo
from token_graphs import FILES, LEAST, block, cells, files, finish, least_memory, pairs

from pivotkit import _C
from pivotkit.corpus import TokenFiles, read_documents, tokenize
from pivotkit.corpus.reading.units import Unit
from pivotkit.corpus.token_graph.build import TokenGraph, token_graph

ids = st.integers(0, 6)
documents = st.lists(st.lists(ids, max_size=30), max_size=8)
tables = st.lists(st.integers(0, 5), min_size=1, max_size=12).filter(any)


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
    monkeypatch.setattr("pivotkit.corpus.token_graph.build.LARGEST_PIECE", bytes_at_once)
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


def name_of(path: Path) -> str:
    return Unit.of(path).name


def test_token_files_and_stores_are_read_by_unit(tmp_path: Path, tokenizer: Any) -> None:
    texts = [[[1, 2, 3, 0], [4, 4, 0]], [[2, 5, 0], [1, 0]]]
    paths = [write_olmo(tmp_path / f"{place}.npy", part) for place, part in enumerate(texts)]
    files = TokenFiles(paths, vocab_size=6, eos=0, tokenizer="made up")
    graph = token_graph(files, out=tmp_path / "both", window=2, weight="flat")
    assert cells(graph) == pairs([*texts[0], *texts[1]], [1, 1], True)
    assert (graph.vocabulary, graph.units, graph.tokenizer) == (6, tuple(sorted(map(name_of, paths))), "made up")
    one = TokenFiles(paths[0], vocab_size=6, eos=0)
    assert token_graph(one, out=tmp_path / "one", window=2).units == (name_of(paths[0]),)
    with pytest.raises(ValueError, match=r"documents must hold each unit once; got .*0\.npy twice"):
        token_graph(files, out=tmp_path / "twice", units=[name_of(paths[0])])

    (tmp_path / "text.jsonl").write_bytes(
        b"".join(orjson.dumps({"text": text}) + b"\n" for text in ("dog cat", "cat house cat"))
    )
    store = tokenize(tmp_path / "text.jsonl", tokenizer, tmp_path / "store")
    graph = token_graph(store, out=tmp_path / "stored", weight="flat")
    assert cells(graph) == pairs([d.tolist() for d in store.documents(store.units[0])], [1] * 10, True)
    assert (graph.vocabulary, graph.tokenizer) == (store.vocab_size, store.fingerprint)
    assert graph.units == (store.units[0].name,)


@given(texts=documents, tokens=st.integers(1, 40), format=st.sampled_from(["olmo", "megatron", "datatrove", "store"]))
def test_files_in_any_format_and_blocks_give_the_graph_of_their_documents(
    tmp_path_factory, texts, tokens, format
) -> None:
    folder = tmp_path_factory.mktemp("files")
    if format == "olmo":
        texts = [[*text, 7] for text in texts]
        source = TokenFiles(write_olmo(folder / "a.npy", texts), vocab_size=8, eos=7)
    elif format == "megatron":
        path = write_megatron(folder / "a.bin", [[text] for text in texts], 4, "<i4")
        source = TokenFiles(path, vocab_size=8, format="megatron")
    elif format == "datatrove":
        source = TokenFiles(write_datatrove(folder / "a.ds", texts), vocab_size=8, format="datatrove")
    else:
        source = made_store(folder, texts, vocab_size=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pivotkit.corpus.token_graph.build.LARGEST_PIECE", tokens * 24)
        graph = token_graph(source, out=folder / "graph", window=4, weight="flat")
    assert cells(graph) == pairs(texts, [1] * 4, True)
    assert (graph.documents, graph.tokens) == (len(texts), sum(map(len, texts)))


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

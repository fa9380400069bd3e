"""Token files in units: every document once, whatever the cut; counts of tokens against brute force."""

from __future__ import annotations

from itertools import chain, combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from token_formats import write_datatrove, write_megatron
from tokenizers import Tokenizer

from pivotkit.corpus import Counts, TokenFiles, TokenWatchList, count, tokenize
from pivotkit.corpus.reading import token_blocks
from pivotkit.corpus.reading.documents import Unit
from pivotkit.corpus.reading.scope import DOCUMENT, Scope
from pivotkit.errors import CorpusError

EOS = 14  # one beyond the tokenizer's ids
WORDS = ["cat", "dog", "chat", "chien", "tree"]


def documents_of(files: TokenFiles, units: list[Unit], scope: Scope = DOCUMENT) -> list[list[int]]:
    return [
        block.ids[a:b].tolist()
        for unit in units
        for block in files.blocks(unit, scope)
        for a, b in pairwise(block.offsets)
    ]


def split(ids: list[int], eos: int, bos: int | None) -> list[list[int]]:
    """Documents by a plain loop."""
    documents, begin = [], 0
    for place, token in enumerate(ids):
        if token == eos and (bos is None or place + 1 == len(ids) or ids[place + 1] == bos):
            documents.append(ids[begin : place + 1])
            begin = place + 1
    return [*documents, ids[begin:]] if begin < len(ids) else documents


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(0, 3), max_size=40),
    st.integers(2, 60),
    st.sampled_from([None, 1, 0]),
    st.integers(1, 9),
    st.sampled_from(["uint16", "uint32"]),
)
def test_every_document_is_in_one_unit(
    tmp_path: Path, monkeypatch: Any, ids: list[int], unit: int, bos: int | None, block: int, dtype: str
) -> None:
    monkeypatch.setattr(token_blocks, "BLOCK_TOKENS", block)
    path = tmp_path / "a.npy"
    np.array(ids, dtype).tofile(path)
    files = TokenFiles(path, vocab_size=4, dtype=dtype, eos=0, bos=bos)
    expected = split(ids, 0, bos)
    assert documents_of(files, files.work_units(None, DOCUMENT)) == expected
    assert documents_of(files, files.work_units(unit, DOCUMENT)) == expected
    assert documents_of(files, [Unit.of(path)]) == expected
    scope = Scope("instance", 3)
    instances = [ids[i : i + 3] for i in range(0, len(ids) - 2, 3)]
    assert documents_of(files, files.work_units(unit, scope), scope) == instances


@pytest.mark.parametrize("unit", [None, 1, 10, 64, 10**6])
@pytest.mark.parametrize("format", ["megatron", "megatron-int32", "datatrove"])
def test_files_with_an_index_are_cut_at_documents(tmp_path: Path, format: str, unit: int | None) -> None:
    rng = np.random.default_rng(1)
    documents = [rng.integers(0, 9, size).tolist() for size in [0, 5, 1, 0, 30, 2, 7, 0]]
    if format == "datatrove":
        path = write_datatrove(tmp_path / "a.ds", documents)
    else:
        code, dtype = (8, "<u2") if format == "megatron" else (4, "<i4")
        path = write_megatron(tmp_path / "a.bin", [[document] for document in documents], code, dtype)
    files = TokenFiles(path, vocab_size=9, format=format.split("-")[0])
    units = files.work_units(unit, DOCUMENT)
    assert documents_of(files, units) == documents
    assert len(units) == 1 if unit in (None, 10**6) else len(units) > 1


@pytest.fixture
def corpus(tmp_path: Path, tokenizer: Tokenizer) -> tuple[TokenFiles, list[list[int]]]:
    rng = np.random.default_rng(3)
    documents: list[list[int]] = []
    (tmp_path / "tokens").mkdir()
    for name in ("a", "b", "c"):
        # Without [UNK], which may stand for what is joined to the words beside it.
        here = [[*rng.integers(1, EOS, rng.integers(0, 40)).tolist(), EOS] for _ in range(50)]
        np.array(list(chain.from_iterable(here)), "<u2").tofile(tmp_path / "tokens" / f"{name}.npy")
        documents += here
    return TokenFiles(tmp_path / "tokens", vocab_size=EOS + 1, eos=EOS, tokenizer="words"), documents


def expected_counts(watch: TokenWatchList, documents: list[list[int]], window: int | None) -> tuple[Any, Any]:
    """Presence (N, W) and pairs by plain loops; every word of this tokenizer is one token, spelled with any edge."""
    ids = [watch.spellings[word][0][0] for word in range(len(watch))]
    present = np.array([[token in document for token in ids] for document in documents], np.int64)
    pairs = []
    for a, b in combinations(range(len(ids)), 2):
        near = 0
        for document in documents:
            places = [[i for i, token in enumerate(document) if token == ids[word]] for word in (a, b)]
            near += any(window is None or abs(i - j) < window for i in places[0] for j in places[1])
        pairs.append(near)
    return present, pairs


@pytest.mark.parametrize("scope", ["document", "window:4", "instance:16"])
def test_tokens_are_counted_like_brute_force_in_any_units_and_processes(
    tmp_path: Path, corpus: Any, tokenizer: Tokenizer, scope: str
) -> None:
    files, documents = corpus
    if scope.startswith("instance"):
        documents = []
        for path in files.paths():
            ids = np.fromfile(path, "<u2").tolist()
            documents += [ids[i : i + 16] for i in range(0, len(ids) - 15, 16)]
    watch = TokenWatchList(WORDS, tokenizer)
    pairs = list(combinations(WORDS, 2))
    present, together = expected_counts(watch, documents, 4 if scope == "window:4" else None)
    bags = np.array([np.bincount(document, minlength=EOS + 1) > 0 for document in documents], np.int64)
    rows = present.T @ bags
    if scope == "window:4":
        words = [watch.spellings[word][0][0] for word in range(len(watch))]
        rows = np.zeros_like(rows)
        for ids in map(np.array, documents):
            for word, token in enumerate(words):
                near = [ids[max(place - 3, 0) : place + 4] for place in np.flatnonzero(ids == token)]
                rows[word, np.unique(np.concatenate([np.zeros(0, int), *near]))] += 1
    made = [
        count(
            files,
            watch,
            pairs=pairs,
            scope=scope,
            context=True,
            unit=unit,
            workers=workers,
            out=tmp_path / f"{unit}-{workers}",
        )
        for unit, workers in ((None, 1), (100, 1), (100, 2), (7, 1))
    ]
    for counts in made:
        assert counts.documents == len(documents)
        assert counts.df.tolist() == present.sum(0).tolist()
        assert counts.pair_df.tolist() == together
        assert counts.context is not None
        assert np.array_equal(counts.context.toarray(), rows)
        assert np.array_equal(counts.background, bags.sum(0))
        assert (counts.scope, counts.tokenizer, counts.approximation) == (scope, "words", None)
        assert counts.query("cat", "dog").num_rows == int((present[:, 0] & present[:, 1]).sum())
    tables = [
        "words.parquet",
        "pairs.parquet",
        "background.parquet",
        "context/df.npy",
        "context/tokens.npy",
        "context/indptr.npy",
    ]
    for name in tables:
        assert len({(tmp_path / folder / name).read_bytes() for folder in ("None-1", "100-1", "100-2", "7-1")}) == 1


def test_which_documents_hold_words_is_answered_without_another_scan(
    tmp_path: Path, corpus: Any, tokenizer: Tokenizer
) -> None:
    files, documents = corpus
    count(files, TokenWatchList(WORDS, tokenizer), workers=1, out=tmp_path / "out")
    for path in files.paths():
        path.unlink()
    found = Counts.load(tmp_path / "out").query("cat", "chien")
    expected = [(f"{'abc'[i // 50]}.npy", i % 50) for i, document in enumerate(documents) if {3, 6} <= set(document)]
    assert [
        (Path(path).name, row) for path, row in zip(found["path"].to_pylist(), found["row"].to_pylist(), strict=True)
    ] == expected
    assert found["lang"].null_count == len(expected)


def test_counts_of_steps_are_those_of_the_instances_read_by_then(
    tmp_path: Path, corpus: Any, tokenizer: Tokenizer
) -> None:
    files, _ = corpus
    watch = TokenWatchList(WORDS, tokenizer)
    counts = count(files, watch, pairs=[("cat", "dog")], scope="instance:8", unit=100, workers=1, out=tmp_path / "out")
    instances = []
    for path in files.paths():
        ids = np.fromfile(path, "<u2").tolist()
        instances += [ids[i : i + 8] for i in range(0, len(ids) - 7, 8)]
    order = np.random.default_rng(0).permutation(len(instances)).astype("<u4")
    order.tofile(tmp_path / "global_indices.npy")
    read = np.memmap(tmp_path / "global_indices.npy", "<u4", "r")
    steps = [0, 3, len(instances) // 4]
    found = counts.cumulative(read, 4, steps)
    for place, step in enumerate(steps):
        seen = [instances[i] for i in order[: 4 * step]]
        assert found.df[place].tolist() == [sum(watch.spellings[w][0][0] in one for one in seen) for w in range(5)]
        assert found.tf[place].tolist() == [sum(one.count(watch.spellings[w][0][0]) for one in seen) for w in range(5)]
        assert found.pair_df[place, 0] == sum({3, 4} <= set(one) for one in seen)
    twice = counts.cumulative(np.array([5, 5, 5]), 1, [3])
    assert twice.df[0].tolist() == [3 * (watch.spellings[w][0][0] in instances[5]) for w in range(5)]
    with pytest.raises(ValueError, match=r"order must name instances in \[0, \d+\); got 99999"):
        counts.cumulative(np.array([99999]), 1, [1])
    with pytest.raises(ValueError, match="steps must ascend within 3 steps of 1"):
        counts.cumulative(np.array([1, 2, 3]), 1, [4])


def test_counts_of_one_file_cut_otherwise_do_not_merge(corpus: Any, tokenizer: Tokenizer) -> None:
    files, _ = corpus
    watch = TokenWatchList(WORDS, tokenizer)
    made = [count(files, watch, unit=unit, workers=1) for unit in (None, 100, 200)]
    for one, other in combinations(made, 2):
        with pytest.raises(ValueError, match=r"must share no (part of a file cut into other|work) units"):
            one.merge(other)
    assert made[1].merge(count(files, watch, unit=100, workers=1)).documents == made[1].documents


def test_a_store_is_counted_as_tokens(write: Any, tmp_path: Path, tokenizer: Tokenizer) -> None:
    store = tokenize(write(["the cat and the dog", "chien", "cat"]), tokenizer, tmp_path / "store")
    counts = count(store, TokenWatchList(WORDS, tokenizer), pairs=[("cat", "dog")], scope="window:4", workers=1)
    assert (counts.df.tolist(), counts.pair("cat", "dog"), counts.tokenizer) == ([2, 1, 0, 1, 0], 1, store.fingerprint)
    assert (
        count(store, TokenWatchList(WORDS, tokenizer), pairs=[("cat", "dog")], scope="window:3", workers=1).pair(
            "cat", "dog"
        )
        == 0
    )


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"watchlist": ["cat"]}, TypeError, "watchlist must be a TokenWatchList for tokens; got list"),
        ({"context": "yes"}, TypeError, "context must be True or False for tokens; got str"),
        (
            {"scope": "window:0"},
            ValueError,
            "scope must be 'document', 'line', 'sentence', 'window:<tokens>' or 'instance:<tokens>'; got 'window:0'",
        ),
    ],
)
def test_wrong_arguments_are_refused(
    corpus: Any, tokenizer: Tokenizer, changes: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        count(**({"corpus": corpus[0], "watchlist": TokenWatchList(WORDS, tokenizer)} | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "npz"}, "format must be one of olmo, megatron, datatrove; got 'npz'"),
        ({"dtype": "int8"}, "dtype must be uint16 or uint32; got 'int8'"),
        ({"eos": None}, "eos must be given for olmo files and for no others; got None"),
        ({"format": "datatrove"}, "eos must be given for olmo files and for no others; got 3"),
        ({"format": "datatrove", "eos": None, "bos": 1}, "bos must come with eos"),
        ({"vocab_size": 0}, r"vocab_size must be in \[1, 2\^31\); got 0"),
    ],
)
def test_wrong_files_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TokenFiles(**({"files": "a.npy", "vocab_size": 9, "eos": 3} | changes))


def test_faults_name_the_file_and_the_place(tmp_path: Path, tokenizer: Tokenizer) -> None:
    watch = TokenWatchList(WORDS, tokenizer)
    path = tmp_path / "a.npy"
    np.array([3, 4, EOS], "<u2").tofile(path)
    files = TokenFiles(path, vocab_size=EOS + 1, eos=EOS)
    with pytest.raises(CorpusError, match="must match at least one"):
        TokenFiles(tmp_path / "b*.npy", vocab_size=9, eos=3).paths()
    with pytest.raises(CorpusError, match=r"must end in \.bin"):
        TokenFiles(path, vocab_size=9, format="megatron").paths()
    units = files.work_units(None, DOCUMENT)
    np.array([3], "<u2").tofile(path)
    with pytest.raises(CorpusError, match="must stay as it was when the run began"):
        list(files.blocks(units[0], DOCUMENT))
    path.write_bytes(b"123")
    with pytest.raises(CorpusError, match=r"byte 2.*must hold whole ids of uint16; got a part of one"):
        count(files, watch, workers=1)
    np.array([3, 99], "<u2").tofile(path)
    with pytest.raises(CorpusError, match=r"a\.npy, token 1: must be an id in \[0, 15\); got 99"):
        count(files, watch, workers=1)

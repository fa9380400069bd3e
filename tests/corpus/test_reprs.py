"""A public object says what it is in one line, without its arrays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from tokenizers import Tokenizer

from pivotkit.corpus import (
    Counts,
    TokenFiles,
    TokenWatchList,
    WatchList,
    count,
    match_documents,
    read_documents,
    read_texts,
    tokenize,
    work_units,
)
from pivotkit.corpus.reading.scope import Scope
from pivotkit.corpus.token_graph import TokenGraph, token_graph
from pivotkit.corpus.token_graph.pair_weights import pair_weights


def counted(words: int) -> Counts:
    zeros = np.zeros(words, np.int64)
    pairs = np.array([[0, 1]] * 40, np.int32)
    return Counts([f"w{i}" for i in range(words)], 8000, zeros, zeros, pairs, np.zeros(40, np.int64))


def test_counts_say_how_many_words_pairs_and_documents() -> None:
    counts = counted(1269)
    assert repr(counts) == "Counts(1,269 words, 40 pairs, 8,000 documents, scope='document')"
    context = csr_array((1269, 262144), dtype=np.float64)
    sampled = replace(counts, context=context, background=np.zeros(262144, np.int64), scope="window:9")
    assert repr(sampled) == ("Counts(1,269 words, 40 pairs, 8,000 documents, scope='window:9', context=(1269, 262144))")
    approximation = {"context": "bottom-k documents", "k": 5}
    assert repr(replace(sampled, approximation=approximation)).endswith(f", approximation={approximation})")


def test_token_files_say_what_is_given() -> None:
    files = TokenFiles(Path("a.bin"), vocab_size=9, format="megatron", tokenizer="t")
    assert repr(files) == "TokenFiles('a.bin', format='megatron', dtype='uint16', vocab_size=9, tokenizer='t')"
    many = TokenFiles([f"{i}.npy" for i in range(1000)], vocab_size=9, eos=0, bos=0)
    assert repr(many) == "TokenFiles(1,000 paths, format='olmo', dtype='uint16', vocab_size=9, eos=0, bos=0)"


def test_watch_lists_say_how_many_words(tokenizer: Tokenizer) -> None:
    assert repr(WatchList(["cat", "CAT", "dog"])) == "WatchList(2 words)"
    assert repr(TokenWatchList(["cat"], tokenizer)) == "TokenWatchList(1 word, 1 spelling)"


@pytest.fixture
def corpus(write: Any) -> Path:
    path: Path = write(["the cat and the dog", "chien", "cat"])
    return path


def test_documents_and_units_say_how_many(corpus: Path) -> None:
    size = corpus.stat().st_size
    assert repr(work_units(corpus)) == f"[Unit('{corpus}', {size} bytes)]"
    assert repr(work_units(corpus, size // 2)) == (
        f"[Unit('{corpus}', 0-{size // 2}, {size} bytes), Unit('{corpus}', {size // 2}-, {size} bytes)]"
    )
    assert repr(next(read_documents(corpus))) == "Batch(3 documents, 0 skipped)"
    assert repr(next(read_texts(corpus))) == "TextBlock(3 documents, 27 bytes, 0 skipped)"
    assert repr(match_documents(corpus, ["cat", "dog"])) == "Matches(3 documents, 2 words, 3 hits)"


def test_stores_blocks_and_postings_say_how_much(corpus: Path, tmp_path: Path, tokenizer: Tokenizer) -> None:
    store = tokenize(corpus, tokenizer, tmp_path / "store")
    name = f"{store.fingerprint[:8]}..."
    assert repr(store) == f"TokenStore('{tmp_path / 'store'}', 1 unit, vocab_size=15, tokenizer='{name}')"
    assert repr(next(store.blocks(store.units[0]))) == "TokenBlock(3 documents, 7 ids from 0)"
    watch = TokenWatchList(["cat", "dog"], tokenizer)
    counts = count(store, watch, pairs=[("cat", "dog")], scope="instance:3", workers=1, out=tmp_path / "out")
    assert repr(counts.postings) == "Postings(1 unit)"
    assert repr(counts.cumulative(np.array([0, 1]), 1, [1, 2])) == "Cumulative(2 steps, 2 words, 1 pair)"
    assert repr(Scope("window", 3)) == "Scope(kind='window', tokens=3)"


def test_a_token_graph_says_its_sizes_and_weights(tmp_path: Path) -> None:
    block = np.array([1, 2, 1], np.uint16), np.array([0, 2, 3])
    graph = token_graph([block], out=tmp_path, vocabulary=3000, window=2)
    expected = f"TokenGraph('{tmp_path}', 3,000 token ids, 1 cell, 2 documents, 3 tokens, 'harmonic', window=2, symmetric=True)"
    assert repr(graph) == repr(TokenGraph.load(tmp_path)) == expected


def test_long_tables_of_weights_are_cut() -> None:
    assert (
        repr(pair_weights("f", "flat", 8))
        == "PairWeights(name='flat', numerators=(1, 1, 1, 1, 1, 1, 1, 1), denominator=1)"
    )
    assert repr(pair_weights("f", "flat", 1000)) == (
        "PairWeights(name='flat', numerators=(1, 1, 1, 1, 1, 1, 1, 1, ... 992 more), denominator=1)"
    )

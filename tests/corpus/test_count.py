"""Counting a corpus: exact, in any number of processes."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pivotkit.corpus import Counts, TokenStore, count, tokenize
from pivotkit.corpus.counting import sources
from pivotkit.errors import CorpusError, InputError

WORDS = ["cat", "chat", "chats", "dog", "a1", "a12", "猫", "小猫", "the cat", "l'arbre", "é", "pain"]
PIECES = [*WORDS, "CAT", "the\ncat", "E\u0301", "'", " ", "，", "tree", "ｃａｔ", "_", "犬"]


def expected(oracle: Any, texts: list[str], words: list[str]) -> Any:
    return np.array([[oracle.occurrences(word, oracle.normalize(text)) for word in words] for text in texts], np.int64)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=12), min_size=1, max_size=12), st.booleans())
def test_counts_equal_the_oracle(
    oracle: Any, write: Any, tmp_path: Path, tokenizer: Tokenizer, documents: list[list[str]], spaced: bool
) -> None:
    texts = [(" " if spaced else "").join(pieces) for pieces in documents]
    half = len(texts) // 2
    files = [write(texts[:half], "a.jsonl"), write(texts[half:], "b.jsonl")]
    pairs = list(combinations(WORDS, 2))
    store = tokenize(files, tokenizer, tmp_path / f"store{abs(hash(tuple(texts)))}")
    counts = count(files, WORDS, pairs=pairs, context=store, workers=1)
    occurrences = expected(oracle, texts, WORDS)
    present = (occurrences > 0).astype(np.int64)
    bags = np.zeros((len(texts), store.vocab_size), np.int64)
    for document, text in enumerate(texts):
        bags[document, tokenizer.encode(text).ids] = 1
    assert counts.words == WORDS
    assert counts.documents == len(texts)
    assert np.array_equal(counts.df, present.sum(0))
    assert np.array_equal(counts.tf, occurrences.sum(0))
    assert counts.pair_df.tolist() == [
        int((present[:, i] & present[:, j]).sum()) for i, j in combinations(range(len(WORDS)), 2)
    ]
    assert counts.context is not None
    assert np.array_equal(counts.context.toarray(), present.T @ bags)
    assert counts.background is not None
    assert np.array_equal(counts.background, bags.sum(0))


def same(a: Counts, b: Counts) -> bool:
    fields = ("words", "documents", "units", "skipped", "tokenizer", "scope")
    vectors = all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in ("df", "tf", "pairs", "pair_df", "background")
    )
    tables = (a.context is None) == (b.context is None) and (a.context is None or (a.context != b.context).nnz == 0)
    return vectors and tables and all(getattr(a, name) == getattr(b, name) for name in fields)


@pytest.fixture
def corpus(write: Any, tmp_path: Path) -> Path:
    """Seven files of unlike size."""
    rng = np.random.default_rng(3)
    for file in range(7):
        texts = [" ".join(rng.choice(["the", "a", *WORDS], rng.integers(0, 30))) for _ in range(5 + 40 * file)]
        write(texts, f"corpus/{file}.jsonl")
    return tmp_path / "corpus"


PAIRS = [("cat", "chat"), ("猫", "Cat"), ("dog", "dog"), ("chat", "cat"), ("cat", "chat")]


def test_workers_do_not_change_the_counts(corpus: Path, tmp_path: Path, tokenizer: Tokenizer) -> None:
    store = tokenize(corpus, tokenizer, tmp_path / "store")
    one = count(corpus, WORDS, pairs=PAIRS, context=store, workers=1)
    two = count(corpus, WORDS, pairs=PAIRS, context=store, workers=2, out=tmp_path / "out")
    assert same(one, two)
    assert same(one, Counts.load(tmp_path / "out"))
    parts = [count(file, WORDS, pairs=PAIRS, context=store, workers=1) for file in sorted(corpus.iterdir())]
    merged = parts[0]
    for part in [*parts[1:], parts[3]]:
        merged = part.merge(merged)
    assert same(one, merged)
    assert np.array_equal(one.df, merged.df)
    assert np.array_equal(one.pair_df, merged.pair_df)
    assert one.pair("chat", "cat") == int(one.pair_df[0]) == int(one.pair_df[4])


def test_words_and_pairs_take_any_spelling(write: Any) -> None:
    counts = count(write(["Haus maison", "haus"]), ["Haus", "HAUS", "maison"], pairs=[("HAUS", "Maison")], workers=1)
    assert counts.words == ["haus", "maison"]
    assert (counts.df.tolist(), counts.pair("Haus", "maison")) == ([2, 1], 1)


def test_no_documents_count_nothing(write: Any, tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = write([])
    counts = count(path, ["cat"], context=tokenize(path, tokenizer, tmp_path / "store"), out=tmp_path / "out")
    assert (counts.documents, counts.df.tolist()) == (0, [0])
    assert same(counts, Counts.load(tmp_path / "out"))


def test_skipped_documents_are_counted_as_skipped(write: Any, tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = write(["the cat", "a cat"])
    path.write_text("[]\n" + path.read_text() + '{"text": 1}\n')
    with pytest.raises(CorpusError, match="line 1"):
        count(path, ["cat"], workers=1)
    store = tokenize(path, tokenizer, tmp_path / "store", on_error="skip")
    counts = count(path, ["cat"], on_error="skip", context=store, workers=1, out=tmp_path / "out")
    assert (counts.documents, counts.skipped, counts.df.tolist()) == (2, 2, [2])
    with pytest.raises(ValueError, match="on_error must be the store's, 'skip'; got 'raise'"):
        count(path, ["cat"], context=store)


def test_a_bad_document_stops_every_worker(corpus: Path) -> None:
    (corpus / "3.jsonl").write_text('{"text": "cat"}\n{"text": 3}\n')
    with pytest.raises(CorpusError, match="line 2") as caught:
        count(corpus, WORDS, workers=2)
    assert caught.value.path == str(corpus / "3.jsonl")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"pairs": [("cat", "bird")]}, ValueError, "word must be in the watch list; got 'bird'"),
        (
            {"scope": "window"},
            ValueError,
            "scope must be 'document', 'line', 'sentence', 'window:<tokens>' or 'instance:<tokens>'; got 'window'",
        ),
        ({"scope": "instance:5"}, ValueError, "scope must not be of instances for text, which has no tokens"),
        ({"unit": "no"}, ValueError, "unit must be a positive size"),
        ({"context": True}, TypeError, "context must be False or a TokenStore for text; got True"),
        ({"on_error": "no"}, ValueError, "on_error must be 'raise' or 'skip'"),
        ({"memory": "lots"}, ValueError, "memory must be a positive size"),
        ({"workers": 0}, ValueError, "workers must be at least 1; got 0"),
        ({"workers": 1.0}, TypeError, "workers must be an int or None; got float"),
        ({"watchlist": []}, ValueError, "words must hold at least one word"),
        ({"corpus": "absent.jsonl"}, CorpusError, "must match at least one file"),
    ],
)
def test_wrong_arguments_are_refused(
    write: Any, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    values: dict[str, Any] = {"corpus": write(["cat"]), "watchlist": ["cat"]} | arguments
    with pytest.raises(error, match=message):
        count(**values)


def test_a_budget_that_cannot_hold_is_refused_before_any_work(
    corpus: Path, tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tokenize(corpus, tokenizer, tmp_path / "store")
    monkeypatch.setattr(sources, "read_texts", lambda *_: pytest.fail("no document may be read"))
    with pytest.raises(ValueError, match=r"count: memory must be at least \d{9} bytes for 1 processes; got 1000000"):
        count(corpus, WORDS, context=store, memory="1MB", workers=1)


def test_a_store_of_other_files_is_refused(corpus: Path, tmp_path: Path, tokenizer: Tokenizer) -> None:
    store = tokenize(corpus, tokenizer, tmp_path / "store")
    (corpus / "2.jsonl").write_text('{"text": "cat"}\n')
    with pytest.raises(InputError, match=r"must hold every file of the corpus as it is now; .*2\.jsonl is not in it"):
        count(corpus, WORDS, context=TokenStore.open(store.folder))


def test_languages_are_told_apart_without_another_scan(write: Any, tmp_path: Path) -> None:
    files = [
        write(["cat dog", "cat", "dog"], "a.jsonl", "en"),
        write(["cat", "chat"], "b.jsonl", "fr"),
        write([], "c.jsonl"),
    ]
    count(files, ["cat", "dog", "chat"], workers=1, unit=20, out=tmp_path / "out")
    counts = Counts.load(tmp_path / "out")
    rows = [tuple(row.values()) for row in counts.by_language().to_pylist()]
    assert rows == [("en", "cat", 2), ("en", "dog", 2), ("fr", "cat", 1), ("fr", "chat", 1)]
    assert [counts.query("cat", lang=lang).num_rows for lang in (None, "en", "fr", "de")] == [3, 2, 1, 0]
    assert counts.query("dog", "cat")["lang"].to_pylist() == ["en"]


def test_the_corpus_wing_loads_no_model_library() -> None:
    code = "import sys, pivotkit.corpus; print([name for name in ('torch', 'transformers', 'numba') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

"""Counts in lines, sentences and windows, against brute force: on both real tokenizers and six languages."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from scipy.sparse import csr_array
from text_pieces import pieces
from tokenizers import Tokenizer

from pivotkit import _C
from pivotkit.corpus import (
    TokenStore,
    TokenWatchList,
    count,
    match_spans,
    match_texts,
    read_documents,
    tokenize,
)

LANGUAGES = ("en", "fr", "de", "es", "ja", "zh")
WORDS = [
    *("file", "the file", "option", "can", "fichier", "le", "option", "Datei", "die", "archivo", "el", "de"),
    *("ファイル", "文字", "場合", "を", "文件", "的", "使用", "a"),
]
WORDS = list(dict.fromkeys(word.lower() for word in WORDS))
PAIRS = [(a, b) for a in WORDS for b in WORDS]


@pytest.fixture(scope="module")
def texts(shared: Path) -> list[str]:
    """The beginnings of 60 documents: ten of each language."""
    found = []
    for language in LANGUAGES:
        documents = next(iter(read_documents(shared / "data" / "corpus" / f"{language}.jsonl.zst"))).texts
        found += [text[:600] for text in documents[:10]]
    return found


@pytest.fixture(scope="module")
def corpus(texts: list[str], tmp_path_factory: Any) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "a.jsonl"
    path.write_bytes(b"".join(orjson.dumps({"text": text, "lang": "x"}) + b"\n" for text in texts))
    return path


@pytest.fixture(scope="module", params=["smollm2-135m", "gemma3-270m"])
def store(request: pytest.FixtureRequest, real_models: Path, corpus: Path, tmp_path_factory: Any) -> Any:
    path = real_models / request.param
    folder = tmp_path_factory.mktemp("store")
    return tokenize(corpus, path, folder), Tokenizer.from_file(str(path / "tokenizer.json"))


def assert_pairs(counts: Any, present: Any) -> None:
    """Documents and pairs of a 0/1 matrix (documents, words)."""
    both = present.T @ present
    assert np.array_equal(counts.df, present.sum(0))
    assert np.array_equal(counts.pair_df, [both[WORDS.index(a), WORDS.index(b)] for a, b in PAIRS])


@pytest.mark.parametrize("scope", ["line", "sentence"])
def test_text_is_counted_in_lines_and_sentences(texts: list[str], corpus: Path, tmp_path: Path, scope: str) -> None:
    parts = [part for text in texts for part in pieces(text, scope)]
    assert len(parts) > 2 * len(texts)
    counts = count(corpus, WORDS, pairs=PAIRS, scope=scope, workers=1, out=tmp_path)
    assert counts.documents == len(parts)
    assert_pairs(counts, (match_texts(parts, WORDS).toarray() > 0).astype(np.int64))
    rows = counts.query("le", "fichier", lang="x")["row"].to_pylist()
    holders = np.flatnonzero((match_texts(parts, ["le", "fichier"]).toarray() > 0).all(1))
    assert rows == holders.tolist()  # they number the pieces


@pytest.mark.parametrize("size", [6, 40])
def test_text_is_counted_in_windows_of_characters(texts: list[str], corpus: Path, size: int) -> None:
    counts = count(corpus, WORDS, pairs=PAIRS, scope=f"window:{size}", workers=1)
    spans = match_spans(texts, WORDS).to_pydict()
    places: dict[tuple[int, str], list[tuple[int, int]]] = {}
    for document, word, begin, end in zip(*spans.values(), strict=True):
        places.setdefault((document, word), []).append((begin, end))
    together = [
        sum(
            any(
                max(end, last) - min(begin, first) <= size
                for begin, end in places.get((document, a), [])
                for first, last in places.get((document, b), [])
            )
            for document in range(len(texts))
        )
        for a, b in PAIRS
    ]
    assert counts.pair_df.tolist() == together
    assert counts.documents == len(texts)
    assert np.array_equal(counts.df, (match_texts(texts, WORDS).toarray() > 0).sum(0))


def documents_of(store: TokenStore) -> list[np.ndarray]:
    return [ids for unit in store.units for ids in store.documents(unit)]


def matrices(documents: list[np.ndarray], watch: TokenWatchList, vocabulary: int) -> tuple[Any, Any]:
    """Words and tokens of each document, 0/1."""
    offsets = np.cumsum([0, *map(len, documents)]).astype(np.int64)
    ends, words, *_ = watch.matcher(vocabulary).match(np.concatenate(documents).astype(np.uint32), offsets)
    present = np.zeros((len(documents), len(watch)), np.int64)
    for document in range(len(documents)):
        present[document, words[ends[document] : ends[document + 1]]] = 1
    rows = np.repeat(np.arange(len(documents)), np.diff(offsets))
    bags = csr_array((np.ones(len(rows), np.int64), (rows, np.concatenate(documents))), (len(documents), vocabulary))
    bags.sum_duplicates()
    bags.data[:] = 1
    return present, bags


@pytest.mark.parametrize("scope", ["line", "sentence"])
def test_tokens_are_counted_in_lines_and_sentences(store: Any, scope: str) -> None:
    """Pairs, context rows and background are all of lines or sentences of what the tokens write."""
    tokens, core = store
    watch = TokenWatchList(WORDS, core)
    parts = []
    for ids in documents_of(tokens):
        written = [watch.texts.text(token) for token in ids.tolist()]
        text = b"".join(written).decode()
        begins = np.cumsum([0, *map(len, written)])[:-1]
        sizes = [len(part.encode()) for part in pieces(text, scope)]
        starts = [int(np.searchsorted(begins, start, "right")) - 1 for start in np.cumsum([0, *sizes])[1:-1]]
        parts += [ids[begin:end] for begin, end in pairwise([0, *starts, len(ids)])]
    present, bags = matrices(parts, watch, tokens.vocab_size)
    counts = count(tokens, watch, pairs=PAIRS, scope=scope, context=True, workers=1)
    assert counts.documents == len(parts) > 200
    assert_pairs(counts, present)
    assert np.array_equal(counts.background, bags.sum(0))
    assert np.array_equal(counts.context.toarray(), present.T @ bags)


@pytest.mark.parametrize("size", [1, 7, 50])
def test_context_rows_are_of_the_tokens_within_a_window(store: Any, size: int) -> None:
    """Every window of every document is looked at; a document counts once for a word and a token."""
    tokens, core = store
    watch = TokenWatchList(WORDS, core)
    documents = documents_of(tokens)
    matcher = watch.matcher(tokens.vocab_size)
    table = np.zeros((len(WORDS), tokens.vocab_size), np.int64)
    together = np.zeros((len(WORDS), len(WORDS)), np.int64)
    for ids in documents:
        _, words, _, (first, starts, ends) = matcher.match(ids.astype(np.uint32), np.array([0, len(ids)]), True)
        seen, pairs = [set() for _ in WORDS], set()
        for begin in range(max(1, len(ids) - size + 1)):
            end = min(begin + size, len(ids))
            inside = {
                int(word)
                for hit, word in enumerate(words)
                if any(begin <= starts[at] and ends[at] <= end for at in range(first[hit], first[hit + 1]))
            }
            for word in inside:
                seen[word].update(ids[begin:end].tolist())
            pairs |= {(a, b) for a in inside for b in inside}
        for word, some in enumerate(seen):
            table[word, list(some)] += 1
        for a, b in pairs:
            together[a, b] += 1
    counts = count(tokens, watch, pairs=PAIRS, scope=f"window:{size}", context=True, workers=1)
    present, bags = matrices(documents, watch, tokens.vocab_size)
    assert np.array_equal(counts.context.toarray(), table)
    assert counts.pair_df.tolist() == [together[WORDS.index(a), WORDS.index(b)] for a, b in PAIRS]
    assert np.array_equal(counts.df, present.sum(0))
    assert np.array_equal(counts.background, bags.sum(0))
    assert 0 < counts.context.nnz < np.count_nonzero(present.T @ bags)


def test_windows_are_taken_a_few_at_a_time() -> None:
    """The tokens round the hits are the same however many are taken at once."""
    ids, ends = np.arange(40, dtype=np.uint16), np.array([0, 10, 10, 40])
    offsets = np.array([0, 2, 2, 4])
    places = np.array([0, 1, 3, 4, 4]), np.array([2, 0, 8, 5], np.int32), np.array([3, 1, 9, 20], np.int32)
    arguments = offsets, places, ids, ends
    expected = [[1, 2, 3], [0, 1, 7, 8, 9], [], []]  # 5 to 20 is longer than a window, and the last has no place
    for most in (1, 4, 100):
        found: list[list[int]] = []
        while len(found) < 4:
            some, bounds = _C.word_windows(*arguments, 2, len(found), most)
            found += [some[begin:end].tolist() for begin, end in pairwise(bounds.tolist())]
        assert found == expected
    for place, message in (([2, 0, 9, 5], "9..11"), ([-1, 0, 8, 5], "-1..3")):
        bad = places[0], np.array(place, np.int32), np.array([3, 1, 11, 20], np.int32)
        with pytest.raises(IndexError, match=f"places must be within a document of 10 tokens; got {message}"):
            _C.word_windows(offsets, bad, ids, ends, 2, 0, 100)


def test_what_does_not_go_together_is_refused(store: Any, corpus: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokens, core = store
    with pytest.raises(ValueError, match=r"scope must be 'document' for text with a context .*; got 'line'"):
        count(corpus, ["a"], context=tokens, scope="line", workers=1)
    watch = TokenWatchList(["a"], core)
    with pytest.raises(ValueError, match="scope must not be of windows with a sample; got 'window:5'"):
        count(tokens, watch, scope="window:5", context=True, sample=9, workers=1)
    words = tokenize(corpus, tokenizer, tmp_path / "words")  # words between blanks, which it drops
    with pytest.raises(ValueError, match="scope must be of documents, windows or instances for a tokenizer that drops"):
        count(words, TokenWatchList(["a"], tokenizer), scope="sentence", workers=1)

"""Watched words that have a language."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivotkit import _C
from pivotkit.corpus import TokenWatchList, WatchList, match_spans, match_texts
from pivotkit.corpus.matching.word_languages import WordLanguages

CODES = ["de", "en", "fr"]
SETS = [(), ("en",), ("en", "fr"), ("ja",)]


@given(
    entries=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([None, *CODES])), min_size=1, max_size=8, unique=True
    ),
    documents=st.lists(st.tuples(st.sampled_from(range(4)), st.lists(st.integers(0, 3), unique=True)), max_size=6),
)
def test_a_document_has_the_words_of_its_languages(entries: Any, documents: Any) -> None:
    entries = [*entries, (3, "zz")]  # so that every spelling is one of the list's
    languages = WordLanguages([spelling for spelling, _ in entries], [code for _, code in entries])
    offsets = np.cumsum([0, *(len(found) for _, found in documents)]).astype(np.int64)
    spellings = np.array([spelling for _, found in documents for spelling in found], np.int32)
    counts = np.arange(1, len(spellings) + 1, dtype=np.int32)
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)  # where the places of a hit begin
    places = ends, np.arange(ends[-1], dtype=np.int32), np.arange(ends[-1], dtype=np.int32) + 1
    masks = languages.masks(SETS)[[some for some, _ in documents]]
    rows, words, times, where = languages.words((offsets, spellings, counts, places), masks)
    expected, hit = [], 0
    for some, found in documents:
        own = []
        for spelling in found:
            for word, (spelled, code) in enumerate(entries):
                if spelled == spelling and (code is None or code in SETS[some]):
                    own.append((word, counts[hit], list(range(ends[hit], ends[hit + 1]))))
            hit += 1
        expected.append(own)
    begins, starts, stops = where
    assert np.array_equal(stops, starts + 1)
    got = [
        [(words[i], times[i], starts[begins[i] : begins[i + 1]].tolist()) for i in range(rows[d], rows[d + 1])]
        for d in range(len(documents))
    ]
    assert got == expected


def test_a_word_may_be_watched_in_several_languages() -> None:
    watch = WatchList(["os", "OS", "cat", "os", "OS"], languages=["fr", "en", None, "fr", None])
    assert (watch.words, watch.languages) == (["os", "os", "cat", "os"], ["fr", "en", None, None])
    assert [watch.id("Os", code) for code in ("fr", "en", None)] == [0, 1, 3]
    assert watch.id("cat") == 2
    assert watch.spellings == ["os", "cat"]
    assert WatchList(["os"], languages=["fr"]).id("os") == 0  # the only one
    assert WatchList(["os"], languages=[None]).languages is None


def test_words_in_tokens_have_languages_too(tokenizer: Any) -> None:
    watch = TokenWatchList(["cat", "CAT", "dog"], tokenizer, languages=["fr", "en", None])
    plain = TokenWatchList(["cat", "CAT", "dog"], tokenizer)
    assert (watch.words, watch.languages) == (["cat", "cat", "dog"], ["fr", "en", None])
    assert watch.spellings == [plain.spellings[0], plain.spellings[0], plain.spellings[1]]
    assert watch.id("cat", "en") == 1
    assert watch.identity() != plain.identity()


@pytest.mark.parametrize(
    ("languages", "error", "message"),
    [
        (["fr"], ValueError, "languages must be as many as words, 2; got 1"),
        ("fr", TypeError, "languages must be an iterable of str or None; got 'fr'"),
        (["fr", 3], TypeError, "languages must be codes such as 'fr', or None; got int"),
        (["fr", " "], TypeError, "languages must be codes such as 'fr', or None; got"),
    ],
)
def test_other_languages_are_refused(languages: Any, error: Any, message: str, tokenizer: Any) -> None:
    with pytest.raises(error, match=f"WatchList: {message}"):
        WatchList(["a", "b"], languages=languages)
    with pytest.raises(error, match=f"TokenWatchList: {message}"):
        TokenWatchList(["a", "b"], tokenizer, languages=languages)


def test_more_languages_than_bits_are_refused() -> None:
    codes = [f"l{number}" for number in range(64)]
    words = ["a"] * 64
    assert len(WatchList(words[:63], languages=codes[:63])) == 63
    with pytest.raises(ValueError, match="languages must be at most 63 different ones; got 64"):
        WatchList(words, languages=codes)


def test_a_language_that_the_word_is_not_watched_in_is_refused() -> None:
    watch = WatchList(["os", "os", "cat"], languages=["fr", "en", "en"])
    for word, code in (("os", "de"), ("cat", "fr")):
        with pytest.raises(ValueError, match=f"WatchList: word must be in the watch list in '{code}'; got '{word}'"):
            watch.id(word, code)
    with pytest.raises(ValueError, match="language must be one of those that 'os' is watched in; got None"):
        watch.id("os")
    with pytest.raises(ValueError, match="word must be in the watch list; got 'dog'"):
        watch.id("dog")


def test_matching_without_documents_of_a_language_is_refused() -> None:
    watch = WatchList(["os"], languages=["fr"])
    for match in (match_texts, match_spans):
        with pytest.raises(ValueError, match="watchlist must have no languages; got 1"):
            match(["os"], watch)


def test_a_spelling_that_there_is_not_is_refused() -> None:
    arrays = np.array([0, 1]), np.array([0], np.int32), np.array([1], np.uint64), np.array([1], np.uint64)
    hits = np.array([0, 1]), np.array([1], np.int32), np.array([1], np.int32)
    with pytest.raises(IndexError, match=r"spellings must be in \[0, 1\); got 1"):
        _C.words_in_languages(*arrays, *hits)

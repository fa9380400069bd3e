"""Spellings in token ids, against a look at every place."""

from __future__ import annotations

import unicodedata
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from token_counts import by_text, by_tokens
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from pivotkit import _C
from pivotkit.corpus import WatchList
from pivotkit.corpus.matching.code_points import PLANES
from pivotkit.corpus.matching.token_edges import (
    ASK,
    OPEN,
    RIGHT,
    SIGN,
    UNSPACED,
    UNSURE,
    WORD,
    char_kinds,
    plain_kinds,
    token_edges,
)
from pivotkit.corpus.matching.token_texts import _ALPHABET, TokenTexts, token_texts
from pivotkit.corpus.matching.token_watchlist import TokenWatchList, spell

V = 6
Spellings = st.lists(
    st.tuples(st.lists(st.integers(0, V - 1), min_size=1, max_size=3).map(tuple), st.integers(0, 2)),
    min_size=1, max_size=8, unique_by=lambda one: one[0],
)  # fmt: skip


def is_taken(neighbour: int, own: int) -> bool:
    """The rule for one edge, where nobody can be asked."""
    if UNSURE in (neighbour, own):
        return True
    if own == OPEN or neighbour in (OPEN, SIGN):
        return False
    return ASK in (neighbour, own) or (neighbour == WORD and own != UNSPACED)


def occurrences(
    document: list[int], forms: list[tuple[int, ...]], edges: list[int], blank: set[int]
) -> list[tuple[int, int]]:
    """Start and end of each occurrence of a word: at each place the shortest spelling whose edges are free and whose first
    letter is not that of the occurrence before it."""
    found: list[tuple[int, int]] = []
    letters = -1
    ends = [divmod(edges[token], RIGHT)[::-1] for token in document]  # the kinds of first and last character
    begins = [False, *(is_taken(a[1], b[0]) for a, b in pairwise(ends))]  # between two tokens, for a word that begins
    stops = [*(is_taken(b[0], a[1]) for a, b in pairwise(ends)), False]
    for start in range(len(document)):
        for ids in sorted(forms, key=len):
            end = start + len(ids)
            if tuple(document[start:end]) != ids or begins[start] or stops[end - 1]:
                continue
            first = next((at for at in range(start, end) if document[at] not in blank), end - 1)
            if first == letters:
                continue
            letters = first
            found.append((start, end))
    return found


@settings(max_examples=300, deadline=None)
@given(
    Spellings, st.lists(st.builds(lambda a, b: a + RIGHT * b, st.integers(0, 5), st.integers(0, 5)), min_size=V, max_size=V),
    st.lists(st.lists(st.integers(0, V - 1), max_size=12), min_size=1, max_size=5), st.sampled_from([np.uint16, np.uint32]),
    st.sets(st.integers(0, V - 1), max_size=2),
)  # fmt: skip
def test_words_are_found_where_a_look_at_every_place_finds_them(
    spellings: Any, edges: list[int], documents: Any, dtype: Any, blank: set[int]
) -> None:
    forms = [[ids for ids, word in spellings if word == wanted] for wanted in range(3)]
    written = [b" " if token in blank else b"x" for token in range(V)]
    matcher = spell(forms, np.array(edges, np.uint8), TokenTexts.of(written, np.zeros(V, np.uint8), True))
    offsets = np.cumsum([0, *map(len, documents)], dtype=np.int64)
    ids = np.array([i for document in documents for i in document], dtype)
    ends, words, counts, (of_hits, starts, stops) = matcher.match(ids, offsets, True)
    assert all((a == b).all() for a, b in zip((ends, words, counts), matcher.match(ids, offsets)[:3], strict=True))
    for d, document in enumerate(documents):
        expected = {word: places for word in range(3) if (places := occurrences(document, forms[word], edges, blank))}
        hits = range(ends[d], ends[d + 1])
        places = {
            int(words[h]): list(
                zip(
                    starts[of_hits[h] : of_hits[h + 1]].tolist(),
                    stops[of_hits[h] : of_hits[h + 1]].tolist(),
                    strict=True,
                )
            )
            for h in hits
        }
        assert places == expected
        assert [int(counts[h]) for h in hits] == [len(places[int(words[h])]) for h in hits]
        assert (
            list(places) == sorted(places, key=lambda word: places[word][0])
            or len(places) < 2
            or len(set(places)) == len(places)
        )


def test_spellings_that_differ_in_what_is_left_out_are_one_occurrence(bytes_tokenizer: Tokenizer) -> None:
    """Blanks, stretching, soft hyphens and vowel marks, at either end."""
    words = ["دب", "دب\u0640", "\u0640دب", "\u0640\u0640دب\u0640", "دب\u064e", "cat", "c\u00adat", "\u00adcat\u00ad"]
    watch = TokenWatchList(words, bytes_tokenizer)
    texts = [f"{before}{word}{after}" for word in words for before in ("", " ", "a ") for after in ("", " b", ".")]
    texts += [f"{one} {other}" for one in words for other in words]
    assert watch.words == ["دب", "cat"]
    assert (by_tokens(watch, bytes_tokenizer, texts) == by_text(watch, texts)).all()


def test_one_of_each_class_of_letters_tells_the_kind_of_all() -> None:
    """Every 37th code point, asked about alone."""
    asked = plain_kinds(
        chr(code) for plane in PLANES for code in plane[::37] if unicodedata.category(chr(code)) != "Cs"
    )
    kinds = char_kinds()
    other = {kinds[ord(character)] for character, kind in asked.items() if kinds[ord(character)] != kind}
    assert other <= {ASK}  # pictographs and letters of which two are one
    assert set(asked.values()) >= {SIGN, WORD, UNSPACED, ASK}


def test_the_beginning_of_a_character_has_a_kind_where_all_such_characters_do(bytes_tokenizer: Tokenizer) -> None:
    edges = token_edges(token_texts(bytes_tokenizer))
    first = {byte: edges[bytes_tokenizer.token_to_id(letter)] % RIGHT for letter, byte in _ALPHABET.items()}
    assert first[0xE5] == first[0xE8] == UNSPACED  # ideographs alone
    assert first[0xD0] == first[0xD1] == WORD
    assert first[0xE4] == first[0xC2] == first[0xF0] == first[0x80] == first[0xFF] == ASK


def test_long_documents_are_matched_across_their_stretches() -> None:
    matcher = spell([[(1, 2, 3)], [(2,)]], np.zeros(9, np.uint8))
    ids = np.tile(np.array([1, 2, 3], np.uint16), 3000)
    _, words, counts, _ = matcher.match(ids, np.array([0, 9000]))
    assert dict(zip(words.tolist(), counts.tolist(), strict=True)) == {0: 3000, 1: 3000}


@pytest.mark.parametrize(
    ("spellings", "error", "message"),
    [
        ([[()]], ValueError, "spellings must not be empty; got spelling 0"),
        ([[(9,)]], IndexError, r"ids must be in \[0, 6\); got 9"),
        ([[(1, 2)], [(1, 2)]], ValueError, "spellings must be of one word each; got one of words 0 and 1"),
    ],
)
def test_bad_spellings_are_refused(spellings: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        spell(spellings, np.zeros(V, np.uint8))


def test_bad_tokens_are_refused() -> None:
    matcher = spell([[(1,)]], np.zeros(V, np.uint8))
    with pytest.raises(IndexError, match=r"match: tokens must be ids in \[0, 6\); got 6 at 1"):
        matcher.match(np.array([1, 6], np.uint32), np.array([0, 2]))
    with pytest.raises(TypeError, match="tokens must be uint16 or uint32; got int32"):
        matcher.match(np.array([1], np.int32), np.array([0, 1]))
    with pytest.raises(ValueError, match="must be one contiguous dimension"):
        matcher.match(np.array([1, 1, 1], np.uint16)[::2], np.array([0, 2]))
    assert isinstance(matcher, _C.TokenMatcher)


@pytest.fixture
def bytes_tokenizer() -> Tokenizer:
    """Bytes and a few merges: ``Ġcat``, ``s``, ``cat``."""
    alphabet = sorted(ByteLevel.alphabet())
    merges = [("c", "a"), ("ca", "t"), ("Ġ", "cat")]
    pieces = [*alphabet, "ca", "cat", "Ġcat"]
    core = Tokenizer(BPE({piece: place for place, piece in enumerate(pieces)}, merges))
    core.pre_tokenizer = ByteLevel(add_prefix_space=False)
    core.decoder = ByteLevelDecoder()
    return core


def test_a_word_is_spelled_in_every_case_with_and_without_a_space(bytes_tokenizer: Tokenizer) -> None:
    watch = TokenWatchList(["cat", "Cat"], bytes_tokenizer)
    decoded = {bytes_tokenizer.decode(list(ids)) for ids in watch.spellings[0]}
    assert (watch.words, watch.id("CAT"), "dog" in watch) == (["cat"], 0, False)
    assert decoded == {" cat", "cat", " Cat", "Cat", " CAT", "CAT"}


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("a cat.", 1),
        ("cats", 0),
        (" cats cat", 1),
        ("concat", 0),
        ("CAT cat Cat", 3),
        ("'cat'", 1),
        ("这是cat吗", 1),
        ("_cat", 0),
        ("", 0),
    ],
)
def test_token_edges_tell_a_word_from_a_part_of_one(bytes_tokenizer: Tokenizer, text: str, times: int) -> None:
    watch = TokenWatchList(["cat"], bytes_tokenizer)
    matcher = watch.matcher(bytes_tokenizer.get_vocab_size())
    ids = np.array(bytes_tokenizer.encode(text).ids, np.uint32)
    assert matcher.match(ids, np.array([0, len(ids)]))[2].sum() == times


def test_edges_see_a_leading_space_and_fragments(bytes_tokenizer: Tokenizer) -> None:
    edges = token_edges(token_texts(bytes_tokenizer))
    of = {piece: divmod(int(edges[place]), RIGHT)[::-1] for piece, place in bytes_tokenizer.get_vocab().items()}
    assert (of["cat"], of["Ġcat"], of["Ġ"], of["."]) == ((WORD, WORD), (OPEN, WORD), (OPEN, OPEN), (SIGN, SIGN))
    assert of["ä"] == (ASK, ASK)  # byte E4: a part of a character


@pytest.mark.parametrize(("edges", "message"), [(6, "edges must be two kinds each; got 6 at 0"), (96, "got 96 at 0")])
def test_edges_of_no_kind_are_refused(edges: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spell([[(1,)]], np.array([edges, 0], np.uint8))


def test_a_rule_of_other_words_or_tokens_is_refused(bytes_tokenizer: Tokenizer) -> None:
    texts = token_texts(bytes_tokenizer)
    matcher = WatchList(["cat", "dog"]).matcher()
    with pytest.raises(ValueError, match="rule must be of 1 words and 259 tokens; got 2 and 259"):
        spell([[(1,)]], np.zeros(len(texts), np.uint8), texts, matcher)


def test_words_that_cannot_be_written_are_named(tokenizer: Tokenizer) -> None:
    watch = TokenWatchList(["cat", "unheard"], tokenizer)
    assert watch.unspelled == ["unheard"]
    with pytest.raises(TypeError, match="tokenizer must be a fast tokenizer; got str"):
        TokenWatchList(["cat"], "gpt2")

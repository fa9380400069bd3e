"""A word is read at the first piece that tells it apart from others."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from pivotkit.lens.model.loading import load_tokenizer
from pivotkit.words.lexicon import read_lexicon
from pivotkit.words.telling import telling_piece, tells


@pytest.mark.parametrize(
    "start", ["Ki", " Sch", " ho", "学", " 小", "バ", "の", "집", " é\N{REPLACEMENT CHARACTER}c", "t3", "ሀ"]
)
def test_two_letters_or_one_that_stands_for_a_syllable_tell(start):
    assert tells(start)


@pytest.mark.parametrize(
    "start",
    ["", " ", "K", " K", " é", "e\N{COMBINING ACUTE ACCENT}", "л", " ש", "ก", "l'", "-", "3", "\N{REPLACEMENT CHARACTER}",
     " \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}", "\N{HANGUL LETTER KIYEOK}"],
)  # fmt: skip
def test_a_space_a_byte_and_a_letter_alone_do_not(start):
    assert not tells(start)


@pytest.fixture(scope="module")
def bytewise():
    """A byte-fallback vocabulary with a bare space, one Chinese character, single letters and longer pieces."""
    names = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁Kaorte学", "▁K", "ar", "te", "arte", "or"]
    merges = [("▁", "K"), ("a", "r"), ("t", "e"), ("ar", "te"), ("o", "r")]
    vocabulary = {name: number for number, name in enumerate(names)}
    raw = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    raw.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>")


@pytest.mark.parametrize(
    ("text", "appended", "read"),
    [
        (" 学校", ["▁"], "学"),  # the space is a piece of its own
        (" 校", ["▁", "<0xE6>", "<0xA0>"], "<0xA1>"),  # the byte that completes the character
        (" Karte", ["▁K"], "arte"),
        (" K", [], "▁K"),  # the whole word
        (" K!", ["▁K"], "<0x21>"),
    ],
)
def test_what_is_appended_and_what_is_read(bytewise, text, appended, read):
    pieces = bytewise.encode(text)
    at = telling_piece(bytewise, pieces)
    names = bytewise.convert_ids_to_tokens(pieces)
    assert (names[:at], names[at]) == (appended, read)


@settings(max_examples=60)
@given(
    word=st.text(st.sampled_from("Karteor学校é") | st.characters(categories=["L", "M", "P"]), min_size=1, max_size=6)
)
def test_nothing_before_the_piece_tells_and_it_does_or_is_the_last(bytewise, tokenizer, word):
    for each in (bytewise, tokenizer):
        pieces = each.encode(f" {word}")
        at = telling_piece(each, pieces)
        assert not any(tells(each.decode(pieces[:end])) for end in range(1, at + 1))
        assert at == len(pieces) - 1 or tells(each.decode(pieces[: at + 1]))
        # What follows the piece that is read changes nothing.
        assert telling_piece(each, [*pieces[: at + 1], *each.encode("Karte")]) == at or at == len(pieces) - 1


@pytest.mark.parametrize(
    ("model", "language", "before", "after"),
    [("gemma3-270m", "zh", 0.6, 0.03), ("gemma3-270m", "de", 0.02, 0.02), ("smollm2-135m", "zh", 0.2, 0.03),
     ("smollm2-135m", "ru", 0.17, 0.06), ("smollm2-135m", "ja", 0.58, 0.05)],
)  # fmt: skip
def test_words_of_real_tokenizers_are_told_apart(real_models, shared, model, language, before, after):
    """The share of words with the most frequent first piece, and with the most frequent beginning up to the piece read."""
    tokenizer = load_tokenizer(real_models / model)
    rows = read_lexicon(shared / "data" / "lexicon" / "concrete_nouns.tsv").rows
    words = [tokenizer.encode(f" {row[language]}", add_special_tokens=False) for row in rows if language in row]
    first = Counter(pieces[0] for pieces in words).most_common(1)[0][1] / len(words)
    starts = Counter(tuple(pieces[: telling_piece(tokenizer, pieces) + 1]) for pieces in words).most_common(1)[0][1]
    assert first >= before
    assert starts / len(words) <= after

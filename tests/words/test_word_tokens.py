"""Which tokens stand for a word."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from pivotkit.lens.model.loading import load_tokenizer
from pivotkit.words.word_tokens import POLICIES, TokenPolicy, WordTokens


@pytest.fixture(scope="module")
def sets(tokenizer):
    return WordTokens(tokenizer)


@pytest.fixture(scope="module")
def spaced():
    """A SentencePiece vocabulary: ``▁`` for a space, alone before words without a piece that includes it; lone bytes."""
    pieces = ["▁", "▁dog", "d", "o", "g", "do", "dog", "D", "Dog", "房", "房子", "æ", "\ufffd", "<0xE6>", "<0x64>"]
    merges = [("d", "o"), ("do", "g"), ("▁", "dog"), ("房", "子"), ("D", "og")]
    vocabulary = {piece: number for number, piece in enumerate(["<unk>", *pieces, "子", "og", "i", "s"])}
    raw = Tokenizer(models.BPE(vocabulary, [*merges[:4], ("o", "g"), merges[4]], unk_token="<unk>", byte_fallback=True))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    raw.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>")


def texts(tokenizer, word, **policy):
    sets = WordTokens(tokenizer, TokenPolicy(**policy))
    return {sets.text(token) for token in sets.first(word)}


def test_a_word_can_begin_with_any_of_its_spellings(sets, tokenizer):
    starts = {sets.text(token) for token in sets.first("dog")}
    assert starts >= {" dog", "d", "D"}
    assert list(sets.first("dog")) == sorted(sets.first("dog"))


def test_no_set_holds_a_blank_piece(sets):
    for word in ("dog", "房子", "étoile", "navire"):
        for token in {*sets.first(word), *sets.family(word), *sets.pieces(word)}:
            assert sets.text(token).strip()


def test_the_pieces_spell_the_word(sets, tokenizer):
    for word in ("dog", "navire", "房子"):
        assert tokenizer.decode(list(sets.pieces(word))).strip() == word
        assert set(sets.pieces(word)) <= set(sets.family(word))


def test_a_fragment_of_a_character_says_that_it_is_shared(sets):
    assert sets.shared_start("房子")
    assert not sets.shared_start("dog")


def test_gemma_begins_a_chinese_word_behind_its_bare_space(real_models):
    sets = WordTokens(load_tokenizer(real_models / "gemma3-270m"))
    assert [sets.text(token) for token in sets.first("房子")] == ["房子"]
    assert not sets.shared_start("房子")


def test_the_unknown_token_stands_for_no_word():
    raw = Tokenizer(models.WordLevel({"<unk>": 0, "dog": 1}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    sets = WordTokens(PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>"))
    assert sets.first("dog") == sets.family("dog") == (1,)
    assert sets.first("cat") == ()


def test_the_default_policy_is_the_first_piece_of_four_spellings(sets, tokenizer):
    for word in ("dog", "navire", "房子", "École"):
        other = word[0].swapcase() + word[1:]
        expected = {tokenizer.encode(text)[0] for text in (word, other)}
        expected |= {
            next(token for token in tokenizer.encode(f" {text}") if sets.text(token).strip()) for text in (word, other)
        }
        assert set(sets.first(word)) == expected
    assert sets.policy == TokenPolicy("both", "first", "first", "keep")
    assert sets.policy.as_dict() == {"space": "both", "case": "first", "pieces": "first", "bytes": "keep"}


WIDER = [
    {"case": "all"}, {"pieces": "prefixes"}, {"pieces": "all"}, {"case": "all", "pieces": "prefixes"},
    {"case": "all", "pieces": "all"},
]  # fmt: skip
NARROWER = [{"space": "with"}, {"space": "without"}, {"case": "given"}, {"bytes": "drop"}]
# Letters of the vocabularies' words and any other.
WORD = st.text(st.sampled_from("dogstare房子é") | st.characters(categories=["L"]), min_size=1, max_size=5)


@settings(max_examples=40)
@given(word=WORD)
def test_the_default_set_lies_between_those_of_narrower_and_wider_policies(tokenizer, spaced, word):
    for each in (tokenizer, spaced):
        default = set(WordTokens(each).first(word))
        for policy in WIDER:
            assert default <= set(WordTokens(each, TokenPolicy(**policy)).first(word))
        for policy in NARROWER:
            assert set(WordTokens(each, TokenPolicy(**policy)).first(word)) <= default
        halves = [set(WordTokens(each, TokenPolicy(space=space)).first(word)) for space in ("with", "without")]
        assert set.union(*halves) == default


@settings(max_examples=40)
@given(word=WORD)
def test_a_prefix_is_the_beginning_of_a_spelling(tokenizer, spaced, word):
    for each in (tokenizer, spaced):
        sets = WordTokens(each, TokenPolicy(pieces="prefixes", bytes="drop"))
        spellings = [spelling.strip() for spelling in sets.policy.spellings(word)]
        if any(each.unk_token_id in each.encode(spelling) for spelling in spellings):
            continue  # a set begins at the first piece that is known
        for token in sets.first(word):
            assert any(spelling.startswith(sets.text(token).strip()) for spelling in spellings)


def test_every_beginning_that_the_vocabulary_has_is_a_prefix(tokenizer, spaced):
    assert texts(spaced, "dog", pieces="prefixes") == {" dog", "d", "do", "dog", "D", "Dog"}
    assert texts(spaced, "dog", pieces="prefixes", case="given", space="with") == {" dog"}
    starts = {text for text in map(tokenizer.decode, range(len(tokenizer))) if text.strip()}
    starts = {text for text in starts if any(word.startswith(text) for word in ("étoile", " étoile"))}
    assert texts(tokenizer, "étoile", pieces="prefixes", case="given", bytes="drop") == starts


def test_the_first_bytes_of_a_character_are_prefixes_of_its_word(tokenizer, spaced):
    # The character that a byte-level vocabulary writes for the byte E6 stands for itself in other vocabularies.
    assert texts(spaced, "房子", pieces="prefixes") == {"房子", "房", "�"}
    byte, character, replacement = spaced.convert_tokens_to_ids(["<0xE6>", "æ", "\ufffd"])
    found = WordTokens(spaced, TokenPolicy(pieces="prefixes")).first("房子")
    assert byte in found
    assert {character, replacement}.isdisjoint(found)
    first = tokenizer.encode("房子")[0]
    assert first in WordTokens(tokenizer, TokenPolicy(pieces="prefixes")).first("房子")


def test_dropped_fragments_leave_nothing_in_their_place(tokenizer, spaced):
    assert texts(spaced, "房子", bytes="drop") == {"房子"}
    assert texts(spaced, "房子", bytes="drop", pieces="prefixes") == {"房子", "房"}
    assert texts(tokenizer, "房子", bytes="drop") == set()
    assert texts(tokenizer, "dog", bytes="drop") == texts(tokenizer, "dog")
    assert WordTokens(tokenizer, TokenPolicy(bytes="drop")).pieces("房子") == WordTokens(tokenizer).pieces("房子") != ()


def test_all_pieces_are_the_family(sets, tokenizer):
    for word in ("navire", "房子"):
        assert WordTokens(tokenizer, TokenPolicy(pieces="all")).first(word) == sets.family(word)


def test_all_cases_hold_capitals_and_small_letters(tokenizer):
    assert TokenPolicy(case="all", space="without").spellings("Dog") == ["Dog", "dog", "DOG"]
    assert TokenPolicy(case="given").spellings("Dog") == [" Dog", "Dog"]
    assert TokenPolicy(space="with").spellings("dog") == [" dog", " Dog"]
    assert "D" in texts(tokenizer, "dog", case="all")


@pytest.mark.parametrize("name", POLICIES)
def test_an_unknown_policy_is_refused(name):
    with pytest.raises(ValueError, match=f"TokenPolicy: {name} must be one of {', '.join(POLICIES[name])}; got 'some'"):
        TokenPolicy(**{name: "some"})


def test_words_overlap_where_they_share_a_piece_that_is_not_blank(tokenizer, spaced):
    for each in (tokenizer, spaced):
        sets = WordTokens(each)
        for source, target in itertools.product(["dog", "房子", "房", "god", "dig"], repeat=2):
            whole = [each.encode(f" {word}", add_special_tokens=False) for word in (source, target)]
            shared = {token for token in set(whole[0]) & set(whole[1]) if each.decode([token]).strip()}
            shared.discard(each.unk_token_id)
            assert sets.overlap(source, target) == sets.overlap(target, source) == bool(shared)
    # Both begin with the bare space piece, which does not exclude them.
    assert spaced.encode(" 房子")[0] == spaced.encode(" god")[0]
    assert not WordTokens(spaced).overlap("房子", "god")


def test_a_word_whose_first_piece_tells_is_told_by_its_first_pieces(sets, spaced):
    for each, words in [(sets, ["dog", "house", "étoile"]), (WordTokens(spaced), ["房子"])]:
        for word in words:
            expected = {token for token in each.first(word) if len(each.text(token).strip()) > 1}
            assert set(each.telling(word)) == expected != set()


def test_behind_shared_pieces_stand_only_words_that_begin_with_them_or_are_told_at_once(sets, tokenizer):
    pieces = tokenizer.encode(" 房子")
    at = next(end for end in range(len(pieces)) if "房" in tokenizer.decode(pieces[: end + 1]))
    before = tuple(pieces[:at])
    assert sets.telling("房子", before) == (pieces[at],)
    assert sets.telling("房子") == ()  # nothing of it tells at the first position
    assert sets.telling("学校", before) == ()  # other bytes
    assert sets.telling("dog", before) == sets.telling("dog") != ()


def test_a_blank_piece_before_a_word_changes_no_set(sets, tokenizer):
    [blank] = tokenizer.encode(" ")
    for word in ("dog", "navire", "房子"):
        assert sets.telling(word, (blank,)) == sets.telling(word)


def test_shared_pieces_that_were_asked_for_are_kept(tokenizer):
    pieces = tokenizer.encode(" 房子")
    for policy in (TokenPolicy(pieces="all"), TokenPolicy(pieces="prefixes")):
        sets = WordTokens(tokenizer, policy)
        assert set(sets.telling("房子", tuple(pieces[:3]))) >= set(sets.first("房子")) != set()
    assert WordTokens(tokenizer, TokenPolicy(bytes="drop")).telling("房子", tuple(pieces[:3])) == ()


def test_the_space_before_a_word_is_kept_where_decoding_drops_it():
    """As Llama 2 and Mistral do: a lone token is the start of a text, and loses its space."""
    raw = Tokenizer(models.WordLevel({"▁dog": 0, "dog": 1, "?": 2}, unk_token="?"))
    raw.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw)
    assert tokenizer.decode([0]) == "dog"
    assert [WordTokens(tokenizer).text(token) for token in (0, 1)] == [" dog", "dog"]

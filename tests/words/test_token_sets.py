"""Which tokens stand for a word."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from pivotkit.lens.model import load_tokenizer
from pivotkit.words.token_sets import TokenSets


@pytest.fixture(scope="module")
def sets(tokenizer):
    return TokenSets(tokenizer)


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
    sets = TokenSets(load_tokenizer(real_models / "gemma3-270m"))
    assert [sets.text(token) for token in sets.first("房子")] == ["房子"]
    assert not sets.shared_start("房子")


def test_the_unknown_token_stands_for_no_word():
    raw = Tokenizer(models.WordLevel({"<unk>": 0, "dog": 1}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    sets = TokenSets(PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>"))
    assert sets.first("dog") == sets.family("dog") == (1,)
    assert sets.first("cat") == ()

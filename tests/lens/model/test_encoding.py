"""Positions come from character offsets, not from token ids."""

from __future__ import annotations

import pytest

from pivotkit.lens.model.encoding import encode, pad_right
from pivotkit.lens.model.loading import load_tokenizer


def test_the_answer_begins_where_the_prompt_ends(tokenizer):
    [found] = encode(tokenizer, ["French: chien\nEnglish:"], [" dog"])
    assert tokenizer.decode(found.ids[: found.answer_start]) == "French: chien\nEnglish:"
    assert tokenizer.decode(found.ids[found.answer_start :]) == " dog"
    assert found.word_start == found.answer_start


def test_a_colon_in_the_target_moves_nothing(tokenizer):
    [found] = encode(tokenizer, ["French: chien\nEnglish:"], [" a:b"])
    assert tokenizer.decode(found.ids[: found.answer_start]) == "French: chien\nEnglish:"


def test_a_blank_answer_is_refused(tokenizer):
    with pytest.raises(ValueError, match="answer must have a token that is not blank; got '  '"):
        encode(tokenizer, ["x:"], ["  "])


def test_a_tokenizer_without_offsets_is_refused():
    class Slow:
        is_fast = False

    with pytest.raises(ValueError, match="must be a fast one that gives offsets; got Slow"):
        encode(Slow(), ["x:"], [" y"])


def test_padding_goes_to_the_right():
    assert pad_right([[1, 2, 3], [4]], "cpu").tolist() == [[1, 2, 3], [4, 0, 0]]


def test_a_bare_space_piece_is_part_of_the_answer_but_not_its_word(real_models):
    tokenizer = load_tokenizer(real_models / "gemma3-270m")
    [found] = encode(tokenizer, ["French: maison\nChinese:"], [" 房子"])
    assert tokenizer.convert_ids_to_tokens(list(found.ids[found.answer_start :])) == ["▁", "房子"]
    assert found.word_start == found.answer_start + 1

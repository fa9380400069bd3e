from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from pivotkit.testbed import World, build_tokenizer


@pytest.fixture(scope="module")
def tokenizer(small_world: World) -> PreTrainedTokenizerFast:
    return build_tokenizer(small_world.vocabulary)


def test_a_token_is_its_place_in_the_vocabulary(tokenizer: PreTrainedTokenizerFast, small_world: World) -> None:
    for number, word in enumerate(small_world.vocabulary):
        assert tokenizer(word).input_ids == [number]
        assert tokenizer.convert_ids_to_tokens(number) == word


def test_a_leading_space_changes_nothing(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer(" b12").input_ids == tokenizer("b12").input_ids
    assert len(tokenizer(" b12").input_ids) == 1


def test_texts_tokenize_to_the_ids_they_were_made_of(tokenizer: PreTrainedTokenizerFast, small_world: World) -> None:
    for texts in (small_world.documents, small_world.lines):
        for row, record in zip(texts.ids[:200], small_world.records(texts)[:200], strict=True):
            assert tokenizer(record["text"]).input_ids == row[row >= 0].tolist()


def test_offsets_point_at_the_words(tokenizer: PreTrainedTokenizerFast) -> None:
    text = "A: a1 B: b1\nA: a12 B:"
    encoded = tokenizer(text, return_offsets_mapping=True)
    assert [text[begin:end] for begin, end in encoded["offset_mapping"]] == [
        "A:", "a1", "B:", "b1", "\n", "A:", "a12", "B:",
    ]  # fmt: skip


def test_decoding_and_encoding_give_the_ids_back(tokenizer: PreTrainedTokenizerFast, small_world: World) -> None:
    ids = tokenizer(small_world.text(small_world.lines.ids[0])).input_ids
    assert tokenizer(tokenizer.decode(ids)).input_ids == ids


def test_other_words_are_unknown(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer("elephant").input_ids == [tokenizer.unk_token_id]


def test_auto_tokenizer_loads_what_was_saved(
    tokenizer: PreTrainedTokenizerFast, small_world: World, tmp_path: Path
) -> None:
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = small_world.text(small_world.lines.ids[0])
    assert loaded(text).input_ids == tokenizer(text).input_ids
    assert (loaded.bos_token, loaded.pad_token) == ("<s>", "<s>")

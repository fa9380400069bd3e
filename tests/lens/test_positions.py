"""Which tokens are traced, by characters of the prompt."""

from __future__ import annotations

import pytest

from pivotkit.lens.model.encoding import encode
from pivotkit.lens.positions import find_places
from pivotkit.words.task import task_prompt


@pytest.fixture
def texts(items, tokenizer):
    rows, prompt = items.to_pylist(), task_prompt(items)
    return encode(tokenizer, [row["prompt"] for row in rows], [prompt.reply(row["target"]) for row in rows])


def spelled(tokenizer, text, places):
    return tokenizer.decode([text.ids[place.index] for place in places])


def test_the_answer_is_read_behind_the_prompt_and_what_other_words_share_with_it(items, texts, tokenizer):
    for row, text, places in zip(items.to_pylist(), texts, find_places(items, texts, ["answer"]), strict=True):
        [place] = places
        read = tokenizer.decode(text.ids[: place.index + 1])
        assert read.endswith(row["prompt"][-8:] + tokenizer.decode(text.appended))
        assert len(row["target"]) > len(tokenizer.decode(text.appended).strip("\ufffd ")) <= 1
    assert len({text.appended for text in texts}) > 2


def test_the_source_is_every_token_of_the_word_in_the_query_line(items, texts, tokenizer):
    for row, text, places in zip(items.to_pylist(), texts, find_places(items, texts, ["source"]), strict=True):
        assert spelled(tokenizer, text, places).strip() == row["source"]
        assert tokenizer.decode(text.ids[: places[0].index]).rstrip(" ").endswith(":")
        assert {place.label for place in places} == {"source"}


def test_a_source_that_also_stands_in_a_shot_is_found_in_the_query(items, texts, tokenizer):
    """The last occurrence counts, not the first."""
    for row, text, places in zip(items.to_pylist(), texts, find_places(items, texts, ["source"]), strict=True):
        behind = tokenizer.decode(text.ids[places[-1].index + 1 : text.answer_start])
        assert row["prompt"].endswith(behind)
        assert behind.count("\n") == 1


def test_all_is_every_token_of_the_prompt(items, texts):
    for text, places in zip(texts, find_places(items, texts, ["all"]), strict=True):
        assert [place.index for place in places] == list(range(text.telling))


def test_a_span_is_every_token_that_holds_one_of_its_characters(items, texts, tokenizer):
    first = [(row["prompt"].index(":"), row["prompt"].index(":") + 1) for row in items.to_pylist()]
    for text, places in zip(texts, find_places(items, texts, [], {"colon": first}), strict=True):
        assert spelled(tokenizer, text, places) == ":"
        assert [place.label for place in places] == ["colon"]


@pytest.mark.parametrize(
    ("positions", "spans", "message"),
    [
        (["target"], None, "positions must be of answer, source, all; got 'target'"),
        ([], None, "positions must name at least one position; got none"),
        ([], {"answer": []}, "spans must have labels other than answer, source, all; got 'answer'"),
        ([], {"x": [(0, 1)]}, "spans must have one span per item, 6; got 1 for 'x'"),
        ([], {"x": [(9999, 10000)] * 6}, "span 'x' must hold a token of the prompt; got characters 9999 to 10000"),
    ],
)
def test_wrong_positions_are_refused(items, texts, positions, spans, message):
    with pytest.raises(ValueError, match=message):
        find_places(items, texts, positions, spans)

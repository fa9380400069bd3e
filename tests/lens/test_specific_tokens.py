"""The specific tokens of a trace, against a plain loop over its rows."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest

from pivotkit.lens.specific_tokens import SPECIFIC_TOKENS, specific_tokens
from pivotkit.lens.trace import trace
from pivotkit.words.task import accepted_targets, build_task
from pivotkit.words.token_classes import ItemWords, token_class, word_languages


@pytest.fixture(scope="module")
def task(lexicon):
    """12 items of one pair, and 5 of another, which has no contrasts."""
    return build_task(lexicon, ["fr-en", "zh-en"], limit=12, shots=1, contexts=1, distractors=2).slice(0, 17)


@pytest.fixture
def traced(llama, task, tokenizer):
    return trace(llama, task, tokenizer, k=4, positions=["answer", "source"])


def plain(traces, items, least_contrast, least_probability):
    rows = {row["item"]: row for row in items.to_pylist()}
    known = word_languages(pair for row in rows.values() for pair in row["words"])
    found = []
    for row in traces.to_pylist():
        if row["label"] != "answer" or row["top_contrasts"] is None:
            continue
        item, held = rows[row["item"]], {}
        for kind in (("contrast_ids", "contrast_tokens", "contrast_logprobs", "contrasts"),
                     ("top_ids", "top_tokens", "top_logprobs", "top_contrasts")):  # fmt: skip
            held |= {token: rest for token, *rest in zip(*(row[name] for name in kind), strict=True)}
        ids = [{*row[f"{name}_ids"], *row[f"{name}_pieces"]} for name in ("source", "target")]
        own = ItemWords(item["source"], accepted_targets(item), *ids, word_languages(item["words"]))
        for token, (text, logprob, contrast) in sorted(held.items(), key=lambda one: (-one[1][1], one[0])):
            if logprob >= math.log(least_probability) and contrast >= least_contrast:
                name, language = token_class(token, text, own, known)
                found.append({"item": row["item"], "pair": row["pair"], "layer": row["layer"], "token_id": token,
                              "token": text, "logprob": logprob, "contrast": contrast, "class": name,
                              "language": language})  # fmt: skip
    return sorted(found, key=lambda row: (row["item"], row["layer"]))


@pytest.mark.parametrize(("contrast", "probability"), [(0.01, 0.001), (0.05, 0.004), (0, 1e-9)])
def test_specific_tokens_are_those_of_a_plain_loop(traced, task, contrast, probability):
    found = specific_tokens(traced, least_contrast=contrast, least_probability=probability)
    assert found.schema == SPECIFIC_TOKENS
    assert found.to_pylist() == plain(traced, task, contrast, probability)
    assert found.num_rows > 10
    assert set(found["pair"].to_pylist()) == {"fr-en"}
    assert found.equals(specific_tokens(traced, task, least_contrast=contrast, least_probability=probability))


def test_states_between_attention_and_feed_forward_part_are_not_read(llama, task, tokenizer):
    more = {"least_contrast": 0.01, "least_probability": 0.001}
    both, blocks = (
        trace(llama, task, tokenizer, k=4, points=points) for points in (("block", "attention"), ("block",))
    )
    assert specific_tokens(both, **more).equals(specific_tokens(blocks, **more))
    assert specific_tokens(both, **more).num_rows > 10


def test_high_thresholds_give_an_empty_table(traced):
    assert specific_tokens(traced, least_contrast=100).equals(SPECIFIC_TOKENS.empty_table())
    few = traced.filter(pa.compute.field("pair") == "zh-en")
    assert specific_tokens(few, least_contrast=0).equals(SPECIFIC_TOKENS.empty_table())


def test_traces_of_before_take_their_words_from_the_items(traced, task):
    old = traced.drop_columns(["source_word", "target_words", "words"])
    more = {"least_contrast": 0.01, "least_probability": 0.001}
    assert specific_tokens(old, task, **more).equals(specific_tokens(traced, **more))
    with pytest.raises(
        ValueError, match=r"specific_tokens: traces must have the columns .* got none named source_word"
    ):
        specific_tokens(old)


def test_the_words_of_all_items_tell_the_language_of_a_part(traced, task):
    """A token of a part may be a word that only an item outside it has."""
    more = {"least_contrast": 0, "least_probability": 1e-9}
    whole, alone = specific_tokens(traced, **more), 0
    for item in range(12):
        own = pa.compute.field("item") == item
        one = traced.filter(own)
        assert specific_tokens(one, task, **more).equals(whole.filter(own))
        alone += specific_tokens(one, **more).equals(whole.filter(own))
    assert alone < 12


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"traces": 3}, TypeError, "specific_tokens: traces must be a pyarrow.Table"),
        ({"items": 3}, TypeError, "specific_tokens: items must be a pyarrow.Table"),
        ({"least_contrast": -1}, ValueError, "least_contrast must be at least 0; got -1"),
        ({"least_probability": 2}, ValueError, "least_probability must be between 0 and 1; got 2"),
    ],
)
def test_a_wrong_argument_is_refused(traced, arguments, error, message):
    with pytest.raises(error, match=message):
        specific_tokens(**{"traces": traced, **arguments})


def test_an_item_of_the_traces_that_is_not_among_the_items_is_refused(traced, task):
    with pytest.raises(ValueError, match="specific_tokens: items must hold every item of traces; got none of item 5"):
        specific_tokens(traced, task.slice(0, 5))

"""The contrastive score against the published way of computing it."""

from __future__ import annotations

import pytest

from pivotkit.lens.reference import reference_score
from pivotkit.lens.score import score
from pivotkit.words.task import build_task


@pytest.mark.parametrize("sharing", ["item", "pair"])
def test_cached_prefixes_give_the_scores_of_whole_sequences(model, lexicon, tokenizer, sharing):
    items = build_task(lexicon, ["en-fr", "fr-zh"], limit=3, shots=3, contexts=2, distractors=4, sharing=sharing)
    assert score(model, items, tokenizer)["score"].to_pylist() == pytest.approx(
        list(reference_score(model, items, tokenizer)), abs=1e-5
    )


def test_the_score_is_gold_less_the_mean_distractor(model, items, tokenizer):
    for row in score(model, items, tokenizer).to_pylist():
        assert row["score"] == pytest.approx(row["p_gold"] - sum(row["p_distractors"]) / 4)
        assert -1 < row["score"] < 1


def test_the_order_of_the_distractors_does_not_matter(llama, items, tokenizer):
    column = items.schema.get_field_index("distractors")
    turned = [list(reversed(words)) for words in items["distractors"].to_pylist()]
    other = items.set_column(column, items.schema.field(column), [turned])
    assert score(llama, other, tokenizer)["score"].to_pylist() == pytest.approx(
        score(llama, items, tokenizer)["score"].to_pylist(), abs=1e-6
    )


def test_a_distractor_equal_to_the_source_scores_as_the_source(llama, items, tokenizer):
    column = items.schema.get_field_index("distractors")
    same = [[source] * 4 for source in items["source"].to_pylist()]
    other = items.set_column(column, items.schema.field(column), [same])
    assert score(llama, other, tokenizer)["score"].to_pylist() == pytest.approx([0.0] * items.num_rows, abs=1e-6)


def test_a_prompt_beyond_the_context_is_refused(llama, items, tokenizer, monkeypatch):
    monkeypatch.setattr(llama.config, "max_position_embeddings", 40)
    with pytest.raises(ValueError, match="score: prompt must fit the model's context of 40 tokens; got"):
        score(llama, items, tokenizer)

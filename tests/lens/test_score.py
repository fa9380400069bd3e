"""The contrastive score against the published computation."""

from __future__ import annotations

import pyarrow as pa
import pytest
import torch

from pivotkit.errors import InputError
from pivotkit.lens.model.encoding import encode
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.reference import reference_score
from pivotkit.lens.score import score
from pivotkit.words.task import build_task, task_languages, task_prompt


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


def greedy(model, ids, steps):
    """The tokens of greedy decoding, with one whole forward pass per token."""
    for _ in range(steps):
        ids = [*ids, int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())]
    return ids[-steps:]


@torch.inference_mode()
def test_accuracy_and_ranks_are_those_of_the_model_itself(model, lexicon, tokenizer):
    items = build_task(lexicon, ["en-fr", "fr-zh"], limit=3, shots=3, contexts=2, distractors=4)
    table = items.to_pylist()
    prompt = task_prompt(items)
    for row, found in zip(score(model, items, tokenizer).to_pylist(), table, strict=True):
        assert row["gold_rank"] == sum(p > row["p_gold"] for p in row["p_distractors"])
        right, reciprocal = [], []
        for context in found["contexts"]:
            ask = context + prompt.ask(*task_languages(items, found["pair"]), found["source"])
            [text] = encode(tokenizer, [ask], [prompt.reply(found["target"])])
            steps = len(text.ids) - text.answer_start
            right.append(
                greedy(model, list(text.ids[: text.answer_start]), steps) == list(text.ids[text.answer_start :])
            )
            logits = model(input_ids=torch.tensor([text.ids[: text.telling]])).logits[0, -1]
            reciprocal.append(1 / (1 + int((logits > logits[text.ids[text.telling]]).sum())))
        assert row["greedy"] == sum(right) / len(right)
        assert row["reciprocal_rank"] == pytest.approx(sum(reciprocal) / len(reciprocal))
        assert (row["target_piece"], row["appended"]) == (len(text.appended), tokenizer.decode(text.appended))


def with_column(items, name, values):
    kept = pa.array(values, pa.list_(pa.string()))
    at = items.schema.get_field_index(name)
    return items.append_column(name, kept) if at < 0 else items.set_column(at, name, kept)


def test_of_several_accepted_targets_the_likeliest_counts(model, items, tokenizer):
    """For each candidate, a set of synonyms scores as the best of its words."""
    rows = items.to_pylist()
    others = [rows[(at + 1) % len(rows)]["target"] for at in range(len(rows))]
    alone = [score(model, with_column(items, "targets", [[w] for w in words]), tokenizer).to_pylist()
             for words in ([row["target"] for row in rows], others)]  # fmt: skip
    both = score(
        model, with_column(items, "targets", [[r["target"], o] for r, o in zip(rows, others, strict=True)]), tokenizer
    )
    for first, second, row in zip(*alone, both.to_pylist(), strict=True):
        assert row["p_gold"] == pytest.approx(max(first["p_gold"], second["p_gold"]), rel=1e-4)
        assert row["p_distractors"] == pytest.approx(
            [max(pair) for pair in zip(first["p_distractors"], second["p_distractors"], strict=True)], rel=1e-4
        )
        assert row["greedy"] == max(first["greedy"], second["greedy"])


def test_items_are_scored_the_same_alone_and_in_company(model, items, tokenizer):
    together = score(model, items, tokenizer)
    alone = [score(model, items.slice(at, 1), tokenizer)["score"][0].as_py() for at in range(items.num_rows)]
    assert together["score"].to_pylist() == pytest.approx(alone, abs=1e-5)


def test_more_items_than_a_tree_holds_are_scored_in_parts(llama, items, tokenizer, monkeypatch):
    whole = score(llama, items, tokenizer)
    monkeypatch.setattr("pivotkit.lens.score.ITEMS", 4)
    parts = score(llama, items, tokenizer)
    assert parts["item"].to_pylist() == whole["item"].to_pylist()
    assert parts["score"].to_pylist() == pytest.approx(whole["score"].to_pylist(), abs=1e-5)


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


def test_a_state_that_is_not_finite_is_refused_with_its_item(make_model, items, tokenizer):
    model = make_model("llama", vocab_size=len(tokenizer))
    head = LensHead.from_model(model)
    model.model.layers[-1].input_layernorm.weight.data[3] = float("nan")
    with pytest.raises(ValueError, match=r"must be finite; got nan at layer 3, item \d+, token \d+"):
        score(model, items, tokenizer, head=head)


def test_a_reading_that_no_distribution_gives_stops_the_score(llama, items, tokenizer, wrong_sums):
    head = LensHead.from_model(llama)
    wrong_sums()
    with pytest.raises(ArithmeticError, match=r"score: log-probabilities must not exceed 0; got"):
        score(llama, items, tokenizer, head=head)


@pytest.mark.parametrize("name", ["distractors", "contexts"])
def test_items_without_what_a_score_is_made_of_are_refused(llama, items, tokenizer, name):
    with pytest.raises(ValueError, match=f"score: items must have the columns .*; got none named {name}"):
        score(llama, items.drop_columns([name]), tokenizer)
    bare = with_column(items, name, [[] for _ in range(items.num_rows)])
    with pytest.raises(ValueError, match="score: items must have distractors and contexts; got none in item 0"):
        score(llama, bare, tokenizer)


def test_a_distractor_that_the_tokenizer_cannot_write_is_refused(llama, items, tokenizer):
    words = [["<bos>", *row[1:]] for row in items["distractors"].to_pylist()]
    with pytest.raises(InputError, match=r"column en must hold a word .* a token for; got '<bos>'"):
        score(llama, with_column(items, "distractors", words), tokenizer)

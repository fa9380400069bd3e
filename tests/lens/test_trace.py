"""The trace against plain PyTorch in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pivotkit.lens.encoding import encode
from pivotkit.lens.reference import reference_lens
from pivotkit.lens.trace import trace
from pivotkit.words.task import build_task, task_prompt
from pivotkit.words.token_sets import TokenSets


def test_every_column_equals_the_plain_lens(model, items, tokenizer):
    pivots = {0: [11, 12], 3: [40]}
    table = trace(model, items, tokenizer, latent=["en"], pivots=pivots, k=5).to_pylist()
    prompt, sets = task_prompt(items), TokenSets(tokenizer)
    assert len(table) == items.num_rows * 4
    for row in items.to_pylist():
        [text] = encode(tokenizer, [row["prompt"]], [prompt.reply(row["target"])])
        truth = reference_lens(model, torch.tensor(text.ids[: text.word]))[:, -1]
        for layer, got in enumerate(step for step in table if step["item"] == row["item"]):
            p = truth[layer]
            assert (got["layer"], got["position"], got["label"]) == (layer, text.word - 1, "answer")
            assert got["top_ids"] == p.argsort(descending=True, stable=True)[:5].tolist()
            assert got["top_tokens"] == [tokenizer.decode([token]) for token in got["top_ids"]]
            assert got["top_logprobs"] == pytest.approx(p[got["top_ids"]].tolist(), abs=2e-5)
            assert got["entropy"] == pytest.approx(float(-(p.exp() * p).sum()), abs=2e-5)
            target = text.ids[text.word]
            assert got["target_logprob"] == pytest.approx(float(p[target]), abs=2e-5)
            assert got["target_rank"] == int((p > p[target]).sum())
            for name, tokens in [
                ("source", sets.first(row["source"])), ("target", sets.first(row["target"])),
                ("en", sets.first(row["concept"])), ("pivot", pivots.get(row["item"])),
            ]:  # fmt: skip
                mass = got[f"{name}_logmass"]
                if tokens is None:
                    assert mass is None
                else:
                    assert mass == pytest.approx(float(p[list(tokens)].logsumexp(0)), abs=2e-5)


def test_masses_stay_below_one_and_the_entropy_within_its_bounds(model, items, tokenizer):
    for row in trace(model, items, tokenizer, latent=["en"]).to_pylist():
        assert all(row[f"{name}_logmass"] <= 1e-6 for name in ("source", "target", "en"))
        assert 0 <= row["entropy"] <= np.log(len(tokenizer)) + 1e-5
        assert row["top_logprobs"][0] >= row["target_logprob"]
        assert row["top_logprobs"] == sorted(row["top_logprobs"], reverse=True)


def test_an_item_is_traced_the_same_alone_and_in_company(model, items, tokenizer):
    together = trace(model, items, tokenizer).to_pylist()
    alone = [
        row for number in range(items.num_rows) for row in trace(model, items.slice(number, 1), tokenizer).to_pylist()
    ]
    for one, other in zip(together, alone, strict=True):
        assert one["top_ids"][0] == other["top_ids"][0]
        assert one["logsumexp"] == pytest.approx(other["logsumexp"], abs=1e-5)


def test_a_concept_without_the_latent_word_has_a_null(llama, lexicon, tokenizer):
    rows = [{code: word for code, word in row.items() if code != "en" or word != "dog"} for row in lexicon.rows]
    holed = type(lexicon)({"fr": "French", "zh": "Chinese", "en": "English"}, rows, lexicon.pos)
    table = trace(llama, build_task(holed, ["fr-zh"], shots=1, contexts=1, distractors=2), tokenizer, latent=["en"])
    nulls = {row["item"] for row in table.to_pylist() if row["en_logmass"] is None}
    assert nulls == {0}


def test_an_unknown_latent_language_is_refused(llama, items, tokenizer):
    with pytest.raises(ValueError, match="trace: latent must be languages of the lexicon; got 'xx'"):
        trace(llama, items, tokenizer, latent=["xx"])


def test_a_prompt_beyond_the_context_is_refused(llama, items, tokenizer, monkeypatch):
    monkeypatch.setattr(llama.config, "max_position_embeddings", 20)
    with pytest.raises(ValueError, match="trace: prompt must fit the model's context of 20 tokens; got"):
        trace(llama, items, tokenizer)

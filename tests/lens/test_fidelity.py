"""`lens_fidelity` against all logits of whole sequences."""

from __future__ import annotations

import pytest
import torch

from pivotkit.artifacts import table_metadata
from pivotkit.lens.fidelity import FIDELITY, lens_fidelity
from pivotkit.lens.reference import reference_lens

TEXTS = ["chien dog chat", "a house with a star", "fish fish fish and rain", "門 livre"]


def reference(model, tokenizer):
    """Divergence and agreement of every layer, over all positions but the first of each sequence."""
    divergences, agreements = [], []
    for text in TEXTS:
        logprobs = reference_lens(model, torch.tensor(tokenizer(text)["input_ids"]))[:, 1:]
        last = logprobs[-1]
        divergences.append((last.exp() * (last - logprobs)).sum(-1))
        agreements.append((logprobs.argmax(-1) == last.argmax(-1)).double())
    return torch.cat(divergences, 1).mean(1), torch.cat(agreements, 1).mean(1)


def test_the_raw_lens_has_the_divergence_of_whole_logits(model, tokenizer):
    table = lens_fidelity(model, None, TEXTS, tokenizer, held_out=1)
    kl, agreement = reference(model, tokenizer)
    assert table.schema.names == FIDELITY.names
    assert table["lens"].unique().to_pylist() == ["logit lens"]
    assert table["layer"].to_pylist() == [0, 1, 2, 3]
    assert set(table["tokens"].to_pylist()) == {sum(len(ids) - 1 for ids in tokenizer(TEXTS)["input_ids"])}
    assert table_metadata(table)["texts"] == 4
    torch.testing.assert_close(torch.tensor(table["kl"].to_pylist()).double(), kl, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(torch.tensor(table["agreement"].to_pylist()).double(), agreement)


def test_lenses_stand_side_by_side_and_layers_are_those_asked_for(llama, tokenizer):
    def same(hidden, layers):
        return hidden

    def last(hidden, layers):
        return hidden[-1:].expand_as(hidden)

    same.name, last.name = "same", "last"
    table = lens_fidelity(llama, [same, last], TEXTS, tokenizer, held_out=1, layers=[2, 0], batch=8).to_pylist()
    assert [(row["lens"], row["layer"]) for row in table] == [
        (name, layer) for name in ("logit lens", "same", "last") for layer in (2, 0)
    ]
    assert [row["kl"] for row in table[:2]] == [row["kl"] for row in table[2:4]]
    assert [(row["kl"], row["agreement"]) for row in table[4:]] == [(0, 1)] * 2


def test_what_is_no_lens_layer_or_text_is_refused(llama, tokenizer):
    def lens(hidden, layers):
        return hidden

    with pytest.raises(TypeError, match=r"^lens_fidelity: lenses must be functions of \(hidden, layers\); got int$"):
        lens_fidelity(llama, [3], TEXTS, tokenizer)
    with pytest.raises(ValueError, match=r"^lens_fidelity: lenses must have different names; got 'function'$"):
        lens_fidelity(llama, [lens, lens], TEXTS, tokenizer)
    with pytest.raises(ValueError, match=r"^lens_fidelity: layers must be at most 3; got 4$"):
        lens_fidelity(llama, None, TEXTS, tokenizer, held_out=1, layers=[4])
    with pytest.raises(
        ValueError, match=r"^lens_fidelity: texts must hold some that are held out, a share of 0; got 0$"
    ):
        lens_fidelity(llama, None, TEXTS, tokenizer, held_out=0)

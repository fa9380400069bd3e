"""Certified screening on real heads and the real, normed hidden states of all their layers."""

from __future__ import annotations

import pytest
import torch

from pivotkit.kernels import PackedUnembedding, unembed
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.model.loading import load_model

PROMPT = 'Français: "fleur" - 中文: "花"\nEnglish: "book" - Deutsch: "Buch"\nFrançais: "nuage" - 中文: "'


@pytest.mark.parametrize("name", ["gemma3-270m", "smollm2-135m"])
def test_every_layer_of_a_real_model_equals_the_exact_answer(real_models, name):
    model, tokenizer = load_model(real_models / name)
    head = LensHead.from_model(model)
    states = []
    hooks = [
        block.register_forward_hook(lambda _, __, out: states.append(out[0] if isinstance(out, tuple) else out))
        for block in model.model.layers
    ]
    with torch.no_grad():
        model.model(**tokenizer(PROMPT, return_tensors="pt"))
        rows = torch.cat([head.normed(state[0]) for state in states])
    for hook in hooks:
        hook.remove()
    packed = PackedUnembedding(head.weight, precision="certified")
    exact = unembed(rows, head.weight)
    certified = unembed(rows, packed, targets=exact.ids[:, [0, 9]], precision="certified")
    assert torch.equal(certified.ids, exact.ids)
    assert torch.equal(certified.logits, exact.logits)
    assert torch.equal(certified.target_ranks, torch.tensor([0, 9]).expand(len(rows), 2))
    off = (certified.logsumexp.double() - exact.logsumexp.double()).abs()
    assert (off <= certified.logsumexp_error).all()
    # Screening pays: nearly all rows are certified, and logsumexp is nearly exact.
    assert certified.certified.float().mean() > 0.98
    assert off.median() < 1e-3

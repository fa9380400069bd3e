"""The head: described, and proved against the model's own logits."""

from __future__ import annotations

import pytest
import torch

from pivotkit.lens.capture import capture
from pivotkit.lens.head import LensHead
from pivotkit.lens.model import load_model
from pivotkit.lens.reference import reference_lens


def test_the_last_layer_equals_the_model(model):
    head = LensHead.from_model(model)
    assert head.error <= 1e-5
    assert len(head.blocks) == 3


def test_the_soft_cap_is_seen(gemma2, llama):
    assert LensHead.from_model(gemma2).softcap == 5.0
    assert LensHead.from_model(llama).softcap is None


def test_a_head_that_is_not_as_described_is_refused(llama, monkeypatch):
    monkeypatch.setattr("pivotkit.lens.head._logit_scale", lambda config: 2.0)
    with pytest.raises(ValueError, match=r"must equal the logits of LlamaForCausalLM within 0.0001; .*factor 0.5"):
        LensHead.from_model(llama)


def test_a_model_without_a_head_is_refused(llama):
    with pytest.raises(ValueError, match="must be a causal LM with a base model and an output head; got LlamaModel"):
        LensHead.from_model(llama.model)


def test_capture_keeps_the_residual_stream_of_every_layer(model):
    head = LensHead.from_model(model)
    ids = torch.tensor([[3, 7, 1, 9, 12], [5, 2, 8, 0, 0]])
    positions = [(0, 4), (1, 2), (0, 1)]
    got = capture(head, ids, positions)
    assert got.shape == (4, 3, 32)
    for column, (row, at) in enumerate(positions):
        length = 5 if row == 0 else 3
        truth = reference_lens(model, ids[row, :length])[:, at]
        logits = head.logit_scale * head.normed(got[:, column]) @ head.weight.T
        if head.softcap:
            logits = head.softcap * torch.tanh(logits / head.softcap)
        assert (logits.double().log_softmax(-1) - truth).abs().max() < 1e-4


def test_capture_of_chosen_layers_is_that_part_of_all(model):
    head = LensHead.from_model(model)
    ids = torch.tensor([[3, 7, 1, 9]])
    everything = capture(head, ids, [(0, 2)])
    assert torch.equal(capture(head, ids, [(0, 2)], layers=[3, 0]), everything[[3, 0]])


@pytest.mark.parametrize("name", ["smollm2-135m", "gemma3-270m"])
def test_the_last_layer_equals_real_models(real_models, name):
    model, tokenizer = load_model(real_models / name)
    head = LensHead.from_model(model)
    assert head.error <= 1e-5
    ids = torch.tensor([tokenizer("French: chien\nChinese:")["input_ids"]])
    last = capture(head, ids, [(0, ids.shape[1] - 1)])[-1]
    with torch.inference_mode():
        truth = model(input_ids=ids).logits[0, -1]
        assert torch.allclose((head.normed(last) @ head.weight.T)[0], truth, rtol=1e-4, atol=1e-4)

"""The loss from the states before the head is the model's own: in float64, in a model, in bfloat16, under adapters."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch.nn import functional as F
from transformers import Cohere2Config, Cohere2ForCausalLM, LlamaConfig, LlamaForCausalLM

from pivotkit.training import loss as module
from pivotkit.training.loss import loss_from_states, summed_loss

VOCABULARY = 90
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 2, "num_key_value_heads": 1}


def llama(**more):
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SIZES, **HEADS, **more))


def ids(rows=3, length=11):
    return torch.randint(VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(1))


def told(model, rows, from_states, *, bfloat16=False, **more):
    """The loss, its gradients by parameter, and the last size of what the model calls logits."""
    model.zero_grad()
    ours = loss_from_states(model, rows[:1]) if from_states else contextlib.nullcontext()
    with ours, torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        out = model(input_ids=rows, labels=rows, **more)
    out.loss.backward()
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    return out.loss.detach(), gradients, out.logits.shape[-1]


@pytest.mark.parametrize("at_once", [1, 7 * VOCABULARY, 1 << 20])
def test_sum_and_gradients_are_those_of_pytorch_in_float64(at_once, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    make = torch.Generator().manual_seed(2)
    states, weight = (
        (20 * torch.randn(size, 16, generator=make, dtype=torch.float64)).requires_grad_() for size in (23, VOCABULARY)
    )
    targets = torch.randint(VOCABULARY, (23,), generator=make)
    expected = F.cross_entropy(states @ weight.T, targets, reduction="sum")
    found = summed_loss(states, weight, targets)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(
        torch.autograd.grad(3 * found, (states, weight)),
        torch.autograd.grad(3 * expected, (states, weight)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("items", [None, torch.tensor(50)])
def test_loss_and_gradients_of_a_model_are_its_own(tied, items):
    model, rows = llama(tie_word_embeddings=tied), ids()
    more = {} if items is None else {"num_items_in_batch": items}
    expected, gradients, _ = told(model, rows, False, **more)
    found, ours, width = told(model, rows, True, **more)
    assert width == 16  # states, not logits
    torch.testing.assert_close(found, expected)
    assert ours.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_bfloat16_products_are_no_further_from_float32_than_the_models_own():
    model, rows = llama(), ids(8, 40)
    _, exact, _ = told(model, rows, False)
    _, theirs, _ = told(model, rows, False, bfloat16=True)
    _, ours, width = told(model, rows, True, bfloat16=True)
    assert width == 16
    weight = "lm_head.weight"
    assert ours[weight].dtype == torch.float32
    assert (ours[weight] - exact[weight]).norm() <= 1.05 * (theirs[weight] - exact[weight]).norm()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_adapters_alone_get_gradients():
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    model = peft.get_peft_model(llama(), config)
    _, expected, _ = told(model, ids(), False)
    _, found, width = told(model, ids(), True)
    assert width == 16
    assert set(found) == set(expected) == {name for name in expected if "lora" in name}
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


def test_the_model_is_left_as_it_was():
    model = llama().train()
    with loss_from_states(model, ids()):
        assert model.training
    assert model(input_ids=ids()).logits.shape[-1] == VOCABULARY
    assert "forward" not in model.lm_head.__dict__
    assert "_loss_function" not in model.__dict__


def test_a_model_that_does_more_to_its_logits_keeps_its_loss():
    model = Cohere2ForCausalLM(Cohere2Config(**SIZES, **HEADS, head_dim=8, pad_token_id=0))
    assert model.config.logit_scale != 1
    assert told(model, ids(), True)[2] == VOCABULARY


def test_a_model_whose_loss_is_another_one_keeps_it():
    model = llama()
    forward = model.forward

    def penalized(**given):
        out = forward(**given)
        out.loss = out.loss + out.logits.square().mean()
        return out

    model.forward = penalized
    expected, _, _ = told(model, ids(), False)
    found, _, width = told(model, ids(), True)
    assert width == VOCABULARY
    assert found == expected

"""Every family of causal LM: the description holds, and the lens gives what the model computes."""

from __future__ import annotations

import copy

import pytest
import torch

from pivotkit.lens.model.capture import capture
from pivotkit.lens.model.families import LOGITS, Operation, folded
from pivotkit.lens.model.head import LensHead

IDS = torch.tensor([[7, 3, 11, 2, 20, 5, 9, 30, 4, 12]])
EVERYWHERE = [(0, column) for column in range(IDS.shape[1])]


@torch.inference_mode()
def lens_and_model(model, head):
    """Logits of the last layer through the kernel, in the order of the ids, and the model's own."""
    last = capture(head, IDS, EVERYWHERE, layers=[len(head.blocks)])[0]
    result = head.unembed(last, k=head.weight.shape[0])
    mine = torch.empty_like(result.logits).scatter_(1, result.ids, result.logits)
    return mine, model(input_ids=IDS).logits[0].float()


def test_the_last_layer_is_the_model(family, family_head):
    head = family_head
    mine, theirs = lens_and_model(family, head)
    assert (mine - theirs).abs().max() <= 1e-5 * theirs.abs().max()
    assert torch.equal(mine.argmax(-1), theirs.argmax(-1))
    assert head.error <= 1e-5


@pytest.mark.parametrize(("dtype", "share"), [(torch.bfloat16, 1e-2), (torch.float16, 2e-3)])
def test_the_last_layer_is_the_model_in_16_bit(family, dtype, share):
    model = copy.deepcopy(family).to(dtype)
    mine, theirs = lens_and_model(model, LensHead.from_model(model))
    assert (mine - theirs).abs().max() <= share * theirs.abs().max()


@torch.inference_mode()
def test_every_layer_is_the_hidden_state_that_transformers_reports(family_head):
    head = family_head
    states = head.base(input_ids=IDS, output_hidden_states=True).hidden_states
    mine = capture(head, IDS, EVERYWHERE)
    assert len(mine) == len(states) == len(head.blocks) + 1
    for layer, state in enumerate(states[:-1]):
        assert torch.allclose(mine[layer], state[0], rtol=1e-5, atol=1e-5), layer
    # transformers reports the last one after the base model's final norm and projection.
    last = mine[-1]
    for module in head.chain:
        last = module(last) if module in head.base.modules() else last
    assert torch.allclose(last, states[-1][0], rtol=1e-5, atol=1e-5)


def test_a_prefix_is_shared_where_the_cache_can_repeat_it(family_head):
    recurrent = type(family_head.base).__name__ in ("FalconH1Model", "RecurrentGemmaModel")
    assert family_head.shares_prefix is family_head.describe()["shares_prefix"] is not recurrent


def test_keys_and_values_are_never_each_positions_own_matter(family_head):
    names = {part: name for name, part in family_head.blocks[-1].named_modules()}
    found = {names[part].split(".")[-1] for part in family_head.positionwise}
    assert found
    assert not found & {
        "k_proj",
        "v_proj",
        "c_attn",
        "qkv_proj",
        "query_key_value",
        "kv_b_proj",
        "in_proj",
        "key",
        "value",
    }
    assert family_head.describe()["positionwise"] == [type(part).__name__ for part in family_head.positionwise]


def test_the_context_length_is_the_positions_or_unbounded_for_alibi(make_model):
    lengths = {
        name: LensHead.from_model(make_model(name)).longest for name in ("gpt2", "llama", "bloom", "falcon alibi")
    }
    assert lengths == {"gpt2": 256, "llama": 256, "bloom": None, "falcon alibi": None}


@pytest.mark.parametrize(
    ("family_name", "described"),
    [
        ("llama", (["LlamaRMSNorm"], [], False, 1.0, None)),
        ("gemma2", (["Gemma2RMSNorm"], [], False, 1.0, 5.0)),
        ("cohere", (["CohereLayerNorm"], [], False, 0.25, None)),
        ("granite", (["GraniteRMSNorm"], [], False, 0.125, None)),
        ("hyperclovax", (["HyperCLOVAXRMSNorm"], [], False, 4.0, None)),
        ("minicpm3", (["MiniCPM3RMSNorm"], ["divide by logits_scaling 4"], False, 1.0, None)),
        ("gptj", (["LayerNorm"], [], True, 1.0, None)),
        ("opt projected", (["LayerNorm", "Linear"], [], False, 1.0, None)),
        ("opt without a final norm", (["Linear"], [], False, 1.0, None)),
        ("recurrent_gemma", (["RecurrentGemmaRMSNorm"], [], False, 1.0, 5.0)),
    ],
)
def test_the_description_says_what_lies_before_the_logits(make_model, family_name, described):
    found = LensHead.from_model(make_model(family_name)).describe()
    assert tuple(found[name] for name in ("chain", "before_head", "bias", "logit_scale", "softcap")) == described


@pytest.mark.parametrize("first", ["multiply", "cap"])
def test_factors_and_a_cap_fold_into_one_form_in_their_order(first):
    operations = [Operation("divide", "a", 4.0), Operation("multiply", "b", -3.0)]
    operations.insert(0 if first == "cap" else 2, Operation("cap", "c", 1.5))
    z = torch.linspace(-9, 9, 101, dtype=torch.float64)
    truth = z
    for operation in operations:
        truth = operation(truth)
    scale, cap = folded(tuple(operations))
    assert torch.allclose(cap * torch.tanh(scale * z / cap), truth)


def test_a_model_that_scales_behind_its_cap_is_described_so(make_model, monkeypatch):
    model = make_model("gemma2", logit_scale=0.5)
    plain = type(model).forward

    class Scaled(type(model)):
        def forward(self, *args, **kwargs):
            output = plain(self, *args, **kwargs)
            output.logits = output.logits * self.config.logit_scale
            return output

    model.__class__ = Scaled
    with pytest.raises(ValueError, match=r"LensHead: the logits of Scaled must be"):
        LensHead.from_model(model)
    monkeypatch.setitem(LOGITS, "gemma2", (("cap", "final_logit_softcapping"), ("multiply", "logit_scale")))
    head = LensHead.from_model(model)
    assert (head.logit_scale, head.softcap) == (0.5, 2.5)

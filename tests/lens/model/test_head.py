"""The head is described, proved against the model's logits, and refused by name if it differs from the description."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pivotkit.lens.model.capture import capture
from pivotkit.lens.model.head import LensHead
from pivotkit.lens.model.loading import load_model


def test_the_last_layer_equals_the_model(model):
    head = LensHead.from_model(model)
    assert head.error <= 1e-5
    assert len(head.blocks) == 3


def changed(model, function):
    """The same model, whose forward method changes its output by ``function``."""

    class Changed(type(model)):
        def forward(self, *args, **kwargs):
            output = super().forward(*args, **kwargs)
            output.logits = function(output.logits)
            return output

    model.__class__ = Changed
    return model


@pytest.mark.parametrize(
    ("family_name", "settings", "function", "message"),
    [
        ("llama", {"logit_scale": 2.0}, None, "with multiply by logit_scale 2 within 0.0001 .*; got no change instead"),
        ("llama", {}, lambda z: z / 2, "with no operation within .*; got a factor of 0.5 instead"),
        ("llama", {}, lambda z: torch.tanh(z / 7) * 7, "with no operation within .*; got a soft-cap at 7 instead"),
        ("llama", {}, lambda z: z + torch.arange(60) / 10, "with no operation .*; got an offset of up to 5.9 instead"),
        ("llama", {}, lambda z: z.abs(), "that no factor, soft-cap or offset explains"),
        ("llama", {"final_logit_softcapping": 5.0}, None, "cap at final_logit_softcapping 5 within .*; got no change"),
        ("granite", {}, lambda z: z * 64, "divide by logits_scaling 8 within .*; got a factor of 8 instead"),
        ("gemma2", {}, lambda z: z * 2, "cap at final_logit_softcapping 5 within"),
    ],
)  # fmt: skip
def test_logits_that_are_not_as_configured_are_refused_by_the_difference(
    make_model, family_name, settings, function, message
):
    model = make_model(family_name, **settings)
    with pytest.raises(ValueError, match=f"LensHead: the logits of .* must be its head's output .*{message}"):
        LensHead.from_model(model if function is None else changed(model, function))


def test_a_change_between_the_norm_and_the_head_is_refused(make_model):
    model = make_model("llama")

    class Scaled(type(model.model)):
        def forward(self, *args, **kwargs):
            output = super().forward(*args, **kwargs)
            output.last_hidden_state = output.last_hidden_state * 3
            return output

    model.model.__class__ = Scaled
    message = (
        "the head of LlamaForCausalLM must read what its last modules return; got a factor of 3 after LlamaRMSNorm"
    )
    with pytest.raises(ValueError, match=message):
        LensHead.from_model(model)


def test_a_head_that_is_more_than_a_product_is_refused(make_model):
    class Tempered(nn.Linear):
        def forward(self, hidden):
            return super().forward(hidden) * 4

    model = make_model("llama")
    model.lm_head.__class__ = Tempered
    with pytest.raises(ValueError, match=r"must be hidden @ weight.T; got a factor of 4 on top of it"):
        LensHead.from_model(model)


def test_a_model_without_a_head_is_refused(llama):
    with pytest.raises(ValueError, match="must be a causal LM with a base model and an output head; got LlamaModel"):
        LensHead.from_model(llama.model)


def test_a_model_in_training_mode_is_refused(make_model):
    with pytest.raises(
        ValueError, match="must be in evaluation mode; got LlamaForCausalLM in training mode: call eval"
    ):
        LensHead.from_model(make_model("llama").train())


def test_a_model_whose_blocks_do_not_all_run_is_refused(make_model):
    model = make_model("llama")
    model.config.num_hidden_layers = 2
    with pytest.raises(ValueError, match="must run a list of num_hidden_layers blocks once each, in order"):
        LensHead.from_model(model)


def test_a_quantized_head_is_refused_with_what_to_do(make_model):
    model = make_model("llama")
    model.lm_head.weight = nn.Parameter(torch.zeros(60, 32, dtype=torch.int8), requires_grad=False)
    with pytest.raises(
        ValueError, match=r"got torch.int8 in LlamaForCausalLM: leave the head out of the quantization \(llm_int8"
    ):
        LensHead.from_model(model)


def test_an_offloaded_head_is_refused_with_what_to_do(make_model):
    model = make_model("llama")
    model.lm_head.to("meta")
    with pytest.raises(ValueError, match="got one that is offloaded in LlamaForCausalLM: give the head"):
        LensHead.from_model(model)


class Int8Linear(nn.Module):
    """Imitates a quantized linear layer: an int8 weight and a forward method of its own."""

    def __init__(self, linear):
        super().__init__()
        self.scale = linear.weight.detach().abs().amax(1, keepdim=True) / 127
        self.weight = nn.Parameter((linear.weight / self.scale).round().to(torch.int8), requires_grad=False)

    def forward(self, hidden):
        return hidden @ (self.weight.to(hidden.dtype) * self.scale.to(hidden.dtype)).T


def test_a_model_that_overflows_its_type_is_refused(make_model):
    model = make_model("llama").to(torch.float16)
    model.model.embed_tokens.weight.data *= 65000
    model.model.layers[0].mlp.down_proj.weight.data *= 65000
    with pytest.raises(ValueError, match=r"must give finite logits; .* in torch.float16 \(float16 overflows"):
        LensHead.from_model(model)


def test_quantized_blocks_under_a_16_bit_head_work(make_model):
    model = make_model("llama").to(torch.bfloat16)
    for block in model.model.layers:
        for name in ("gate_proj", "up_proj", "down_proj"):
            setattr(block.mlp, name, Int8Linear(getattr(block.mlp, name)))
    head = LensHead.from_model(model)
    assert head.describe()["dtype"] == "bfloat16"
    assert head.error < 1e-2


def test_a_model_that_returns_tuples_works(make_model):
    model = make_model("bloom")
    model.config.return_dict = False
    ids = torch.tensor([[3, 7, 1, 9]])
    tuples = capture(LensHead.from_model(model), ids, [(0, 3)])
    model.config.return_dict = True
    assert torch.equal(tuples, capture(LensHead.from_model(model), ids, [(0, 3)]))


def test_unembed_is_the_kernel_behind_the_norm(gemma2):
    from pivotkit.kernels import unembed

    head = LensHead.from_model(gemma2)
    states = capture(head, torch.tensor([[3, 7, 1, 9]]), [(0, 3), (0, 1)])
    mine = head.unembed(states, 4, targets=[3], entropy=True)
    with torch.inference_mode():
        normed = gemma2.model.norm(states)
    truth = unembed(normed, gemma2.lm_head.weight.detach(), 4, softcap=5.0, targets=[3], entropy=True)
    for name in ("ids", "logits", "logsumexp", "target_ranks", "entropy"):
        assert torch.equal(getattr(mine, name), getattr(truth, name))


def test_unembed_screens_where_it_is_asked_to(gemma2):
    head = LensHead.from_model(gemma2)
    states = torch.randn(5, head.width, generator=torch.Generator().manual_seed(3))
    exact, screened = head.unembed(states, 4), head.unembed(states, 4, precision="certified")
    assert torch.equal(screened.ids, exact.ids)
    assert torch.equal(screened.logits, exact.logits)
    assert ((screened.logsumexp - exact.logsumexp).abs() <= screened.logsumexp_error).all()


@pytest.mark.parametrize("name", ["smollm2-135m", "gemma3-270m"])
def test_the_last_layer_equals_real_models(real_models, name):
    model, tokenizer = load_model(real_models / name)
    head = LensHead.from_model(model)
    assert head.error <= 1e-5
    assert head.shares_prefix
    assert head.pads_left
    ids = torch.tensor([tokenizer("French: chien\nChinese:")["input_ids"]])
    last = capture(head, ids, [(0, ids.shape[1] - 1)])[-1]
    with torch.inference_mode():
        truth = model(input_ids=ids).logits[0, -1]
        assert torch.allclose((head.normed(last) @ head.weight.T)[0], truth, rtol=1e-4, atol=1e-4)


def test_one_block_in_every_layer_is_refused(make_model):
    """The hooks of a shared block could not tell its layers apart."""
    model = make_model("llama")
    model.model.layers = nn.ModuleList([model.model.layers[0]] * 3)
    with pytest.raises(ValueError, match="must run a list of num_hidden_layers blocks once each, in order; found none"):
        LensHead.from_model(model)


class Adapted(nn.Module):
    """A module that wraps a model and forwards everything to it, as adapters of peft do."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("model"), name)

    def forward(self, *args, **kwargs):
        return self.model(*args, **kwargs)


def test_an_adapters_base_model_is_the_one_without_the_head(make_model, monkeypatch):
    inner = make_model("llama")
    plain = capture(LensHead.from_model(inner), torch.tensor([[3, 7, 1]]), [(0, 2)])
    outer = Adapted(Adapted(inner))
    object.__setattr__(outer, "base_model", outer.model)
    head = LensHead.from_model(outer.eval())
    assert head.base is inner.model
    monkeypatch.setattr(inner.lm_head, "forward", None)
    assert torch.equal(capture(head, torch.tensor([[3, 7, 1]]), [(0, 2)]), plain)


@pytest.mark.parametrize(
    ("where", "compile"),
    [
        ("model", lambda model: setattr(model, "model", torch.compile(model.model, backend="eager"))),
        ("model.layers.1", lambda model: model.model.layers.__setitem__(1, torch.compile(model.model.layers[1]))),
        (
            "model.layers.0.mlp",
            lambda model: setattr(model.model.layers[0], "mlp", torch.compile(model.model.layers[0].mlp)),
        ),
        ("model.norm", lambda model: model.model.norm.compile()),
        ("lm_head", lambda model: setattr(model, "lm_head", torch.compile(model.lm_head))),
        ("model", lambda model: model.model.compile(backend="eager")),
        ("the whole", lambda model: model.compile(backend="eager")),
    ],
)
def test_a_model_that_is_compiled_in_parts_is_refused_by_the_part(make_model, where, compile):
    model = make_model("llama")
    compile(model)
    with pytest.raises(
        ValueError, match=f"LensHead: model must not be compiled in parts; got torch.compile in {where} of"
    ):
        LensHead.from_model(model)


def test_a_model_that_is_compiled_as_a_whole_is_described_as_it_was(make_model):
    model = make_model("llama")
    ids = torch.tensor([[3, 7, 1]])
    plain = capture(LensHead.from_model(model), ids, [(0, 2)])
    head = LensHead.from_model(torch.compile(model, backend="eager"))
    assert head.base is model.model
    assert torch.equal(capture(head, ids, [(0, 2)]), plain)


@pytest.mark.parametrize("kind", ["PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING", "MULTITASK_PROMPT_TUNING", "CPT"])
def test_virtual_tokens_of_peft_are_refused_by_name(make_model, kind):
    """``PeftModel.active_peft_config`` says so: ``is_prompt_learning``, and the kind in ``peft_type``."""
    model = Adapted(make_model("llama")).eval()
    model.active_peft_config = SimpleNamespace(is_prompt_learning=True, peft_type=SimpleNamespace(value=kind))
    message = f"LensHead: model must read the tokens of its input alone; got Adapted with {kind} of peft"
    with pytest.raises(ValueError, match=message):
        LensHead.from_model(model)


def test_an_adapter_of_peft_without_virtual_tokens_is_described(make_model):
    model = Adapted(Adapted(make_model("llama"))).eval()
    object.__setattr__(model, "base_model", model.model)
    model.active_peft_config = SimpleNamespace(is_prompt_learning=False, peft_type="LORA")
    assert LensHead.from_model(model).base is model.model.model.model


SAME = {"vocab_size": 60, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 1,
        "eos_token_id": 1, "initializer_range": 0.2}  # fmt: skip
LLAMA4 = {**SAME, "head_dim": 8, "intermediate_size_mlp": 64, "num_local_experts": 2, "num_experts_per_tok": 1}


@pytest.mark.parametrize("experts_each", [1, 2, 5])
def test_llama4_whose_base_is_the_model_itself_is_described(experts_each):
    from transformers import Llama4ForCausalLM, Llama4TextConfig

    torch.manual_seed(1)
    model = Llama4ForCausalLM(Llama4TextConfig(**LLAMA4, interleave_moe_layer_step=experts_each)).eval()
    for weight in model.parameters():  # the experts' weights are left as they were in memory
        weight.data = 0.1 * torch.randn_like(weight) if weight.dim() > 1 else torch.ones_like(weight)
    same_as_the_model(model, model.model)


@pytest.mark.parametrize("cross", [[], [1], [0, 2]])
def test_mllama_whose_base_is_the_model_itself_is_described_as_far_as_its_text_blocks_run(cross):
    from transformers import MllamaForCausalLM
    from transformers.models.mllama.configuration_mllama import MllamaTextConfig

    torch.manual_seed(1)
    rope = {"rope_type": "default", "rope_theta": 1e4}
    model = MllamaForCausalLM(MllamaTextConfig(**SAME, cross_attention_layers=cross, rope_parameters=rope)).eval()
    if not cross:
        return same_as_the_model(model, model.model)
    # Without an image, the blocks that look at one do not run.
    with pytest.raises(ValueError, match="LensHead: model must run a list of num_hidden_layers blocks once each"):
        LensHead.from_model(model)


@torch.inference_mode()
def same_as_the_model(model, base):
    head = LensHead.from_model(model)
    assert head.base is base
    ids = torch.tensor([[3, 7, 1, 9]])
    last = capture(head, ids, [(0, column) for column in range(4)])[-1]
    assert torch.allclose(head.normed(last) @ head.weight.T, model(input_ids=ids).logits[0], rtol=1e-4, atol=1e-4)


def test_the_digest_is_that_of_the_heads_matrix_in_float32(make_model):
    model = make_model("llama").bfloat16()
    head = LensHead.from_model(model)
    assert head.digest == hashlib.sha256(head.weight.float().numpy().tobytes()).hexdigest()
    with torch.no_grad():
        model.lm_head.weight[7, 3] += 1
    assert LensHead.from_model(model).digest != head.digest

"""Directions of tokens through every kind of norm, through a lens, and of means."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from pivotkit.causal.directions import TokenDirections, chain_map, mean_difference, split, unit
from pivotkit.lens.fitted.affine import AffineLens
from pivotkit.lens.fitted.tuned import TunedLens
from pivotkit.lens.model.head import LensHead

SIZES = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 8,
    "num_key_value_heads": 2, "vocab_size": 60, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1,
}  # fmt: skip
OPT = {"hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 60,
       "max_position_embeddings": 64, "word_embed_proj_dim": 16, "init_std": 0.3}  # fmt: skip
FAMILIES = {
    "llama": ("LlamaConfig", "LlamaForCausalLM", SIZES),
    "gemma3": ("Gemma3TextConfig", "Gemma3ForCausalLM", SIZES),
    "gpt2": ("GPT2Config", "GPT2LMHeadModel", {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 60}),
    "opt projected": ("OPTConfig", "OPTForCausalLM", OPT),
    "opt without a final norm": ("OPTConfig", "OPTForCausalLM", {**OPT, "do_layer_norm_before": False}),
    "minicpm3": (
        "MiniCPM3Config", "MiniCPM3ForCausalLM",
        {**SIZES, "num_key_value_heads": 4, "dim_model_base": 8, "q_lora_rank": 16, "kv_lora_rank": 16,
         "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8},
    ),
}  # fmt: skip


def build(name, dtype=torch.float32):
    config_class, model_class, arguments = FAMILIES[name]
    torch.manual_seed(1)
    model = getattr(transformers, model_class)(getattr(transformers, config_class)(**arguments)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_step_that_keeps_the_norm_raises_the_logit_by_the_coordinate_along_the_direction(name, dtype):
    """Among states of one scale, a token's logit is affine in the coordinate along its direction."""
    head = LensHead.from_model(build(name, dtype))
    directions = TokenDirections(head, chain_map(head))
    found = directions.of(range(60), 0)
    states = 30 * torch.randn(200, 32, generator=torch.Generator().manual_seed(2))
    bare = head.normed(torch.zeros(1, 32, dtype=dtype)).double()
    logits = (head.normed(states.to(dtype)).double() - bare) @ head.weight.double().T
    coordinates = states.to(dtype).double() @ found.T
    scale = (logits * coordinates).sum(1) / coordinates.square().sum(1)
    assert (scale > 0).all()
    error = (logits - scale[:, None] * coordinates).norm(dim=1) / logits.norm(dim=1)
    assert error.max() < (1e-5 if dtype == torch.float32 else 2e-2)


def test_a_root_mean_square_norm_gives_its_gain_times_the_row():
    model = build("llama")
    head = LensHead.from_model(model)
    found = TokenDirections(head, chain_map(head)).of([7], 1)[0]
    expected = (model.model.norm.weight * model.lm_head.weight[7]).detach().double()
    np.testing.assert_allclose(unit(found), unit(expected), atol=1e-6)


def test_a_norm_with_a_scale_per_part_of_the_state_is_refused():
    class InGroups(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.GroupNorm(4, 32)

        def forward(self, hidden):
            return self.norm(hidden.reshape(-1, 32)).reshape(hidden.shape)

    model = build("llama")
    model.model.norm = InGroups()
    with pytest.raises(ValueError, match=r"causal_test: model must have a norm with one scale .*; got InGroups"):
        chain_map(LensHead.from_model(model))


def test_a_bend_before_the_head_is_refused():
    class Bent(nn.Module):
        def forward(self, hidden):
            return torch.tanh(hidden)

    model = build("llama")
    model.model.norm = Bent()
    with pytest.raises(ValueError, match="got Bent"):
        chain_map(LensHead.from_model(model))


@pytest.mark.parametrize("kind", [AffineLens, TunedLens])
def test_a_lens_turns_the_direction_by_the_transpose_of_its_map(kind):
    head = LensHead.from_model(build("llama"))
    weights = torch.randn(2, 32, 32, generator=torch.Generator().manual_seed(0))
    lens = kind(tuple(weights), None, "", None)
    bare, through = TokenDirections(head, chain_map(head)), TokenDirections(head, chain_map(head), lens)
    state = torch.randn(32, generator=torch.Generator().manual_seed(3)).double()
    mapped = lens(state.float()[None, None], [1])[0, 0].double()
    np.testing.assert_allclose(state @ through.of([4, 5], 1).T, mapped @ bare.of([4, 5], 1).T, rtol=1e-4)
    np.testing.assert_array_equal(through.of([4], 2), bare.of([4], 2))  # the last layer has no map


def test_a_lens_without_a_map_of_the_layer_is_refused():
    head = LensHead.from_model(build("llama"))
    lens = AffineLens((None, torch.eye(32)), None, "", None)
    with pytest.raises(ValueError, match="causal_test: lens must have a map for layer 0; got none"):
        TokenDirections(head, chain_map(head), lens).of([1], 0)


def test_a_vector_splits_into_parts_outside_and_inside_a_span():
    random = torch.Generator().manual_seed(0)
    span = torch.randn(3, 9, generator=random, dtype=torch.float64)
    span = torch.cat([span, span[:1] + span[1:2]])  # the rows may depend on each other
    vector = torch.randn(9, generator=random, dtype=torch.float64)
    outside, inside = split(vector, span)
    np.testing.assert_allclose(outside + inside, vector, atol=1e-12)
    np.testing.assert_allclose(span @ outside, np.zeros(4), atol=1e-12)
    assert torch.linalg.matrix_rank(torch.cat([span, inside[None]]), atol=1e-9) == 3
    outside, inside = split(span[0] - 2 * span[2], span)
    assert not outside.any()
    basis = torch.eye(9, dtype=torch.float64)
    outside, inside = split(basis[0], basis[1:4])
    assert not inside.any()


def test_means_are_taken_within_pairs_and_without_the_item():
    states = torch.tensor([[1.0, 0], [0, 1], [0, 3], [9, 9], [5, 5], [7, 7]])
    pairs = ["x", "x", "x", "x", "y", "y"]
    shows = np.array([True, False, False, True, True, False])
    found = mean_difference(states, pairs, shows, 3)
    np.testing.assert_allclose(found, ((np.array([1, 0]) - [0, 2]) + (np.array([5, 5]) - [7, 7])) / 2)
    assert mean_difference(states, pairs, np.zeros(6, bool), 0) is None
    assert mean_difference(states[:2], pairs[:2], np.array([True, True]), 0) is None
    assert unit(torch.zeros(2)) is None


def test_without_a_span_all_of_a_direction_is_outside():
    vector = torch.tensor([3.0, 4.0], dtype=torch.float64)
    outside, inside = split(vector, torch.zeros(0, 2, dtype=torch.float64))
    assert outside.tolist() == [3.0, 4.0]
    assert inside.tolist() == [0.0, 0.0]

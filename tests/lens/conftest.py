"""Tiny random models of every family, built without a download."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import transformers
from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM

from pivotkit.lens.model.head import LensHead
from pivotkit.words.task import build_task

VOCABULARY = 60
SIZES = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256,
}  # fmt: skip
WHOLE = {name: value for name, value in SIZES.items() if name not in ("num_key_value_heads", "head_dim")}
N_SIZES = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 256}

# name: (configuration class, model class, arguments of the configuration), by their names in transformers.
FAMILIES = {
    "llama": ("LlamaConfig", "LlamaForCausalLM", {**SIZES}),
    "llama tied": ("LlamaConfig", "LlamaForCausalLM", {**SIZES, "tie_word_embeddings": True}),
    "mistral": ("MistralConfig", "MistralForCausalLM", {**SIZES, "sliding_window": 6}),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM", {**WHOLE, "num_key_value_heads": 2, "tie_word_embeddings": True}),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM", {**SIZES}),
    "gemma": ("GemmaConfig", "GemmaForCausalLM", {**SIZES}),
    "gemma2": ("Gemma2Config", "Gemma2ForCausalLM", {**SIZES, "final_logit_softcapping": 5.0, "sliding_window": 6}),
    "gemma2 uncapped": ("Gemma2Config", "Gemma2ForCausalLM", {**SIZES, "final_logit_softcapping": None}),
    "gemma3": ("Gemma3TextConfig", "Gemma3ForCausalLM", {**SIZES, "sliding_window": 6}),
    "gemma3 with a vision tower": (
        "Gemma3Config", "Gemma3ForConditionalGeneration",
        {"text_config": {**SIZES, "vocab_size": VOCABULARY, "initializer_range": 0.3, "sliding_window": 6},
         "vision_config": {**WHOLE, "image_size": 28, "patch_size": 14}, "mm_tokens_per_image": 4},
    ),
    "olmo": ("OlmoConfig", "OlmoForCausalLM", {**WHOLE}),
    "olmo2": ("Olmo2Config", "Olmo2ForCausalLM", {**WHOLE}),
    "gpt2": ("GPT2Config", "GPT2LMHeadModel", {**N_SIZES}),
    "gpt_neox": ("GPTNeoXConfig", "GPTNeoXForCausalLM", {**WHOLE}),
    "bloom": ("BloomConfig", "BloomForCausalLM", {"hidden_size": 32, "n_layer": 3, "n_head": 4}),
    "cohere": ("CohereConfig", "CohereForCausalLM", {**SIZES, "logit_scale": 0.25}),
    "cohere2": ("Cohere2Config", "Cohere2ForCausalLM", {**SIZES, "logit_scale": 0.25, "sliding_window": 6}),
    "granite": ("GraniteConfig", "GraniteForCausalLM", {**SIZES, "logits_scaling": 8.0}),
    "phi": ("PhiConfig", "PhiForCausalLM", {**WHOLE}),
    "phi3": ("Phi3Config", "Phi3ForCausalLM", {**WHOLE, "num_key_value_heads": 2}),
    "opt": ("OPTConfig", "OPTForCausalLM", {**WHOLE, "ffn_dim": 48, "word_embed_proj_dim": 32}),
    "opt projected": ("OPTConfig", "OPTForCausalLM", {**WHOLE, "ffn_dim": 48, "word_embed_proj_dim": 16}),
    "opt without a final norm": (
        "OPTConfig", "OPTForCausalLM",
        {**WHOLE, "ffn_dim": 48, "word_embed_proj_dim": 16, "do_layer_norm_before": False},
    ),
    "gptj": ("GPTJConfig", "GPTJForCausalLM", {**N_SIZES, "rotary_dim": 4}),
    "falcon": ("FalconConfig", "FalconForCausalLM", {**WHOLE}),
    "falcon alibi": ("FalconConfig", "FalconForCausalLM", {**WHOLE, "alibi": True}),
    "mixtral": ("MixtralConfig", "MixtralForCausalLM", {**SIZES, "num_local_experts": 4}),
    "olmoe": ("OlmoeConfig", "OlmoeForCausalLM", {**WHOLE, "num_experts": 4, "num_experts_per_tok": 2}),
    "bert": ("BertConfig", "BertLMHeadModel", {**WHOLE, "is_decoder": True}),
    "smollm3": ("SmolLM3Config", "SmolLM3ForCausalLM", {**SIZES}),
    "minicpm3": (
        "MiniCPM3Config", "MiniCPM3ForCausalLM",
        {**WHOLE, "dim_model_base": 8, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8,
         "qk_rope_head_dim": 8, "v_head_dim": 8},
    ),
    "hyperclovax": ("HyperCLOVAXConfig", "HyperCLOVAXForCausalLM", {**SIZES, "logits_scaling": 4.0}),
    "falcon_h1": (
        "FalconH1Config", "FalconH1ForCausalLM",
        {**SIZES, "lm_head_multiplier": 0.25, "mamba_d_ssm": 32, "mamba_n_heads": 4,
         "mamba_d_head": 8, "mamba_d_state": 8, "mamba_chunk_size": 16},
    ),
    "recurrent_gemma": (
        "RecurrentGemmaConfig", "RecurrentGemmaForCausalLM",
        {**WHOLE, "num_key_value_heads": 2, "lru_width": 32, "logits_soft_cap": 5.0, "attention_window_size": 64},
    ),
}  # fmt: skip


def build(family, **more):
    """A model of the family, with weights so wide that wrong mathematics shows."""
    config_class, model_class, arguments = FAMILIES[family]
    torch.manual_seed(1)
    # A state-space model amplifies the states that wide weights give.
    wide = {"initializer_range": 0.1 if family == "falcon_h1" else 0.3, "init_std": 0.3}
    special = {"vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
    config = getattr(transformers, config_class)(**{**wide, **special, **arguments, **more})
    model = getattr(transformers, model_class)(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Parameters of zeros or ones would hide a missing bias or a norm's (1 + w).
            if parameter.ndim == 1 and "mamba" not in name and "rg_lru" not in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="session", params=FAMILIES)
def family(request):
    """The model of each family in turn, in float32; tests must not change it."""
    return build(request.param)


@pytest.fixture(scope="session")
def family_head(family):
    return LensHead.from_model(family)


@pytest.fixture
def make_model():
    """`build`, for models that a test changes."""
    return build


def _tiny(tokenizer, config_class, model_class, **more):
    torch.manual_seed(1)
    config = config_class(vocab_size=len(tokenizer), **SIZES, initializer_range=0.3, **more)
    return model_class(config).eval()


@pytest.fixture(scope="session")
def llama(tokenizer):
    return _tiny(tokenizer, LlamaConfig, LlamaForCausalLM, tie_word_embeddings=False)


@pytest.fixture(scope="session")
def gemma2(tokenizer):
    """Soft-capped logits, (1 + w) norms, scaled embeddings, and a window shorter than the prompts."""
    return _tiny(tokenizer, Gemma2Config, Gemma2ForCausalLM, final_logit_softcapping=5.0, sliding_window=16)


@pytest.fixture(scope="session", params=["llama", "gemma2"])
def model(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def items(lexicon):
    return build_task(lexicon, ["en-fr", "fr-zh"], limit=3, shots=2, contexts=2, distractors=4)


@pytest.fixture
def wrong_sums(monkeypatch):
    """A function that halves the logsumexp of every later reading."""

    def begin():
        right = LensHead.unembed

        def wrong(self, hidden, k=10, **reductions):
            result = right(self, hidden, k, **reductions)
            return replace(result, logsumexp=0.5 * result.logsumexp)

        monkeypatch.setattr(LensHead, "unembed", wrong)

    return begin

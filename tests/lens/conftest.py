"""Tiny random models: every shape of the real thing, no download."""

from __future__ import annotations

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM

from pivotkit.words.task import build_task


def _tiny(tokenizer, config_class, model_class, **more):
    torch.manual_seed(1)
    config = config_class(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=256, initializer_range=0.3, **more,
    )  # fmt: skip
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

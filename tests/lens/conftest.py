"""Tiny random models and a byte-level tokenizer: every shape of the real thing, no download."""

from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from pivotkit.words.lexicon import Lexicon
from pivotkit.words.task import build_task

WORDS = {"en": "dog cat house school star fish tree book door hand foot moon rain salt ship bird".split(),
         "fr": "chien chat maison école étoile poisson arbre livre porte main pied lune pluie sel navire oiseau".split(),
         "zh": "狗 猫 房子 学校 星星 鱼 树 书 门 手 脚 月亮 雨 盐 船 鸟".split()}  # fmt: skip


@pytest.fixture(scope="session")
def lexicon():
    rows = [dict(zip(WORDS, words, strict=True)) for words in zip(*WORDS.values(), strict=True)]
    return Lexicon({"en": "English", "fr": "French", "zh": "Chinese"}, rows, [""] * len(rows))


@pytest.fixture(scope="session")
def tokenizer():
    """Byte-level BPE: Chinese words fall into fragments, some French ones into pieces."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=sorted(alphabet), special_tokens=["<bos>"], show_progress=False)
    raw.train_from_iterator([f" {word}" for word in WORDS["en"] + WORDS["fr"][:8]] * 4, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<bos>")


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

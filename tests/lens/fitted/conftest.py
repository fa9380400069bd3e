"""A model whose every block is an affine map that is known."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

WIDTH, BLOCKS = 8, 3


class AffineBlock(nn.Module):
    """hidden -> hidden @ weight.T + bias, at every position alone."""

    def __init__(self, weight, bias):
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, hidden_states, **others):
        return hidden_states @ self.weight.T + self.bias


@pytest.fixture
def affine_model(tokenizer):
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=8, num_hidden_layers=BLOCKS,
        num_attention_heads=2, max_position_embeddings=256, initializer_range=0.5,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    for number in range(BLOCKS):
        model.model.layers[number] = AffineBlock(0.5 * torch.randn(WIDTH, WIDTH), torch.randn(WIDTH))
    return model


@pytest.fixture
def texts():
    """Short documents of many words, no two the same."""
    words = ["dog", "cat", "house", "school", "chien", "chat", "maison", "狗", "star", "fish"]
    return [
        " ".join(words[(number * step + step) % len(words)] for step in range(1, 8)) + f" {number}"
        for number in range(40)
    ]

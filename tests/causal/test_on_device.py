"""Edits are computed where the states are: what a causal test takes from the device are coordinates and results."""

from __future__ import annotations

import pytest
import torch
from causal_models import pivots_of
from leaving import Leaving, on_any_device, proved

from pivotkit.causal.causal_test import causal_test
from pivotkit.causal.chosen import read_items
from pivotkit.causal.directions import TokenDirections, chain_map
from pivotkit.lens.groups import grouped
from pivotkit.lens.model.encoding import encode_items
from pivotkit.words.word_tokens import WordTokens

WIDTH = 32


@pytest.mark.parametrize("directions", [["unembedding"], ["means"]])
def test_no_state_and_no_direction_leaves_the_device(llama, llama_items, word_tokenizer, monkeypatch, directions):
    on_any_device(monkeypatch)
    head, some = proved(llama), llama_items.slice(0, 8)
    pivots = pivots_of(some, word_tokenizer, [1])
    with Leaving() as leaving:
        found = causal_test(llama, some, word_tokenizer, pivots, directions=directions, strengths=[1.0], head=head)
    assert found.num_rows > 10
    assert leaving.shapes
    assert leaving.of_width(WIDTH) == []


def test_states_and_directions_are_tensors_of_the_heads_device(llama, llama_items, word_tokenizer):
    head, some = proved(llama), llama_items.slice(0, 2)
    texts = encode_items(word_tokenizer, some)
    rows = grouped(some.to_pylist(), texts, word_tokenizer)
    _, states = read_items(head, rows, texts, WordTokens(word_tokenizer), [1, 2])
    assert (states.shape, states.dtype, states.device) == ((2, 2, WIDTH), torch.float32, head.weight.device)
    found = TokenDirections(head, chain_map(head)).of([3, 4], 1)
    assert (found.shape, found.dtype, found.device) == ((2, WIDTH), torch.float64, head.weight.device)

"""Models whose answers and layers are known, and items that they solve."""

from __future__ import annotations

import pytest
from causal_models import answered, plant_reading, tiny
from transformers import LlamaConfig, LlamaForCausalLM

from pivotkit.testbed import World, WorldConfig, build_tokenizer, plant
from pivotkit.testbed.items import demo_items


@pytest.fixture(scope="session")
def world():
    return World(WorldConfig(concepts=16, held_out=4, background=40))


@pytest.fixture(scope="session")
def word_tokenizer(world):
    return build_tokenizer(world.vocabulary)


@pytest.fixture(scope="session")
def items(world):
    return demo_items(world)


@pytest.fixture(scope="session")
def planted(world):
    """The pivot writes the target: it is a station of its own."""
    return plant(world)


@pytest.fixture(scope="session")
def reading(world):
    """The pivot is a mere reading of what the target is computed from."""
    return plant_reading(world)


@pytest.fixture(scope="session")
def llama(word_tokenizer):
    return tiny(word_tokenizer, LlamaConfig, LlamaForCausalLM, tie_word_embeddings=False)


@pytest.fixture(scope="session")
def llama_items(llama, items, word_tokenizer):
    """Items whose target is what the model says."""
    return answered(llama, items, word_tokenizer)

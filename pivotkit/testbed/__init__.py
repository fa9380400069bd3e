"""A generated world with a known answer, and two models of it: one planted by construction, one trained and shipped.

The import registers the planted model with transformers, so ``AutoModelForCausalLM`` loads a saved one without remote
code.
"""

from pivotkit.testbed.config import WorldConfig, scarce_config
from pivotkit.testbed.items import held_out_items
from pivotkit.testbed.planted import expected_trace, plant
from pivotkit.testbed.planted_model import PlantedConfig, PlantedForCausalLM
from pivotkit.testbed.shipped import shipped_model
from pivotkit.testbed.tokenizer import build_tokenizer
from pivotkit.testbed.trained import Recipe, train_model
from pivotkit.testbed.world import Concept, World, write_jsonl

__all__ = [
    "Concept",
    "PlantedConfig",
    "PlantedForCausalLM",
    "Recipe",
    "World",
    "WorldConfig",
    "build_tokenizer",
    "expected_trace",
    "held_out_items",
    "plant",
    "scarce_config",
    "shipped_model",
    "train_model",
    "write_jsonl",
]

"""A generated world with a known answer, and two models of it: one planted by construction, one trained.

Importing this package registers the planted model with transformers, so that ``AutoModelForCausalLM`` loads a saved one
without remote code.
"""

from pivotkit.experiment.testbed.config import WorldConfig, scarce_config
from pivotkit.experiment.testbed.items import held_out_items
from pivotkit.experiment.testbed.planted import expected_trace, plant
from pivotkit.experiment.testbed.planted_model import PlantedConfig, PlantedForCausalLM
from pivotkit.experiment.testbed.tokenizer import build_tokenizer
from pivotkit.experiment.testbed.trained import Recipe, train_model
from pivotkit.experiment.testbed.world import Concept, World, write_jsonl

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
    "train_model",
    "write_jsonl",
]

"""A generated world with a known answer, and two models of it: one planted by construction, one trained and shipped.

Names are imported when they are first used, so the command line reads the testbed's stages without importing torch. The
import of `pivotkit.testbed.planted_model`, which `plant` needs, registers the planted model with transformers:
``AutoModelForCausalLM`` then loads a saved one without remote code.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pivotkit.testbed.config import WorldConfig, scarce_config
    from pivotkit.testbed.items import held_out_items
    from pivotkit.testbed.planted import expected_trace, plant
    from pivotkit.testbed.planted_model import PlantedConfig, PlantedForCausalLM
    from pivotkit.testbed.shipped import shipped_model
    from pivotkit.testbed.tokenizer import build_tokenizer
    from pivotkit.testbed.trained import Recipe, train_model
    from pivotkit.testbed.world import Concept, World, write_jsonl

# The module of each name, as above.
_MODULES = {
    "Concept": "world",
    "PlantedConfig": "planted_model",
    "PlantedForCausalLM": "planted_model",
    "Recipe": "trained",
    "World": "world",
    "WorldConfig": "config",
    "build_tokenizer": "tokenizer",
    "expected_trace": "planted",
    "held_out_items": "items",
    "plant": "planted",
    "scarce_config": "config",
    "shipped_model": "shipped",
    "train_model": "trained",
    "write_jsonl": "world",
}

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


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)

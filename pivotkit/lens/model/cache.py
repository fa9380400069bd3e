"""Keys and values of a prefix, kept so that several sequences can go on from it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


def new_cache(base: nn.Module) -> Any:
    """An empty transformers ``DynamicCache`` with the layers, sliding windows among them, that ``base`` wants."""
    from transformers import DynamicCache

    config: Any = base.config
    return DynamicCache(config=config)


def select_rows(cache: Any, rows: Sequence[int]) -> Any:
    """A cache whose row i is row ``rows[i]`` of ``cache``, which stays as it is: layers are replaced, not written to."""
    chosen = copy.copy(cache)
    chosen.layers = [copy.copy(layer) for layer in cache.layers]
    chosen.batch_select_indices(torch.tensor(rows))
    return chosen

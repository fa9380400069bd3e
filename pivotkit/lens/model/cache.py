"""Cached keys and values of a prefix that several sequences continue."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


def new_cache(base: nn.Module) -> Any:
    """An empty transformers ``DynamicCache`` for the layers of ``base``, those with sliding windows included."""
    from transformers import DynamicCache

    config: Any = base.config
    return DynamicCache(config=config)


def select_rows(cache: Any, rows: Sequence[int]) -> Any:
    """A new cache whose row i is row ``rows[i]`` of ``cache``; ``cache`` itself does not change."""
    chosen = copy.copy(cache)
    chosen.layers = [copy.copy(layer) for layer in cache.layers]
    chosen.batch_select_indices(torch.tensor(rows))
    return chosen

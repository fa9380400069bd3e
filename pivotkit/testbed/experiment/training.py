"""The trainings of the experiment: a base model on a world, and its continuation on an arm's documents."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import LlamaForCausalLM

from pivotkit.errors import BackendUnavailable
from pivotkit.testbed.experiment.pool import Documents, Pool
from pivotkit.testbed.experiment.setting import Setting
from pivotkit.testbed.trained import new_model
from pivotkit.testbed.world import BOS
from pivotkit.training.loop import pack, train


def require_muon() -> None:
    """Refuse a torch without Muon, which the experiment trains matrices with.

    Raises
    ------
    BackendUnavailable
    """
    if not hasattr(torch.optim, "Muon"):
        raise BackendUnavailable(
            f"experiment: torch must have torch.optim.Muon for the experiment on the generated world; got torch "
            f"{torch.__version__}; pip install 'torch>=2.9'"
        )


def optimizers(model: LlamaForCausalLM, matrix_rate: float, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, each of query, key and value apart; AdamW for embedding and norms."""
    matrices = [weight for weight in model.model.layers.parameters() if weight.ndim == 2]
    own = {id(weight) for weight in matrices}
    rest = [weight for weight in model.parameters() if id(weight) not in own]
    return [
        torch.optim.Muon(matrices, lr=matrix_rate, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True),
    ]


def train_base(pool: Pool, seed: int) -> LlamaForCausalLM:
    """Train a new model on the base's documents and lines, once, at a constant rate."""
    setting = pool.setting
    recipe = setting.recipe
    model = new_model(pool.world, recipe, seed)
    bos = pool.world.vocabulary.index(BOS)
    rows = pack([*pool.base, *pool.base_lines], recipe.length, bos, seed)
    train(
        model, rows, steps=max(len(rows) // recipe.batch, 1), batch=recipe.batch, warmup=setting.warmup, decay=False,
        optimizers=optimizers(model, setting.matrix_rate, setting.base_rate), description="training the base",
    )  # fmt: skip
    return model


def continue_on(
    base: LlamaForCausalLM, pool: Pool, documents: Documents, setting: Setting, seed: int, ask: Callable[[Any], Any]
) -> tuple[LlamaForCausalLM, list[tuple[int, Any]]]:
    """Train a copy of the base on documents and lines; ask it at every checkpoint.

    Returns the trained copy, and the number of steps and the answer of ``ask(model)`` at each checkpoint.
    """
    recipe = setting.recipe
    model = copy.deepcopy(base)
    bos = pool.world.vocabulary.index(BOS)
    whole = setting.steps * recipe.batch * recipe.length
    lines = round(whole * setting.line_share)
    mixed = [*taken(documents, whole - lines, seed), *taken(pool.lines, lines, seed)]
    rows = pack(mixed, recipe.length, bos, seed)
    asked_at = {round(setting.steps * place / setting.checkpoints) for place in range(1, setting.checkpoints + 1)}
    curve: list[tuple[int, Any]] = []
    train(
        model, rows, steps=setting.steps, batch=recipe.batch, warmup=setting.warmup,
        optimizers=optimizers(model, setting.matrix_rate, setting.rate), description="training an arm",
        after_step=lambda step: curve.append((step, ask(model))) if step in asked_at else None,
    )  # fmt: skip
    return model, curve


def taken(texts: Sequence[list[int]], tokens: int, seed: int) -> Documents:
    """Texts in a seeded order until they and their separators are ``tokens`` tokens; the last is cut, few are repeated.

    >>> [len(text) for text in taken([[1, 2, 3]], 10, 0)]
    [3, 3, 1]
    """
    if not any(texts):
        raise ValueError("taken: texts must hold tokens; got none")
    random = np.random.default_rng(seed)
    found: Documents = []
    missing = tokens
    while missing > 1:
        for place in random.permutation(len(texts)).tolist():
            found.append(texts[place][: missing - 1])
            missing -= len(found[-1]) + 1
            if missing <= 1:
                break
    return found

"""How a model is trained: sizes, rates, number formats. All of it can stand in a file of settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pivotkit.arguments import check_flag, check_int, check_kind, check_number, check_text, refuse

PRECISIONS = ("float32", "mixed", "bfloat16")
LORA = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": "all-linear"}


@dataclass(frozen=True)
class Recipe:
    """How `pretrain` trains.

    Parameters
    ----------
    length : int, default 512
        Tokens per row.
    batch : int, default 8
        Rows per update, over all processes.
    micro_batch : int, optional
        Rows per forward pass of one process; by default ``batch`` over the number of processes. Gradients are
        accumulated until ``batch`` rows are seen, so the update is the same up to rounding.
    learning_rate : float, default 1e-4
        Highest rate. It rises linearly over ``warmup`` updates and falls linearly to 0.
    warmup : int, default 5
    weight_decay : float, default 0.01
    clip : float, default 1.0
        Largest norm of the gradients.
    precision : {"float32", "mixed", "bfloat16"}, default "float32"
        "mixed": float32 weights, bfloat16 products. "bfloat16": weights too; half the memory, but updates smaller than
        1/256 of a weight are lost.
    gradient_checkpointing : bool, default False
        Keep fewer activations and compute them again: less memory, about a third more time.
    lora : bool or mapping, default False
        Train low-rank adapters (peft) in place of the weights; True for ``r=16, lora_alpha=32`` on all linear modules
        but the head, or fields of ``peft.LoraConfig``.
    """

    length: int = 512
    batch: int = 8
    micro_batch: int | None = None
    learning_rate: float = 1e-4
    warmup: int = 5
    weight_decay: float = 0.01
    clip: float = 1.0
    precision: str = "float32"
    gradient_checkpointing: bool = False
    lora: bool | Mapping[str, Any] = False

    def __post_init__(self) -> None:
        check_int("Recipe", "length", self.length, 2)
        check_int("Recipe", "batch", self.batch, 1)
        check_int("Recipe", "micro_batch", self.micro_batch, 1, none=True)
        check_number("Recipe", "learning_rate", self.learning_rate, 0)
        check_int("Recipe", "warmup", self.warmup, 0)
        check_number("Recipe", "weight_decay", self.weight_decay, 0)
        check_number("Recipe", "clip", self.clip, 0)
        check_text("Recipe", "precision", self.precision, PRECISIONS)
        check_flag("Recipe", "gradient_checkpointing", self.gradient_checkpointing)
        check_kind("Recipe", "lora", self.lora, bool | Mapping, "True, False or fields of peft.LoraConfig")

    def rows(self, function: str, tokens: int) -> int:
        """How many rows ``tokens`` make, in whole updates."""
        updates = tokens // (self.length * self.batch)
        if updates < 1:
            refuse(function, "tokens", f"be at least one update of {self.batch} rows of {self.length}", tokens)
        return updates * self.batch

    def rows_at_once(self, function: str, processes: int) -> int:
        """Rows per forward pass of one process."""
        size = self.micro_batch or max(1, self.batch // processes)
        if self.batch % (size * processes):
            rule = f"hold whole forward passes of {size} rows in each of {processes} processes"
            refuse(function, "batch", rule, self.batch)
        return size

    def adapter(self) -> dict[str, Any] | None:
        """The fields of ``peft.LoraConfig``, or None."""
        if not self.lora:
            return None
        return dict(LORA) if self.lora is True else {**LORA, **dict(self.lora)}


def processes() -> int:
    """How many processes train, as torchrun and accelerate tell them."""
    return int(os.environ.get("WORLD_SIZE", "1"))

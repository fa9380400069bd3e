"""Factors and soft-caps that causal LMs apply around their head, outside any module, by field of the configuration.

The tables follow the forward methods of transformers 5.23. Every head is proved on a probe before it is used, so a
model that computes something else is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

Steps = tuple[tuple[str, str], ...]  # (operation, field of the text configuration), in the order of the forward method

#: Steps between the last module and the head, by model type; other model types have none.
HIDDEN: dict[str, Steps] = {
    "inkling_text": (("divide", "logits_mup_width_multiplier"),),
    "minicpm3": (("divide", "logits_scaling"),),
}

#: Steps between the head's output and the logits, by model type; a field that is absent or None is no step.
LOGITS: dict[str, Steps] = {
    "falcon_h1": (("multiply", "lm_head_multiplier"),),
    "hyperclovax": (("multiply", "logits_scaling"),),
    "minicpm3": (),
    "muse_glimmer_text": (("multiply", "output_multiplier"), ("cap", "final_logit_softcapping")),
    "muse_spark_text": (("multiply", "output_multiplier"), ("cap", "final_logit_softcapping")),
    "recurrent_gemma": (("cap", "logits_soft_cap"),),
    "xlstm": (("cap", "output_logit_soft_cap"),),
}

#: Steps between the head's output and the logits of every other type: Cohere multiplies, Granite divides, Gemma caps.
OTHER_LOGITS: Steps = (("multiply", "logit_scale"), ("divide", "logits_scaling"), ("cap", "final_logit_softcapping"))

#: Fields that hold the model's context length; the first one present counts.
CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx")


@dataclass(frozen=True)
class Operation:
    """One step: multiply or divide by a value, or cap at it."""

    kind: str  # "multiply", "divide" or "cap"
    field: str  # of the configuration that gives the value
    value: float

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """Apply the step as the forward methods do, in the type of ``values``."""
        if self.kind == "multiply":
            return values * self.value
        if self.kind == "divide":
            return values / self.value
        return torch.tanh(values / self.value) * self.value

    def __str__(self) -> str:
        return f"{self.kind} by {self.field} {self.value:g}".replace("cap by", "cap at")


def hidden_operations(config: Any) -> tuple[Operation, ...]:
    """The steps between the last module and the head."""
    return _operations(HIDDEN.get(config.model_type, ()), config)


def logit_operations(config: Any) -> tuple[Operation, ...]:
    """The steps between the head and the logits."""
    return _operations(LOGITS.get(config.model_type, OTHER_LOGITS), config)


def folded(operations: tuple[Operation, ...]) -> tuple[float, float | None]:
    """(scale, cap) such that ``cap * tanh(scale * z / cap)`` equals all ``operations`` on z, in their order.

    A factor after a cap moves into both: ``s c tanh(z / c) = (s c) tanh(s z / (s c))``.
    """
    scale, cap = 1.0, None
    for operation in operations:
        if operation.kind == "cap":
            if cap is not None:
                raise ValueError(f"LensHead: model must cap its logits once; got a second cap, {operation.field}")
            cap = operation.value
            continue
        factor = operation.value if operation.kind == "multiply" else 1 / operation.value
        scale *= factor
        cap = None if cap is None else cap * abs(factor)
    return scale, cap


def context_length(config: Any) -> int | None:
    """The most tokens that the model takes; None if positions are unbounded (ALiBi) or no limit is configured."""
    attention = getattr(config, "attn_config", None)
    if getattr(config, "alibi", False) or getattr(attention, "alibi", False):
        return None
    return next((int(length) for field in CONTEXT if (length := getattr(config, field, None))), None)


def _operations(steps: Steps, config: Any) -> tuple[Operation, ...]:
    values = ((kind, field, getattr(config, field, None)) for kind, field in steps)
    return tuple(Operation(kind, field, float(value)) for kind, field, value in values if value is not None)

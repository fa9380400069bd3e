"""What lies between the residual stream and the logits, proved before it is used."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from pivotkit.kernels import PackedUnembedding, Unembedded, unembed

# How far the last layer's lens may lie from the model's own logits, as a share of the largest |logit|: the two differ
# by the order of a dot product's additions only.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 4e-3}

PROBE = (5, 3, 8, 2, 9, 4, 7, 6)  # token ids of the self-check; any will do


@dataclass(frozen=True)
class LensHead:
    """A model's final norm and head, found by watching one forward pass and proved equal to the model's own logits.

    logits = cap(logit_scale * (norm(hidden) @ weight.T + bias)),   cap(z) = softcap * tanh(z / softcap)

    Attributes
    ----------
    base : nn.Module
        The model without its head.
    blocks : tuple of nn.Module
        The decoder blocks; ``layer`` l of a trace is the output of block l (from 1), layer 0 the input of the first.
    norm : nn.Module or None
    weight : (V, D) tensor; bias : (V,) tensor or None
    logit_scale : float; softcap : float or None
    error : float
        The largest difference to the model's logits on the probe, as a share of the largest |logit|.
    """

    base: nn.Module
    blocks: tuple[nn.Module, ...]
    norm: nn.Module | None
    weight: torch.Tensor
    bias: torch.Tensor | None
    logit_scale: float
    softcap: float | None
    error: float = field(default=float("nan"))

    @classmethod
    @torch.inference_mode()
    def from_model(cls, model: Any) -> LensHead:
        """Describe ``model``'s head and prove the description on a probe.

        Parameters
        ----------
        model : a transformers causal LM

        Raises
        ------
        ValueError
            The model has no blocks or head that can be found, or its logits differ from the description's; the
            message names the difference.
        """
        name = type(model).__name__
        head = model.get_output_embeddings()
        base = model.base_model
        if head is None or base is model:
            raise ValueError(f"LensHead: model must be a causal LM with a base model and an output head; got {name}")
        if not isinstance(getattr(head, "weight", None), torch.Tensor) or not head.weight.is_floating_point():
            raise ValueError(
                f"LensHead: model must have a floating-point head weight; got {type(head).__name__} in {name}"
            )
        blocks = _blocks(base, model.config)
        norm, logits = _watch(model, base, blocks, head, head.weight)
        config = model.config.get_text_config()
        described = cls(
            base=base,
            blocks=blocks,
            norm=norm,
            weight=head.weight.detach(),
            bias=None if getattr(head, "bias", None) is None else head.bias.detach(),
            logit_scale=_logit_scale(config),
            softcap=getattr(config, "final_logit_softcapping", None),
        )
        error = described._difference(logits, name)
        return cls(**{**described.__dict__, "error": error})

    @functools.cached_property
    def packed(self) -> PackedUnembedding:
        """The weight as `unembed` wants it, checked once."""
        return PackedUnembedding(self.weight)

    def normed(self, hidden: torch.Tensor) -> torch.Tensor:
        """Residual stream (..., D) to what the head multiplies, by the model's own norm module."""
        return hidden if self.norm is None else self.norm(hidden)

    def unembed(self, hidden: torch.Tensor, k: int = 10, **reductions: Any) -> Unembedded:
        """`pivotkit.kernels.unembed` of the normed ``hidden`` with this head's weight, bias, scale and soft-cap."""
        return unembed(
            self.normed(hidden), self.packed, k, bias=self.bias, logit_scale=self.logit_scale, softcap=self.softcap,
            **reductions,
        )  # fmt: skip

    shares_prefix = True

    @property
    def longest(self):
        return getattr(self.base.config.get_text_config(), "max_position_embeddings", None)

    def new_cache(self):
        from transformers import DynamicCache

        return DynamicCache(config=self.base.config)

    def describe(self) -> dict[str, Any]:
        """The description as plain data, for a run's manifest."""
        return {
            "norm": None if self.norm is None else type(self.norm).__name__,
            "blocks": len(self.blocks),
            "vocabulary": self.weight.shape[0],
            "hidden": self.weight.shape[1],
            "dtype": str(self.weight.dtype).removeprefix("torch."),
            "bias": self.bias is not None,
            "logit_scale": self.logit_scale,
            "softcap": self.softcap,
            "self_check_error": self.error,
        }

    def _difference(self, logits: torch.Tensor, name: str) -> float:
        from pivotkit.lens.capture import capture

        positions = [(0, column) for column in range(len(PROBE))]
        last = capture(self, _probe(self.weight), positions, layers=[len(self.blocks)])[0]
        mine = self.normed(last).to(self.weight.dtype) @ self.weight.T
        mine = self.logit_scale * (mine if self.bias is None else mine + self.bias).float()
        if self.softcap is not None:
            mine = self.softcap * torch.tanh(mine / self.softcap)
        theirs = logits[0].float()
        if mine.shape != theirs.shape:
            raise ValueError(
                f"LensHead: lens must give logits {tuple(theirs.shape)} as {name}; got {tuple(mine.shape)}"
            )
        error = float((mine - theirs).abs().max() / theirs.abs().max().clamp_min(1e-30))
        bound = TOLERANCE.get(self.weight.dtype, 1e-4)
        if not error <= bound:
            ratio = float((theirs * mine).sum() / (mine * mine).sum())
            raise ValueError(
                f"LensHead: the last layer's lens must equal the logits of {name} within {bound:g}; got a difference of "
                f"{error:.3g} of the largest logit (best single factor {ratio:.4g}, norm "
                f"{type(self.norm).__name__}, bias {self.bias is not None}, softcap {self.softcap})"
            )
        return error


def _probe(weight: torch.Tensor) -> torch.Tensor:
    return torch.tensor([PROBE], device=weight.device) % weight.shape[0]


def _blocks(base: nn.Module, config: Any) -> tuple[nn.Module, ...]:
    """The one ModuleList of the base model with as many members as the configuration has layers."""
    count = getattr(config.get_text_config(), "num_hidden_layers", None)
    found = [module for module in base.modules() if isinstance(module, nn.ModuleList) and len(module) == count]
    if not found:
        raise ValueError(f"LensHead: model must have a list of {count} blocks; found none in {type(base).__name__}")
    return tuple(found[0])


def _watch(
    model: Any, base: nn.Module, blocks: tuple[nn.Module, ...], head: nn.Module, weight: torch.Tensor
) -> tuple[nn.Module | None, torch.Tensor]:
    """Run the probe; return the module whose output the head read (None when that was the last block) and the logits."""
    inside = {module for block in blocks for module in block.modules()}
    outputs: list[tuple[nn.Module, torch.Tensor]] = []
    read: list[torch.Tensor] = []

    def remember(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            outputs.append((module, output))

    handles = [module.register_forward_hook(remember) for module in base.modules() if module not in inside]
    handles.append(head.register_forward_pre_hook(lambda module, args: read.append(args[0])))
    try:
        logits = model(input_ids=_probe(weight), use_cache=False).logits
    finally:
        for handle in handles:
            handle.remove()
    if not read:
        raise ValueError(f"LensHead: model must call its output head; {type(model).__name__} did not")
    for module, output in reversed(outputs):
        if output.shape == read[0].shape and output.data_ptr() == read[0].data_ptr():
            return module, logits
    return None, logits


def _logit_scale(config: Any) -> float:
    """The factor on the logits: Cohere multiplies by ``logit_scale``, Granite divides by ``logits_scaling``."""
    if getattr(config, "logit_scale", None) is not None:
        return float(config.logit_scale)
    if getattr(config, "logits_scaling", None) is not None:
        return 1.0 / float(config.logits_scaling)
    return 1.0

"""What lies between the residual stream and the logits, proved before it is used."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from pivotkit.kernels import PackedUnembedding, Unembedded, unembed
from pivotkit.lens.model.difference import TOLERANCE
from pivotkit.lens.model.families import Operation, context_length, folded, hidden_operations, logit_operations
from pivotkit.lens.model.observe import watch
from pivotkit.lens.model.proof import pads_left, positionwise, probe, prove, shares_prefix


@dataclass(frozen=True)
class LensHead:
    """A model's final norm and head, found by watching one forward pass and proved equal to the model's own logits.

    logits = cap(logit_scale * (normed(hidden) @ weight.T + bias)),   cap(z) = softcap * tanh(z / softcap)

    Attributes
    ----------
    base : nn.Module
        The model without its head.
    blocks : tuple of nn.Module
        The decoder blocks; ``layer`` l of a trace is the output of block l (from 1), layer 0 the input of the first.
    chain : tuple of nn.Module
        What a hidden state passes on its way to the head: the final norm, where there is one, and projections.
    before_head : tuple of Operation
        What the model computes behind the chain outside any module: a factor on the hidden state.
    weight : (V, D) tensor; bias : (V,) tensor or None
    logit_scale : float; softcap : float or None
    longest : int or None
        The model's context length in tokens; None where it has none (ALiBi) or does not say.
    positionwise : tuple of nn.Module
        The last block's parts that see each position alone and whose result at one position no other reads, its
        feed-forward part say: they need only run where states are wanted.
    shares_prefix : bool
        Whether sequences that go on from a kept prefix (`pivotkit.lens.model.cache`) have the states of whole sequences.
    pads_left : bool
        Whether padding on the left, masked, leaves the states as they are; no recurrent model promises that.
    error : float
        The largest difference to the model's logits on the probe, as a share of the largest |logit|.
    """

    base: nn.Module
    blocks: tuple[nn.Module, ...]
    chain: tuple[nn.Module, ...]
    before_head: tuple[Operation, ...]
    weight: torch.Tensor
    bias: torch.Tensor | None
    logit_scale: float
    softcap: float | None
    longest: int | None
    positionwise: tuple[nn.Module, ...] = ()
    shares_prefix: bool = True
    pads_left: bool = True
    error: float = float("nan")

    @classmethod
    @torch.inference_mode()
    def from_model(cls, model: Any) -> LensHead:
        """Describe ``model``'s head and prove the description on a probe.

        Parameters
        ----------
        model : a transformers causal LM in evaluation mode
            On one device or dispatched over several; its blocks may be quantized, its head must not be.

        Raises
        ------
        ValueError
            The model is in training mode, has no blocks or head that can be found, a head that is quantized or offloaded, or logits that
            differ from the description's; the message names the difference.

        Notes
        -----
        Cost: about a dozen forward passes over 8 tokens, and one pass over the head's weight.
        """
        name = type(model).__name__
        head = model.get_output_embeddings()
        base = model.base_model
        if head is None or base is model or getattr(model.config, "is_encoder_decoder", False):
            raise ValueError(f"LensHead: model must be a causal LM with a base model and an output head; got {name}")
        if model.training:
            raise ValueError(f"LensHead: model must be in evaluation mode; got {name} in training mode: call eval()")
        if head in set(base.modules()):  # the adapters of peft wrap a whole causal LM and call that their base model
            base = base.get_decoder()
        weight = _weight(head, name)
        config = model.config.get_text_config()
        operations = logit_operations(config)
        scale, cap = folded(operations)
        watched = watch(model, head, probe(weight), hidden_operations(config))
        described = cls(
            base=base,
            blocks=watched.blocks,
            chain=watched.chain,
            before_head=hidden_operations(config),
            weight=weight,
            bias=None if getattr(head, "bias", None) is None else head.bias.detach(),
            logit_scale=scale,
            softcap=cap,
            longest=context_length(config),
        )
        error = prove(described, watched, operations, name)
        return replace(
            described, error=error, positionwise=positionwise(described), shares_prefix=shares_prefix(described),
            pads_left=pads_left(described),
        )  # fmt: skip

    @functools.cached_property
    def packed(self) -> PackedUnembedding:
        """The weight as `unembed` wants it, checked once."""
        return PackedUnembedding(self.weight)

    def normed(self, hidden: torch.Tensor) -> torch.Tensor:
        """Residual stream (..., D) to what the head multiplies, by the model's own modules."""
        for module in self.chain:
            hidden = module(hidden)
        for operation in self.before_head:
            hidden = operation(hidden)
        return hidden.to(self.weight.device)

    def unembed(self, hidden: torch.Tensor, k: int = 10, **reductions: Any) -> Unembedded:
        """Reduce the logits of residual states: `pivotkit.kernels.unembed` behind `normed`, with this head's constants.

        Parameters
        ----------
        hidden : (..., D) tensor
            The residual stream, of any layers and positions; the head's weight is read once for all of them.
        k : int, default 10
        **reductions
            ``targets``, ``token_sets``, ``entropy`` and whatever else `pivotkit.kernels.unembed` takes.
        """
        return unembed(
            self.normed(hidden), self.packed, k, bias=self.bias, logit_scale=self.logit_scale, softcap=self.softcap,
            **reductions,
        )  # fmt: skip

    def describe(self) -> dict[str, Any]:
        """The description as plain data, for a run's manifest."""
        return {
            "chain": [type(module).__name__ for module in self.chain],
            "before_head": [str(operation) for operation in self.before_head],
            "blocks": len(self.blocks),
            "vocabulary": self.weight.shape[0],
            "hidden": self.weight.shape[1],
            "dtype": str(self.weight.dtype).removeprefix("torch."),
            "bias": self.bias is not None,
            "logit_scale": self.logit_scale,
            "softcap": self.softcap,
            "longest": self.longest,
            "positionwise": [type(module).__name__ for module in self.positionwise],
            "shares_prefix": self.shares_prefix,
            "pads_left": self.pads_left,
            "self_check_error": self.error,
        }


def _weight(head: nn.Module, name: str) -> torch.Tensor:
    """The head's weight, where it can be multiplied as it lies."""
    weight = getattr(head, "weight", None)
    if not isinstance(weight, torch.Tensor):
        raise ValueError(f"LensHead: model must have a head with a weight; got {type(head).__name__} in {name}")
    if weight.device.type == "meta":
        raise ValueError(
            f"LensHead: model must keep its head's weight in memory; got one that is offloaded in {name}: give the head, "
            "and the embedding it is tied to, a device in device_map"
        )
    if weight.dtype not in TOLERANCE:
        raise ValueError(
            f"LensHead: model must have a head in float32, bfloat16 or float16; got {weight.dtype} in {name}: leave the "
            "head out of the quantization (llm_int8_skip_modules=['lm_head'] for bitsandbytes)"
        )
    return weight.detach()

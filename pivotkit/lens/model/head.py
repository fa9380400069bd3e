"""A model's head, described from one observed forward pass and proved before it is used."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from pivotkit.arguments import refuse_kind
from pivotkit.lens.model.difference import TOLERANCE
from pivotkit.lens.model.families import context_length, folded, hidden_operations, logit_operations
from pivotkit.lens.model.observe import block_lists, observe
from pivotkit.lens.model.parts import ModelParts
from pivotkit.lens.model.proof import pads_left, positionwise, probe_ids, prove, shares_prefix


@dataclass(frozen=True, repr=False)
class LensHead(ModelParts):
    """The parts of a model between its residual stream and its logits, proved equal to the model's own logits.

    Attributes
    ----------
    error : float
        The largest difference to the model's logits on the probe, as a share of the largest |logit|; NaN before the
        proof. The other attributes are those of `ModelParts`.

    Examples
    --------
    ``head = LensHead.from_model(model)``, then ``head.unembed(capture(head, input_ids, [(0, 5)]), k=10)``.
    """

    error: float = float("nan")

    @classmethod
    @torch.inference_mode()
    def from_model(cls, model: Any) -> LensHead:
        """Describe the head of ``model`` and prove the description on a probe.

        Parameters
        ----------
        model : a transformers causal LM in evaluation mode
            On one device or dispatched over several. Its blocks may be quantized; its head must not be.

        Returns
        -------
        LensHead

        Raises
        ------
        TypeError
            ``model`` is no causal LM.
        ValueError
            The model is in training mode. A part of it is compiled, or peft puts virtual tokens before its input. Its
            blocks or its head cannot be found. Its head is quantized or offloaded. Its logits are not finite, or differ
            from those of the description; the message names the difference.

        Notes
        -----
        A model that is compiled as a whole, ``torch.compile(model)``, is described and later run as what it was made
        from. Cost: about a dozen forward passes over 8 tokens, and one pass over the head's matrix.
        """
        model = getattr(model, "_orig_mod", model)
        require_model("LensHead", model)
        name = type(model).__name__
        _require_plain(model, name)
        head: Any = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
        base = None if head is None else _base(model, head)
        if base is None or getattr(model.config, "is_encoder_decoder", False):
            raise ValueError(f"LensHead: model must be a causal LM with a base model and an output head; got {name}")
        if model.training:
            raise ValueError(f"LensHead: model must be in evaluation mode; got {name} in training mode: call eval()")
        weight = _weight(head, name)
        config = model.config.get_text_config()
        operations = logit_operations(config)
        scale, cap = folded(operations)
        observed = observe(model, base, head, probe_ids(weight), hidden_operations(config))
        described = cls(
            base=base,
            blocks=observed.blocks,
            chain=observed.chain,
            before_head=hidden_operations(config),
            weight=weight,
            bias=None if getattr(head, "bias", None) is None else head.bias.detach(),
            logit_scale=scale,
            softcap=cap,
            longest=context_length(config),
        )
        error = prove(described, observed, operations, name)
        return replace(
            described, error=error, positionwise=positionwise(described), shares_prefix=shares_prefix(described),
            pads_left=pads_left(described),
        )  # fmt: skip

    def describe(self) -> dict[str, Any]:
        """The description as plain data, for the metadata of a run."""
        return {
            "chain": [type(module).__name__ for module in self.chain],
            "before_head": [str(operation) for operation in self.before_head],
            "blocks": len(self.blocks),
            "vocabulary": self.weight.shape[0],
            "hidden": self.weight.shape[1],
            "dtype": self.dtype,
            "bias": self.bias is not None,
            "logit_scale": self.logit_scale,
            "softcap": self.softcap,
            "longest": self.longest,
            "positionwise": [type(module).__name__ for module in self.positionwise],
            "shares_prefix": self.shares_prefix,
            "pads_left": self.pads_left,
            "self_check_error": self.error,
        }


def require_model(function: str, model: Any, head: Any = None) -> None:
    """Refuse what is no causal LM, and a given head that is none."""
    if not isinstance(model, nn.Module) or not hasattr(model, "get_output_embeddings"):
        refuse_kind(function, "model", "be a transformers causal LM", model)
    if head is not None and not isinstance(head, LensHead):
        refuse_kind(function, "head", "be a LensHead or None", head)


def _require_plain(model: Any, name: str) -> None:
    """Refuse a model whose parts hooks cannot follow, or whose input has more positions than tokens."""
    prompt: Any = getattr(model, "active_peft_config", None)
    if getattr(prompt, "is_prompt_learning", False):
        kind = str(getattr(prompt.peft_type, "value", prompt.peft_type))
        raise ValueError(
            f"LensHead: model must read the tokens of its input alone; got {name} with {kind} of peft, which puts "
            "virtual tokens before them"
        )
    for path, part in model.named_modules():
        if hasattr(part, "_orig_mod") or getattr(part, "_compiled_call_impl", None) is not None:
            raise ValueError(
                f"LensHead: model must not be compiled in parts; got torch.compile in {path or 'the whole'} of {name}: "
                "give the model as it was before"
            )


def _base(model: Any, head: nn.Module) -> Any:
    """The part of a causal LM that gives the head's states; None if there is none.

    ``base_model_prefix`` names it in most classes. Adapters of peft wrap a causal LM and call that their base model;
    there ``get_decoder`` knows it. Where both name the whole model (Llama 4, Mllama), it is the child with the blocks.
    """
    found = [model.base_model]
    if hasattr(found[0], "get_decoder"):
        found.append(found[0].get_decoder())
    found += [child for child in model.children() if block_lists(child, model.config.get_text_config())]
    return next((base for base in found if base is not model and head not in set(base.modules())), None)


def _weight(head: nn.Module, name: str) -> torch.Tensor:
    """The head's matrix; refuses one that cannot be multiplied in place."""
    weight = getattr(head, "weight", None)
    if not isinstance(weight, torch.Tensor):
        raise ValueError(f"LensHead: model must have a head with a weight; got {type(head).__name__} in {name}")
    if weight.device.type == "meta":
        raise ValueError(
            f"LensHead: model must keep its head's weight in memory; got one that is offloaded in {name}: give the "
            "head, and the embedding it is tied to, a device in device_map"
        )
    if weight.dtype not in TOLERANCE:
        raise ValueError(
            f"LensHead: model must have a head in float32, bfloat16 or float16; got {weight.dtype} in {name}: leave "
            "the head out of the quantization (llm_int8_skip_modules=['lm_head'] for bitsandbytes)"
        )
    return weight.detach()

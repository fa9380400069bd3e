"""The parts of a model that the lens uses, and the way from a hidden state through them to reduced logits."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pivotkit.arguments import check_kind
from pivotkit.kernels import PackedUnembedding, Unembedded, unembed
from pivotkit.lens.model.families import Operation

DIGEST_ROWS = 1 << 14  # rows of the head's matrix that are widened to float32 together


@dataclass(frozen=True, repr=False)
class ModelParts:
    """A causal LM's base model, blocks, final norm and head, described as data.

    logits = cap(logit_scale * (normed(hidden) @ weight.T + bias)),   cap(z) = softcap * tanh(z / softcap)

    Attributes
    ----------
    base : nn.Module
        The model without its head.
    blocks : tuple of nn.Module
        The decoder blocks. Layer 0 is the input of the first block; layer l, from 1, is the output of block l.
    chain : tuple of nn.Module
        The modules between the last block and the head: the final norm, where there is one, and projections.
    before_head : tuple of Operation
        What the model computes after the chain outside any module, such as a factor on the hidden state.
    weight : (V, D) tensor
        The head's matrix.
    bias : (V,) tensor or None
    logit_scale : float
    softcap : float or None
    longest : int or None
        The model's context length in tokens; None where positions are unbounded (ALiBi) or the configuration has none.
    positionwise : tuple of nn.Module
        Parts of the last block, such as its feed-forward network, that see each position alone and whose result at one
        position no other position reads. They need to run only at the positions whose states are wanted.
    shares_prefix : bool, default True
        Whether sequences that continue a cached prefix have the states of whole sequences.
    pads_left : bool, default True
        Whether masked padding on the left leaves the states unchanged. Recurrent models do not guarantee this.
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

    def __repr__(self) -> str:
        vocabulary, width = self.weight.shape
        return (
            f"{type(self).__name__}({type(self.base).__name__}, blocks={len(self.blocks)}, vocabulary={vocabulary}, "
            f"width={width}, dtype={self.dtype})"
        )

    @functools.cached_property
    def packed(self) -> PackedUnembedding:
        """The head's matrix as `pivotkit.kernels.unembed` takes it, checked once."""
        return PackedUnembedding(self.weight)

    @functools.cached_property
    def screened(self) -> PackedUnembedding:
        """The same for a top k alone: on a CPU with a copy in int8, which finds the same top k in less time."""
        on_cpu = self.weight.device.type == "cpu"
        return PackedUnembedding(self.weight, precision="certified") if on_cpu else self.packed

    @property
    def width(self) -> int:
        """D, the size of a hidden state of the residual stream."""
        size: int = self.base.config.get_text_config().hidden_size  # type: ignore[union-attr,operator]
        return size

    @property
    def dtype(self) -> str:
        """The type of the head's matrix, such as ``"float32"``."""
        return str(self.weight.dtype).removeprefix("torch.")

    @functools.cached_property
    def digest(self) -> str:
        """The SHA-256 digest of the head's matrix in float32, in hexadecimal; a second per 1.3 GB of it."""
        digest = hashlib.sha256()
        for rows in self.weight.split(DIGEST_ROWS):
            digest.update(rows.float().contiguous().cpu().numpy())
        return digest.hexdigest()

    def normed(self, hidden: torch.Tensor) -> torch.Tensor:
        """Apply the model's own chain to hidden states of the residual stream.

        Parameters
        ----------
        hidden : (..., D) tensor
            The residual stream of any layers and positions.

        Returns
        -------
        (..., D) tensor
            What the head multiplies, on the head's device.
        """
        check_kind("normed", "hidden", hidden, torch.Tensor, "a torch tensor")
        for module in self.chain:
            hidden = module(hidden)
        for operation in self.before_head:
            hidden = operation(hidden)
        return hidden.to(self.weight.device)

    def unembed(self, hidden: torch.Tensor, k: int = 10, **reductions: Any) -> Unembedded:
        """Reduce the logits of hidden states of the residual stream.

        Equivalent to ``pivotkit.kernels.unembed(head.normed(hidden), head.weight, k, bias=head.bias,
        logit_scale=head.logit_scale, softcap=head.softcap, **reductions)``.

        Parameters
        ----------
        hidden : (..., D) tensor
            The residual stream of any layers and positions; the head's matrix is read once for all of them.
        k : int, default 10
            Entries to keep per row.
        **reductions
            ``targets``, ``token_sets``, ``entropy`` and the other keyword arguments of `pivotkit.kernels.unembed`.
            ``precision="certified"`` makes a copy of the matrix in int8 at the first such call, and keeps it.

        Returns
        -------
        Unembedded

        Raises
        ------
        TypeError, ValueError, IndexError
            As `pivotkit.kernels.unembed`.
        BackendUnavailable
            ``precision="certified"`` on a GPU.
        """
        check_kind("unembed", "hidden", hidden, torch.Tensor, "a torch tensor")
        packed = self.screened if reductions.get("precision") == "certified" else self.packed
        return unembed(
            self.normed(hidden), packed, k, bias=self.bias, logit_scale=self.logit_scale, softcap=self.softcap,
            **reductions,
        )  # fmt: skip


def with_float64(device: torch.device) -> torch.device:
    """The device itself where it computes in float64, else the CPU; Apple's GPUs have no such numbers."""
    return torch.device("cpu") if device.type == "mps" else device

"""The one form of every fitted lens: an affine map per layer, read as ``W_U norm(A_l h + b_l)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from pivotkit.lens.model.parts import ModelParts


@dataclass(frozen=True)
class AffineLens:
    """A map of each layer's residual stream to that of the last layer.

    mapped = A_l h + b_l,   A_l = weights[l], or I + weights[l] where the kind of lens is ``residual``

    Attributes
    ----------
    weights : tuple of L (D, D) tensors
        Of layers 0 (the embedding output) to L - 1; None for a layer that has no map. Layer L, the last block's output,
        stays as it is.
    biases : tuple of L (D,) tensors, or None
    model : str
        The model that the lens was fitted to, by the name in its configuration; empty where that is not known.
    revision : str or None
        The revision of that model.
    digest : str or None
        `ModelParts.digest` of that model's head; None where that is not known.
    dtype : str or None
        The type of that model's head, such as ``"float32"``; None where that is not known.
    fit : dict or None
        How it was fitted, as plain data: the kind, texts, tokens and seed.

    Examples
    --------
    >>> lens = AffineLens((torch.tensor([[0.0, 1], [1, 0]]),), (torch.tensor([10.0, 0]),), "", None)
    >>> lens(torch.tensor([[[1.0, 2]], [[3, 4]]])).tolist()  # of one block: the last layer stays as it is
    [[[12.0, 1.0]], [[3.0, 4.0]]]
    """

    weights: tuple[torch.Tensor | None, ...]
    biases: tuple[torch.Tensor, ...] | None
    model: str
    revision: str | None
    digest: str | None = None
    dtype: str | None = None
    fit: Mapping[str, Any] | None = None

    residual: ClassVar[bool] = False
    kind: ClassVar[str] = "affine"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(layers={len(self.weights)}, width={self.width}, model={self.model!r})"

    @property
    def width(self) -> int:
        """D, the size of a hidden state; 0 without any map."""
        return next((weight.shape[0] for weight in self.weights if weight is not None), 0)

    @property
    def lacking(self) -> tuple[int, ...]:
        """The layers that have no map, in order, as the embedding's output in published Jacobian-lens files."""
        return tuple(layer for layer, weight in enumerate(self.weights) if weight is None)

    @property
    def name(self) -> str:
        """The name of the lens in the metadata of a trace."""
        kind = self.kind if self.fit is None else self.fit.get("kind", self.kind)
        return f"{kind} lens" + (f" for {self.model}" if self.model else "")

    @torch.inference_mode()
    def __call__(self, hidden: torch.Tensor, layers: Sequence[int] | None = None) -> torch.Tensor:
        """Map hidden states to the residual stream of the last layer.

        Parameters
        ----------
        hidden : (len(layers), N, D) floating-point tensor
            The result of `capture`: the residual stream before the final norm.
        layers : sequence of int, optional
            The layer of each of its slices. 0 is the embedding output; L is the last block's output, which stays as it
            is. By default all layers.

        Returns
        -------
        (len(layers), N, D) tensor
            In the dtype of ``hidden``.

        Raises
        ------
        ValueError
            ``hidden`` has another shape, or a layer does not exist or has no map.

        Notes
        -----
        Computes in float32, or in a wider type of ``hidden`` or of the lens. Cost: ``N * D * D`` multiplications per
        layer.
        """
        name, last = type(self).__name__, len(self.weights)
        wanted = range(last + 1) if layers is None else layers
        if hidden.ndim != 3 or hidden.shape[0] != len(wanted) or hidden.shape[2] != self.width:
            raise ValueError(f"{name}: hidden must be ({len(wanted)}, N, {self.width}); got {tuple(hidden.shape)}")
        unknown = next((layer for layer in wanted if not 0 <= layer <= last), None)
        if unknown is not None:
            raise ValueError(f"{name}: layers must be between 0 and {last}; got {unknown}")
        mapped = [self._map(state, layer) for state, layer in zip(hidden, wanted, strict=True)]
        return torch.stack(mapped) if mapped else hidden

    def _map(self, state: torch.Tensor, layer: int) -> torch.Tensor:
        if layer == len(self.weights):
            return state
        weight = self.weights[layer]
        if weight is None:
            known = [number for number, one in enumerate(self.weights) if one is not None]
            raise ValueError(f"{type(self).__name__}: layers must have a map, as {known} have; got {layer}")
        dtype = torch.promote_types(torch.promote_types(state.dtype, weight.dtype), torch.float32)
        wide, turned = state.to(dtype), weight.to(state.device, dtype).T
        mapped = torch.addmm(wide, wide, turned) if self.residual else wide @ turned
        if self.biases is not None:
            mapped += self.biases[layer].to(state.device, dtype)
        return mapped.to(state.dtype)

    def require_head(self, function: str, argument: str, head: ModelParts) -> None:
        """Refuse to be read through the head of another model than the one that the lens was fitted to.

        Parameters
        ----------
        function, argument : str
            What the message names.
        head : LensHead

        Raises
        ------
        ValueError
            The models differ in width, depth, type or head, or have different names on a hub.

        Notes
        -----
        Where the lens has a digest, that decides. The name of a local folder says nothing about a model, so names are
        compared, without their owner, only for models from a hub. Cost: one pass over the head's matrix, once per
        head, where the lens has a digest.
        """

        def refuse(rule: str, got: str) -> None:
            raise ValueError(f"{function}: {argument} must be for {rule}; got one for {got}")

        width, blocks = head.width, len(head.blocks)
        if (self.width, len(self.weights)) != (width, blocks):
            found = f"{len(self.weights)} of width {self.width}" + (f" ({self.model})" if self.model else "")
            refuse(f"{blocks} blocks of width {width}", found)
        name = getattr(head.base.config, "name_or_path", "")
        known = (
            self.digest is None and name and self.model and not Path(name).exists() and not Path(self.model).exists()
        )
        if known and name.rpartition("/")[2].lower() != self.model.rpartition("/")[2].lower():
            refuse(name, self.model)
        if self.dtype is not None and self.dtype != head.dtype:
            refuse(f"a model in {head.dtype}", self.dtype)
        if self.digest is not None and self.digest != head.digest:
            refuse(f"the model whose head has the digest {head.digest[:16]}", self.digest[:16])

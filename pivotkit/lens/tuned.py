"""The tuned lens: one affine map per layer, from the layer's residual stream to that of the last layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pivotkit.artifacts import read_json
from pivotkit.errors import InputError
from pivotkit.lens.model.parts import ModelParts

KIND = "linear_tuned_lens"
SAFE_LOAD = (2, 6)  # earlier torch.load could run code despite weights_only (CVE-2025-32434)


@dataclass(frozen=True)
class TunedLens:
    """The affine maps of a trained tuned lens, one per layer except the last.

    translated = hidden + hidden @ weights[layer].T + biases[layer]

    Attributes
    ----------
    weights : tuple of L (D, D) tensors
        Of layers 0 (the embedding output) to L - 1. Layer L, the last block's output, stays as it is.
    biases : tuple of L (D,) tensors, or None
    model : str
        The model that the lens was trained for, by the name in the checkpoint's configuration; empty if it has none.
    revision : str or None
        The revision of that model.

    Notes
    -----
    Source: Belrose et al. 2023, Eliciting Latent Predictions from Transformers with the Tuned Lens (arXiv 2303.08112),
    in the residual form of its published code.
    """

    weights: tuple[torch.Tensor, ...]
    biases: tuple[torch.Tensor, ...] | None
    model: str
    revision: str | None

    def __repr__(self) -> str:
        width = self.weights[0].shape[0] if self.weights else 0
        return f"TunedLens(layers={len(self.weights)}, width={width}, model={self.model!r})"

    @property
    def name(self) -> str:
        """The name of the lens in the metadata of a trace."""
        return "tuned lens" + (f" for {self.model}" if self.model else "")

    @classmethod
    def load(cls, folder: str | Path, head: ModelParts | None = None) -> TunedLens:
        """Read a checkpoint of the tuned-lens library.

        Parameters
        ----------
        folder : str or Path
            Holds ``config.json``, and the maps in ``params.safetensors`` or ``params.pt``.
        head : LensHead, optional
            The head of the model to be traced. The lens must have its width and depth and, if both are known, the
            model's name. The maps are loaded to its device.

        Returns
        -------
        TunedLens

        Raises
        ------
        InputError
            A file is missing, not of its format, or contradicts ``config.json``.
        ValueError
            The lens was trained for another model than that of ``head``.

        Notes
        -----
        ``torch.load(weights_only=True)`` reads ``params.pt``; it builds tensors and refuses everything else, so no code
        in the file runs. It needs torch 2.6. The name of a local folder says nothing about a model, so names are
        compared, without their owner, only for models from a hub.
        """
        folder = Path(folder)
        config = _config(folder / "config.json")
        device = "cpu" if head is None else head.weight.device
        path, state = _state(folder, device)
        layers, width = config["num_hidden_layers"], config["d_model"]
        kinds = {"weight": (width, width), "bias": (width,)} if config["bias"] else {"weight": (width, width)}
        expected = {f"{layer}.{kind}": shape for layer in range(layers) for kind, shape in kinds.items()}
        if set(state) != set(expected):
            raise InputError(
                path, "", f"must hold {', '.join(kinds)} of {layers} layers; {_first_mismatch(state, expected)}"
            )
        for name, shape in expected.items():
            tensor = state[name]
            if tuple(tensor.shape) != shape or not tensor.is_floating_point():
                raise InputError(
                    path, "", f"{name} must be floating-point {shape}; got {tensor.dtype} {tuple(tensor.shape)}"
                )
        if head is not None:
            _require_same_model(config, head)
        return cls(
            weights=tuple(state[f"{layer}.weight"] for layer in range(layers)),
            biases=tuple(state[f"{layer}.bias"] for layer in range(layers)) if config["bias"] else None,
            model=config["base_model_name_or_path"],
            revision=config["base_model_revision"],
        )

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
            ``hidden`` has another shape, or a layer does not exist.

        Notes
        -----
        Computes in float32, or in a wider type of ``hidden`` or of the lens. Cost: ``N * D * D`` multiplications per
        layer.
        """
        last, width = len(self.weights), self.weights[0].shape[0]
        wanted = range(last + 1) if layers is None else layers
        if hidden.ndim != 3 or hidden.shape[0] != len(wanted) or hidden.shape[2] != width:
            raise ValueError(f"TunedLens: hidden must be ({len(wanted)}, N, {width}); got {tuple(hidden.shape)}")
        unknown = next((layer for layer in wanted if not 0 <= layer <= last), None)
        if unknown is not None:
            raise ValueError(f"TunedLens: layers must be between 0 and {last}; got {unknown}")
        translated = [
            state if layer == last else self._translate(state, layer)
            for state, layer in zip(hidden, wanted, strict=True)
        ]
        return torch.stack(translated) if translated else hidden

    def _translate(self, state: torch.Tensor, layer: int) -> torch.Tensor:
        weight = self.weights[layer]
        dtype = torch.promote_types(torch.promote_types(state.dtype, weight.dtype), torch.float32)
        wide = state.to(dtype)
        moved = torch.addmm(wide, wide, weight.to(state.device, dtype).T)
        if self.biases is not None:
            moved += self.biases[layer].to(state.device, dtype)
        return moved.to(state.dtype)


def _config(path: Path) -> dict[str, Any]:
    """The checkpoint's configuration, with the library's defaults for optional fields."""
    if not path.is_file():
        raise InputError(path, "", "must be the configuration of a tuned lens; found none")
    config = read_json(path)
    if not isinstance(config, dict):
        raise InputError(path, "", f"must be a JSON object; got {type(config).__name__}")
    config = {"bias": True, "lens_type": KIND, "base_model_name_or_path": "", "base_model_revision": None} | config
    for name in ("d_model", "num_hidden_layers"):
        size = config.get(name)
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise InputError(path, "", f"{name} must be a positive integer; got {size!r}")
    config["base_model_name_or_path"] = str(config["base_model_name_or_path"] or "")
    if not isinstance(config["bias"], bool):
        raise InputError(path, "", f"bias must be true or false; got {config['bias']!r}")
    if config["lens_type"] != KIND:
        raise InputError(path, "", f"lens_type must be {KIND}; got {config['lens_type']!r}")
    return config


def _state(folder: Path, device: torch.device | str) -> tuple[Path, dict[str, torch.Tensor]]:
    """The file of the maps, and the maps by name."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / "params.safetensors"
    if path.is_file():
        try:
            return path, load_file(path, device=str(device))
        except SafetensorError as error:
            raise InputError(path, "", f"must be a safetensors file; {error}") from None
    path = folder / "params.pt"
    if not path.is_file():
        raise InputError(folder, "", "must hold params.safetensors or params.pt; found neither")
    if tuple(map(int, torch.__version__.split(".")[:2])) < SAFE_LOAD:
        raise InputError(path, "", f"must be read with torch 2.6 or later; got torch {torch.__version__}")
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises UnpicklingError, RuntimeError, EOFError and others
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(path, "", f"must be a checkpoint of tensors and nothing else; {reason}") from None
    if not isinstance(state, Mapping) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise InputError(path, "", f"must hold tensors by name; got {type(state).__name__}")
    return path, dict(state)


def _first_mismatch(state: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """Name one map that is missing or not expected, for a message."""
    missing = [name for name in expected if name not in state]
    return f"found no {missing[0]}" if missing else f"got {next(name for name in state if name not in expected)} too"


def _require_same_model(config: Mapping[str, Any], head: ModelParts) -> None:
    """Refuse a lens of another width, depth or model name than the head's."""
    model = head.base.config.get_text_config()  # type: ignore[union-attr,operator]
    width, blocks = model.hidden_size, len(head.blocks)
    if (config["d_model"], config["num_hidden_layers"]) != (width, blocks):
        raise ValueError(
            f"TunedLens: folder must hold a lens for {blocks} blocks of width {width}; got one for "
            f"{config['num_hidden_layers']} of width {config['d_model']} ({config['base_model_name_or_path']})"
        )
    name, theirs = getattr(head.base.config, "name_or_path", ""), config["base_model_name_or_path"]
    known = name and theirs and not Path(name).exists() and not Path(theirs).exists()
    if known and name.rpartition("/")[2].lower() != theirs.rpartition("/")[2].lower():
        raise ValueError(f"TunedLens: folder must hold a lens for {name}; got one for {theirs}")

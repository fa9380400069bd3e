"""The tuned lens: an affine map a layer that brings the residual stream into the last layer's coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pivotkit.artifacts import read_json
from pivotkit.errors import InputError

if TYPE_CHECKING:
    from pivotkit.lens.model.head import LensHead

KIND = "linear_tuned_lens"
SAFE_LOAD = (2, 6)  # before, torch.load could be made to run code in spite of weights_only (CVE-2025-32434)


@dataclass(frozen=True)
class TunedLens:
    """Translators of a trained tuned lens, one for each layer but the last.

    translated = hidden + hidden @ weight[layer].T + bias[layer]

    Attributes
    ----------
    weights : tuple of L (D, D) tensors
        Of layers 0 (the embedding output) to L - 1; layer L, the last block's output, is its own translation.
    biases : tuple of L (D,) tensors, or None
    model : str
        The model that the lens was trained for, as its configuration names it; empty where it names none.
    revision : str or None
        Of that model.

    Notes
    -----
    Source: Belrose et al. 2023, Eliciting Latent Predictions from Transformers with the Tuned Lens (arXiv 2303.08112),
    in the residual form of its published code.
    """

    weights: tuple[torch.Tensor, ...]
    biases: tuple[torch.Tensor, ...] | None
    model: str
    revision: str | None

    @property
    def name(self) -> str:
        """What a trace's metadata calls it."""
        return "tuned lens" + (f" for {self.model}" if self.model else "")

    @classmethod
    def load(cls, folder: str | Path, head: LensHead | None = None) -> TunedLens:
        """Read a checkpoint of the tuned-lens library.

        Parameters
        ----------
        folder : str or Path
            Holds ``config.json`` and the translators, in ``params.safetensors`` or ``params.pt``.
        head : LensHead, optional
            The model to read: the lens must have been trained for its width and depth and, where both are known, its
            name. The translators go to its device.

        Raises
        ------
        InputError
            A file is absent, not what it is named, or contradicts ``config.json``.
        ValueError
            The lens was trained for another model than ``head``'s.

        Notes
        -----
        ``params.pt`` is read by ``torch.load(weights_only=True)``, which builds tensors and refuses everything else: no
        code in the file is ever executed. It needs torch 2.6. A local folder's name says nothing of a model, so names
        are compared, without their owner, only where the model came from a hub.
        """
        folder = Path(folder)
        config = _config(folder / "config.json")
        device = "cpu" if head is None else head.weight.device
        path, state = _state(folder, device)
        layers, width = config["num_hidden_layers"], config["d_model"]
        kinds = {"weight": (width, width), "bias": (width,)} if config["bias"] else {"weight": (width, width)}
        expected = {f"{layer}.{kind}": shape for layer in range(layers) for kind, shape in kinds.items()}
        if set(state) != set(expected):
            raise InputError(path, "", f"must hold {', '.join(kinds)} of {layers} layers; {_odd(state, expected)}")
        for name, shape in expected.items():
            tensor = state[name]
            if tuple(tensor.shape) != shape or not tensor.is_floating_point():
                raise InputError(
                    path, "", f"{name} must be floating-point {shape}; got {tensor.dtype} {tuple(tensor.shape)}"
                )
        if head is not None:
            _match(config, head)
        return cls(
            weights=tuple(state[f"{layer}.weight"] for layer in range(layers)),
            biases=tuple(state[f"{layer}.bias"] for layer in range(layers)) if config["bias"] else None,
            model=config["base_model_name_or_path"],
            revision=config["base_model_revision"],
        )

    @torch.inference_mode()
    def __call__(self, hidden: torch.Tensor, layers: Sequence[int] | None = None) -> torch.Tensor:
        """Translate hidden states, as the norm and head expect them.

        Parameters
        ----------
        hidden : (len(layers), N, D) floating-point tensor
            What `capture` returns: the residual stream before the final norm.
        layers : sequence of int, optional
            Which layer each row is; 0 is the embedding output, L the last block's, which is left as it is. All by
            default.

        Returns
        -------
        (len(layers), N, D) tensor in the dtype of ``hidden``

        Notes
        -----
        Computed in float32, or wider where ``hidden`` or the lens is. Costs ``N * D * D`` multiplications a layer.
        """
        last, width = len(self.weights), self.weights[0].shape[0]
        wanted = range(last + 1) if layers is None else layers
        if hidden.ndim != 3 or hidden.shape[0] != len(wanted) or hidden.shape[2] != width:
            raise ValueError(f"TunedLens: hidden must be ({len(wanted)}, N, {width}); got {tuple(hidden.shape)}")
        odd = next((layer for layer in wanted if not 0 <= layer <= last), None)
        if odd is not None:
            raise ValueError(f"TunedLens: layers must be between 0 and {last}; got {odd}")
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
    """The checkpoint's configuration, with the library's defaults for what may be left out."""
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
    """The translators by name, and the file they came from."""
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
    except Exception as error:  # torch raises UnpicklingError, RuntimeError, EOFError ... by what is wrong
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(path, "", f"must be a checkpoint of tensors and nothing else; {reason}") from None
    if not isinstance(state, Mapping) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise InputError(path, "", f"must hold tensors by name; got {type(state).__name__}")
    return path, dict(state)


def _odd(state: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """One name too few or too many, as a refusal says it."""
    missing = [name for name in expected if name not in state]
    return f"found no {missing[0]}" if missing else f"got {next(name for name in state if name not in expected)} too"


def _match(config: Mapping[str, Any], head: LensHead) -> None:
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

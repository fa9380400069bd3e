"""Tuned-lens folders: the affine maps of a lens as the tuned-lens library keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch

from pivotkit.arguments import check_path, check_text
from pivotkit.artifacts import atomic_folder, read_json, write_json
from pivotkit.errors import InputError
from pivotkit.lens.fitted.affine import AffineLens
from pivotkit.lens.fitted.files import read_pickled, read_tensors
from pivotkit.lens.model.parts import ModelParts

KIND = "linear_tuned_lens"
OPTIONAL = {
    "bias": True, "lens_type": KIND, "base_model_name_or_path": "", "base_model_revision": None, "head_digest": None,
    "head_dtype": None, "fit": None,
}  # fmt: skip
FILES = ("params.safetensors", "params.pt")


class TunedLens(AffineLens):
    """The affine maps of a tuned lens or a ridge lens, one per layer except the last, in residual form.

    mapped = hidden + hidden @ weights[layer].T + biases[layer]

    The attributes are those of `AffineLens`; every layer has a map.

    Notes
    -----
    Source: Belrose et al. 2023, Eliciting Latent Predictions from Transformers with the Tuned Lens (arXiv 2303.08112),
    in the residual form of its published code.
    """

    residual: ClassVar[bool] = True
    kind: ClassVar[str] = "tuned"

    @classmethod
    def load(cls, folder: str | Path, head: ModelParts | None = None) -> TunedLens:
        """Read a checkpoint of the tuned-lens library.

        Parameters
        ----------
        folder : str or Path
            Holds ``config.json``, and the maps in ``params.safetensors`` or ``params.pt``.
        head : LensHead, optional
            The head of the model to be traced. The lens must have its width and depth and, where both are known, the
            model's name, its type and the digest of its head. The maps are loaded to its device.

        Returns
        -------
        TunedLens

        Raises
        ------
        InputError
            A file is missing, not of its format, or contradicts ``config.json``.
        ValueError
            The lens was fitted to another model than that of ``head`` (`AffineLens.require_head`).

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
        lens = cls(
            weights=tuple(state[f"{layer}.weight"] for layer in range(layers)),
            biases=tuple(state[f"{layer}.bias"] for layer in range(layers)) if config["bias"] else None,
            model=config["base_model_name_or_path"],
            revision=config["base_model_revision"],
            digest=config["head_digest"],
            dtype=config["head_dtype"],
            fit=config["fit"],
        )
        if head is not None:
            lens.require_head("TunedLens", "folder", head)
        return lens

    def save(self, folder: str | Path, *, file: str = "params.safetensors") -> Path:
        """Write the lens as a folder that `load` reads.

        Parameters
        ----------
        folder : str or Path
            A new folder, or an empty one.
        file : {"params.safetensors", "params.pt"}, default "params.safetensors"
            The tuned-lens library reads ``params.pt`` alone.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        ValueError
            The folder holds something, or a layer has no map.

        Notes
        -----
        ``config.json`` has what the library writes, except its own digest, and beside it ``head_digest``,
        ``head_dtype`` and ``fit``, which the library passes over. The folder appears whole or not at all.
        """
        check_path("TunedLens", "folder", folder)
        check_text("TunedLens", "file", file, FILES)
        folder = Path(folder)
        require_empty("TunedLens", "folder", folder)
        state: dict[str, torch.Tensor] = {}
        for layer, weight in enumerate(self.weights):
            if weight is None:
                raise ValueError(f"TunedLens: weights must hold a map of every layer; got none of layer {layer}")
            state[f"{layer}.weight"] = weight.detach().cpu().contiguous()
            if self.biases is not None:
                state[f"{layer}.bias"] = self.biases[layer].detach().cpu().contiguous()
        config = {
            "base_model_name_or_path": self.model, "base_model_revision": self.revision, "d_model": self.width,
            "num_hidden_layers": len(self.weights), "bias": self.biases is not None, "lens_type": KIND,
            "head_digest": self.digest, "head_dtype": self.dtype, "fit": self.fit,
        }  # fmt: skip
        with atomic_folder(folder) as new:
            write_json(config, new / "config.json")
            if file == "params.pt":
                torch.save(state, new / file)
            else:
                from safetensors.torch import save_file

                save_file(state, new / file)
        return folder


def require_empty(function: str, argument: str, folder: Path) -> None:
    """Refuse a place that holds something already."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ValueError(f"{function}: {argument} must be a new or an empty folder; got {str(folder)!r}")


def _config(path: Path) -> dict[str, Any]:
    """The checkpoint's configuration, with the library's defaults for optional fields."""
    if not path.is_file():
        raise InputError(path, "", "must be the configuration of a tuned lens; found none")
    config = read_json(path)
    if not isinstance(config, dict):
        raise InputError(path, "", f"must be a JSON object; got {type(config).__name__}")
    config = OPTIONAL | config
    for name in ("d_model", "num_hidden_layers"):
        size = config.get(name)
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise InputError(path, "", f"{name} must be a positive integer; got {size!r}")
    config["base_model_name_or_path"] = str(config["base_model_name_or_path"] or "")
    if not isinstance(config["bias"], bool):
        raise InputError(path, "", f"bias must be true or false; got {config['bias']!r}")
    for name, one in (("head_digest", str), ("head_dtype", str), ("fit", dict)):
        if not isinstance(config[name], one | None):
            raise InputError(path, "", f"{name} must be a {one.__name__} or null; got {config[name]!r}")
    if config["lens_type"] != KIND:
        raise InputError(path, "", f"lens_type must be {KIND}; got {config['lens_type']!r}")
    return config


def _state(folder: Path, device: torch.device | str) -> tuple[Path, dict[str, torch.Tensor]]:
    """The file of the maps, and the maps by name."""
    path = folder / "params.safetensors"
    if path.is_file():
        return path, read_tensors(path, device)[0]
    path = folder / "params.pt"
    if not path.is_file():
        raise InputError(folder, "", "must hold params.safetensors or params.pt; found neither")
    state = read_pickled(path, device)
    if not isinstance(state, Mapping) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise InputError(path, "", f"must hold tensors by name; got {type(state).__name__}")
    return path, dict(state)


def _first_mismatch(state: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """Name one map that is missing or not expected, for a message."""
    missing = [name for name in expected if name not in state]
    return f"found no {missing[0]}" if missing else f"got {next(name for name in state if name not in expected)} too"

"""Jacobian-lens files: how the last layer's state changes with each layer's, on average."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import orjson
import torch

from pivotkit.arguments import check_path, check_text, refuse
from pivotkit.artifacts import atomic_path
from pivotkit.errors import InputError
from pivotkit.lens.fitted.affine import AffineLens
from pivotkit.lens.fitted.files import read_pickled, read_tensors
from pivotkit.lens.model.parts import ModelParts

SUFFIXES = (".safetensors", ".pt")
MISSING = ("refuse", "raw")
EMBEDDING = "embedding"  # what files call layer 0, for which the published layout has no number
OWN = {"model": str, "revision": str, "head_digest": str, "head_dtype": str, "fit": dict, "blocks": int}


@dataclass(frozen=True, repr=False)
class JacobianLens(AffineLens):
    """The mean Jacobian of the last layer's state in each layer's: W_U norm(J_l h), where the raw lens has J = I.

    mapped = hidden @ weights[layer].T

    Attributes
    ----------
    prompts : int
        The number of prompts in the mean. The other attributes are those of `AffineLens`; there are no biases.

    Notes
    -----
    Source: Gurnee et al. 2026, Verbalizable Representations Form a Global Workspace in Language Models (Transformer
    Circuits Thread), and the layout of its published files: ``J`` (block number to (D, D) tensor), ``n_prompts``,
    ``source_layers``, ``d_model``. Block b there, from 0, is layer b + 1 here; the embedding's output has no number
    there.
    """

    prompts: int = 0

    kind: ClassVar[str] = "Jacobian"

    @classmethod
    def load(cls, path: str | Path, head: ModelParts | None = None, *, missing: str = "refuse") -> JacobianLens:
        """Read a file of the published layout, or its like in safetensors.

        Parameters
        ----------
        path : str or Path
            ``.pt`` as published, or ``.safetensors`` as `save` writes it.
        head : LensHead, optional
            The head of the model to be traced, which the lens must be for. A published file does not say how many
            blocks its model has: its last source layer is taken for the last but one.
        missing : {"refuse", "raw"}, default "refuse"
            What becomes of layers that the file has no matrix for, as of the embedding's output in published files:
            they are refused where they are asked for, or read as the raw lens does, with J = I.

        Returns
        -------
        JacobianLens

        Raises
        ------
        InputError
            The file is not of its format, contradicts itself, or holds more than tensors and plain data; no code in it
            runs.
        ValueError
            The lens was fitted to another model than that of ``head`` (`AffineLens.require_head`).
        """
        check_path("JacobianLens", "path", path)
        check_text("JacobianLens", "missing", missing, MISSING)
        path = Path(path)
        check_suffix("JacobianLens", "path", path)
        if not path.is_file():
            raise InputError(path, "", "must be a file of a Jacobian lens; found none")
        device = "cpu" if head is None else head.weight.device
        read = _from_tensors(path, device) if path.suffix == ".safetensors" else _from_pickle(path, device)
        matrices, width = _checked(path, read)
        own = read["own"]
        blocks = own.get("blocks") or max(matrices) + 1
        if not all(0 <= layer < blocks for layer in matrices):
            raise InputError(path, "", f"must have source layers before the last of {blocks}; got {sorted(matrices)}")
        identity = torch.eye(width, device=device) if missing == "raw" else None
        lens = cls(
            weights=tuple(matrices.get(layer, identity) for layer in range(blocks)), biases=None,
            model=own.get("model", ""), revision=own.get("revision"), digest=own.get("head_digest"),
            dtype=own.get("head_dtype"), fit=own.get("fit"), prompts=read["n_prompts"],
        )  # fmt: skip
        if head is not None:
            lens.require_head("JacobianLens", "path", head)
        return lens

    def save(self, path: str | Path) -> Path:
        """Write the lens as a file that `load` reads.

        Parameters
        ----------
        path : str or Path
            Ends in ``.safetensors`` or ``.pt``. The latter is the published layout, with what it has no place for
            under ``pivotkit``, which others pass over.

        Returns
        -------
        Path
        """
        check_path("JacobianLens", "path", path)
        path = Path(path)
        check_suffix("JacobianLens", "path", path)
        kept = {layer: one.detach().cpu().contiguous() for layer, one in enumerate(self.weights) if one is not None}
        embedding = kept.pop(0, None)
        own = {
            "model": self.model, "revision": self.revision, "head_digest": self.digest, "head_dtype": self.dtype,
            "fit": None if self.fit is None else dict(self.fit), "blocks": len(self.weights),
        }  # fmt: skip
        own = {name: value for name, value in own.items() if value is not None}
        plain = {"n_prompts": self.prompts, "source_layers": [layer - 1 for layer in kept], "d_model": self.width}
        with atomic_path(path) as temporary:
            if path.suffix == ".pt":
                more = {} if embedding is None else {EMBEDDING: embedding}
                matrices = {layer - 1: one for layer, one in kept.items()}
                torch.save({"J": matrices, **plain, "pivotkit": {**own, **more}}, temporary)
            else:
                from safetensors.torch import save_file

                tensors = {f"J.{layer - 1}": one for layer, one in kept.items()}
                tensors |= {} if embedding is None else {f"J.{EMBEDDING}": embedding}
                text = {name: orjson.dumps(value).decode() for name, value in {**plain, "pivotkit": own}.items()}
                save_file(tensors, temporary, metadata=text)
        return path


def check_suffix(function: str, argument: str, path: Path) -> None:
    """Refuse a path that names no file of a Jacobian lens."""
    if path.suffix not in SUFFIXES:
        refuse(function, argument, f"end in {' or '.join(SUFFIXES)}", path)


def _from_tensors(path: Path, device: torch.device | str) -> dict[str, Any]:
    """What a safetensors file says, in the layout of the published one."""
    tensors, text = read_tensors(path, device)
    try:
        said = {name: orjson.loads(value) for name, value in text.items() if name != "format"}
    except orjson.JSONDecodeError as error:
        raise InputError(path, "", f"must have metadata in JSON; {error.msg}") from None
    named: dict[Any, torch.Tensor] = {name.removeprefix("J."): tensor for name, tensor in tensors.items()}
    own = dict(said.get("pivotkit") or {}) if isinstance(said.get("pivotkit"), dict | None) else {}
    embedding = named.pop(EMBEDDING, None)
    matrices = {int(name) if name.isdecimal() else name: tensor for name, tensor in named.items()}
    return {**said, "J": matrices, "own": own, EMBEDDING: embedding}


def _from_pickle(path: Path, device: torch.device | str) -> dict[str, Any]:
    said = read_pickled(path, device)
    if not isinstance(said, Mapping) or "J" not in said:
        names = ", ".join(map(str, said)) if isinstance(said, Mapping) else type(said).__name__
        raise InputError(path, "", f"must hold J, n_prompts, source_layers and d_model; got {names[:80] or 'nothing'}")
    own = dict(said["pivotkit"]) if isinstance(said.get("pivotkit"), Mapping) else {}
    return {**said, "own": own, EMBEDDING: own.pop(EMBEDDING, None)}


def _checked(path: Path, read: Mapping[str, Any]) -> tuple[dict[int, torch.Tensor], int]:
    """The matrices by layer, 0 for the embedding's output, and their width; InputError where the file is wrong."""
    matrices = read["J"]
    for name in ("n_prompts", "d_model"):
        if not isinstance(read.get(name), int) or isinstance(read[name], bool) or read[name] < 1:
            raise InputError(path, "", f"{name} must be a positive integer; got {read.get(name)!r}")
    if not isinstance(matrices, Mapping) or not all(type(block) is int and block >= 0 for block in matrices):
        raise InputError(path, "", "J must give a matrix for each block number")
    listed = read.get("source_layers")
    if not matrices or not isinstance(listed, list) or sorted(matrices) != sorted(set(listed)):
        raise InputError(path, "", f"source_layers must list the blocks of J, {sorted(matrices)}; got {listed!r}")
    for name, kind in OWN.items():
        if not isinstance(read["own"].get(name), kind | None) or isinstance(read["own"].get(name), bool):
            raise InputError(path, "", f"{name} must be of the kind {kind.__name__}; got {read['own'][name]!r}")
    width: int = read["d_model"]
    found = {block + 1: matrix for block, matrix in matrices.items()}
    if read[EMBEDDING] is not None:
        found[0] = read[EMBEDDING]
    for layer, matrix in found.items():
        place = EMBEDDING if layer == 0 else layer - 1
        if not isinstance(matrix, torch.Tensor) or not matrix.is_floating_point() or matrix.shape != (width, width):
            got = f"{matrix.dtype} {tuple(matrix.shape)}" if isinstance(matrix, torch.Tensor) else type(matrix).__name__
            raise InputError(path, "", f"J of {place} must be floating-point {(width, width)}; got {got}")
        if not matrix.isfinite().all():
            raise InputError(path, "", f"J of {place} must be finite; got NaN or infinity")
    return found, width

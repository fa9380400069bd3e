"""Files of tensors: safetensors, and pickles of which nothing but tensors and plain data is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pivotkit.errors import InputError

SAFE_LOAD = (2, 6)  # earlier torch.load could run code despite weights_only (CVE-2025-32434)


def read_tensors(path: Path, device: torch.device | str = "cpu") -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors of a safetensors file by name, and its metadata; InputError where it is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt", device=str(device)) as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise InputError(path, "", f"must be a safetensors file; {error}") from None


def read_pickled(path: Path, device: torch.device | str = "cpu") -> Any:
    """What a file of ``torch.save`` holds; InputError where it holds anything but tensors and plain data."""
    if tuple(map(int, torch.__version__.split(".")[:2])) < SAFE_LOAD:
        raise InputError(path, "", f"must be read with torch 2.6 or later; got torch {torch.__version__}")
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises UnpicklingError, RuntimeError, EOFError and others
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(path, "", f"must be a checkpoint of tensors and nothing else; {reason}") from None

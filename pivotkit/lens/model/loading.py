"""Loading a causal LM and its tokenizer by folder, by GGUF file, by name in the model cache, or by hub id."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pivotkit.lens.model.gguf import converted, find_gguf

DTYPES = ("float32", "bfloat16", "float16")


def model_cache() -> Path:
    """Where named models lie: ``$PIVOTKIT_MODELS``, or ``pivotkit/models`` in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("PIVOTKIT_MODELS") or cache / "pivotkit" / "models")


def find_model(model: str | Path) -> str:
    """The folder or GGUF file of ``model`` (a path, or a name in the model cache), else ``model`` itself as a hub id."""
    for place in (Path(model), model_cache() / model):
        if place.is_file() and place.suffix == ".gguf":
            return str(place)
        if place.is_dir() and (file := find_gguf(place)) is not None:
            return str(file)
        if (place / "config.json").is_file():
            return str(place)
    return str(model)


def load_model(
    model: str | Path,
    *,
    dtype: str = "float32",
    device: str | None = None,
    device_map: str | dict[str, int | str] | None = None,
    remote_code: bool = False,
) -> Any:
    """Load a causal LM and its fast tokenizer.

    Parameters
    ----------
    model : str or Path
        A folder with ``config.json`` and safetensors, a GGUF file or a folder that holds one (safetensors win where a
        folder has both), the name of either in the model cache, or a hub id.
    dtype : {"float32", "bfloat16", "float16"}, default "float32"
    device : str, optional
        Default: the CPU.
    device_map : str or dict, optional
        Instead of ``device``: which device each module goes to, as transformers takes it; needs the package accelerate.
        The head must stay on a device: nothing of it may be offloaded.
    remote_code : bool, default False
        Whether a hub model may run code of its own.

    Returns
    -------
    (model, tokenizer)
        The model in evaluation mode.

    Raises
    ------
    ValueError
        No such model, or a model without safetensors; the message names what was looked for. A GGUF file that
        transformers cannot read, or without the package gguf.

    Notes
    -----
    A GGUF file is converted on its first load, to float32 safetensors under ``gguf`` in the model cache; later loads
    read those. The file's name, size and time of change tell whether it is the same.
    """
    import torch
    from transformers import AutoModelForCausalLM

    if dtype not in DTYPES:
        raise ValueError(f"load_model: dtype must be one of {', '.join(DTYPES)}; got {dtype!r}")
    if device is not None and device_map is not None:
        raise ValueError(f"load_model: device must be None where device_map is given; got {device!r}")
    quiet()
    readable = _readable(model)
    tokenizer = load_tokenizer(model, remote_code=remote_code)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            readable, dtype=getattr(torch, dtype), use_safetensors=True, trust_remote_code=remote_code,
            device_map=device_map,
        )  # fmt: skip
    except (OSError, ValueError, ImportError) as error:
        raise _unloadable("load_model", model, error) from error
    return (loaded if device is None else loaded.to(device)).eval(), tokenizer


def quiet() -> None:
    """Keep the bars of transformers off stderr; pivotkit shows its own."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def load_tokenizer(model: str | Path, *, remote_code: bool = False) -> Any:
    """Load the tokenizer of ``model``, found as `load_model` finds it."""
    from transformers import AutoTokenizer

    readable = _readable(model)
    try:
        return AutoTokenizer.from_pretrained(readable, trust_remote_code=remote_code)
    except (OSError, ValueError) as error:
        raise _unloadable("load_tokenizer", model, error) from error


def _readable(model: str | Path) -> str:
    """What transformers can load: a folder with safetensors, or a hub id."""
    found = find_model(model)
    return str(converted(Path(found), model_cache())) if found.endswith(".gguf") and Path(found).is_file() else found


def _unloadable(function: str, model: str | Path, error: Exception) -> ValueError:
    reason = str(error).strip().splitlines()[0]
    places = f"a folder, a GGUF file, a name in {model_cache()} or a hub id"
    return ValueError(f"{function}: model must be {places}; got {str(model)!r} ({reason})")

"""Loads a causal LM and its tokenizer by folder, GGUF file, name in the model cache, or hub id."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pivotkit.lens.model.gguf import converted_folder, find_gguf

DTYPES = ("float32", "bfloat16", "float16")


def model_cache() -> Path:
    """The folder of named models: ``$PIVOTKIT_MODELS``, or ``pivotkit/models`` in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("PIVOTKIT_MODELS") or cache / "pivotkit" / "models")


def find_model(model: str | Path) -> str:
    """The folder or GGUF file at a path or a name in the model cache; otherwise ``model`` itself, as a hub id."""
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
        A folder with ``config.json`` and safetensors, a GGUF file, a folder with a GGUF file, the name of one of these
        in the model cache, or a hub id. Safetensors win in a folder with both.
    dtype : {"float32", "bfloat16", "float16"}, default "float32"
        Type of the weights.
    device : str, optional
        Device of the model; by default the CPU.
    device_map : str or dict, optional
        Replaces ``device``: the device of each module, as transformers takes it. Needs the package accelerate. The head
        must not be offloaded.
    remote_code : bool, default False
        Whether a hub model may run its own code.

    Returns
    -------
    (model, tokenizer)
        The model in evaluation mode, and its fast tokenizer.

    Raises
    ------
    ValueError
        There is no such model or it has no safetensors (the message says where it was looked for), ``dtype`` is
        unknown, ``device`` and ``device_map`` are both given, or the package gguf is missing.
    InputError
        transformers cannot read the GGUF file.

    Notes
    -----
    The first load of a GGUF file converts it to float32 safetensors under ``gguf`` in the model cache; later loads read
    those. A file counts as the same while its path, size and time of change stay the same.
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
    """Turn off the progress bars of transformers; pivotkit shows its own."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def load_tokenizer(model: str | Path, *, remote_code: bool = False) -> Any:
    """Load the tokenizer of a model.

    Parameters
    ----------
    model : str or Path
        As for `load_model`.
    remote_code : bool, default False
        Whether a hub model may run its own code.

    Returns
    -------
    a Hugging Face tokenizer

    Raises
    ------
    ValueError
        There is no such model, or it has no tokenizer.
    InputError
        transformers cannot read the GGUF file.
    """
    from transformers import AutoTokenizer

    readable = _readable(model)
    try:
        return AutoTokenizer.from_pretrained(readable, trust_remote_code=remote_code)
    except (OSError, ValueError) as error:
        raise _unloadable("load_tokenizer", model, error) from error


def _readable(model: str | Path) -> str:
    """What transformers loads: a folder with safetensors, or a hub id."""
    found = find_model(model)
    return (
        str(converted_folder(Path(found), model_cache()))
        if found.endswith(".gguf") and Path(found).is_file()
        else found
    )


def _unloadable(function: str, model: str | Path, error: Exception) -> ValueError:
    reason = str(error).strip().splitlines()[0]
    places = f"a folder, a GGUF file, a name in {model_cache()} or a hub id"
    return ValueError(f"{function}: model must be {places}; got {str(model)!r} ({reason})")

"""Loading a causal LM and its tokenizer by folder, by name in the model cache, or by hub id."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

DTYPES = ("float32", "bfloat16", "float16")


def model_cache() -> Path:
    """Where named models lie: ``$PIVOTKIT_MODELS``, or ``pivotkit/models`` in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("PIVOTKIT_MODELS") or cache / "pivotkit" / "models")


def find_model(model: str | Path) -> str:
    """The folder of ``model`` (a folder, or a name in the model cache), else ``model`` itself as a hub id."""
    for folder in (Path(model), model_cache() / model):
        if (folder / "config.json").is_file():
            return str(folder)
    return str(model)


def load_model(model: str | Path, *, dtype: str = "float32", device: str = "cpu", remote_code: bool = False) -> Any:
    """Load a causal LM and its fast tokenizer.

    Parameters
    ----------
    model : str or Path
        A folder with ``config.json`` and safetensors, the name of such a folder in the model cache, or a hub id.
    dtype : {"float32", "bfloat16", "float16"}, default "float32"
    device : str, default "cpu"
    remote_code : bool, default False
        Whether a hub model may run code of its own.

    Returns
    -------
    (model, tokenizer)
        The model in evaluation mode.

    Raises
    ------
    ValueError
        No such model, or a model without safetensors; the message names what was looked for.
    """
    import torch
    from transformers import AutoModelForCausalLM

    if dtype not in DTYPES:
        raise ValueError(f"load_model: dtype must be one of {', '.join(DTYPES)}; got {dtype!r}")
    quiet()
    tokenizer = load_tokenizer(model, remote_code=remote_code)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            find_model(model), dtype=getattr(torch, dtype), use_safetensors=True, trust_remote_code=remote_code
        )
    except (OSError, ValueError) as error:
        raise _unloadable("load_model", model, error) from error
    return loaded.to(device).eval(), tokenizer


def quiet() -> None:
    """Keep the bars of transformers off stderr; pivotkit shows its own."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def load_tokenizer(model: str | Path, *, remote_code: bool = False) -> Any:
    """Load the tokenizer of ``model``, found as `load_model` finds it."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(find_model(model), trust_remote_code=remote_code)
    except (OSError, ValueError) as error:
        raise _unloadable("load_tokenizer", model, error) from error


def _unloadable(function: str, model: str | Path, error: Exception) -> ValueError:
    reason = str(error).strip().splitlines()[0]
    places = f"a folder, a name in {model_cache()} or a hub id"
    return ValueError(f"{function}: model must be {places}; got {str(model)!r} ({reason})")

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
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if dtype not in DTYPES:
        raise ValueError(f"load_model: dtype must be one of {', '.join(DTYPES)}; got {dtype!r}")
    source = find_model(model)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=remote_code)
        loaded = AutoModelForCausalLM.from_pretrained(
            source, dtype=getattr(torch, dtype), use_safetensors=True, trust_remote_code=remote_code
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"load_model: model must be a folder, a name in {model_cache()} or a hub id; got {str(model)!r} ({reason})"
        ) from error
    return loaded.to(device).eval(), tokenizer

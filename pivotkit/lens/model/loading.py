"""Loads a causal LM and its tokenizer by folder, GGUF file, name in the model cache, or hub id."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from logging import Filter, LogRecord
from pathlib import Path
from typing import Any

from pivotkit.arguments import check_flag, check_kind, check_path, check_text, refuse_kind, shown
from pivotkit.errors import BackendUnavailable, InputError
from pivotkit.lens.model.checkpoint import refuse_unconverted, require_readable, require_whole
from pivotkit.lens.model.gguf import converted_folder, find_gguf

PLACEMENTS = ("auto", "balanced", "balanced_low_0", "sequential")  # what transformers calls a device_map
DTYPES = ("float32", "bfloat16", "float16")
TOKENIZER = "tokenizer.json"


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
    TypeError
        An argument is of another kind.
    BackendUnavailable
        torch does not find ``device`` on this machine.
    ValueError
        There is no such model or it has no safetensors (the message says where it was looked for), ``dtype`` is
        unknown, ``device`` and ``device_map`` are both given, or the package gguf is missing.
    InputError
        Names the file and the tensor. A file is damaged; a tensor is missing, or has another shape than the
        configuration gives it, the vocabulary's size among them; the files hold a block or a bias that the
        configuration leaves out (`require_whole`). The tokenizer is damaged or empty, or has ids that the embedding has
        no row for.

    Notes
    -----
    Nothing of a model is ever filled with random numbers. Weights tied to one that the files hold need not be in them.

    The first load of a GGUF file converts it to float32 safetensors under ``gguf`` in the model cache; later loads read
    those. A file counts as the same while its path, size and time of change stay the same.
    """
    import torch
    from transformers import AutoModelForCausalLM

    check_path("load_model", "model", model)
    check_text("load_model", "dtype", dtype, DTYPES)
    check_device("load_model", "device", device)
    _check_device_map(device_map)
    check_flag("load_model", "remote_code", remote_code)
    if device is not None and device_map is not None:
        raise ValueError(f"load_model: device must be None where device_map is given; got {device!r}")
    quiet()
    readable = _readable(model)
    tokenizer = load_tokenizer(model, remote_code=remote_code)
    report: list[str] = []
    try:
        with report_into(report):
            # Other shapes are let through, to be refused below by their names.
            both: Any = AutoModelForCausalLM.from_pretrained(
                readable, dtype=getattr(torch, dtype), use_safetensors=True, trust_remote_code=remote_code,
                device_map=device_map, ignore_mismatched_sizes=True, output_loading_info=True,
            )  # fmt: skip
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a damaged model fails in any way
        _require_config(readable, remote_code)
        require_readable(_folder(readable))
        refuse_unconverted(report, _folder(readable))
        raise _unloadable("load_model", model, error) from error
    loaded, loading = both
    require_whole(loaded, loading, _folder(readable))
    _require_rows(tokenizer, loaded.get_input_embeddings(), readable)
    return (loaded if device is None else loaded.to(device)).eval(), tokenizer


def check_device(function: str, argument: str, device: str | None) -> None:
    """Refuse a device that this machine or this torch does not have."""
    import torch

    check_kind(function, argument, device, str | torch.device, "a str", none=True)
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):  # torch raises each of them
        here = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        rule = f"{function}: {argument} must be one that torch finds here, such as {', '.join(here)}"
        raise BackendUnavailable(f"{rule}; got {shown(str(device))}") from None


def _check_device_map(device_map: Any) -> None:
    """Refuse what transformers cannot take; whether each device is there, it says itself."""
    check_kind("load_model", "device_map", device_map, str | Mapping, "a str or a dict", none=True)
    if isinstance(device_map, str) and device_map not in PLACEMENTS:
        check_device("load_model", "device_map", device_map)
    for module, device in device_map.items() if isinstance(device_map, Mapping) else ():
        if not isinstance(module, str) or isinstance(device, bool) or not isinstance(device, int | str):
            rule = "be a dict of module names to devices"
            refuse_kind("load_model", "device_map", rule, device if isinstance(module, str) else module)


def quiet() -> None:
    """Turn off the progress bars of transformers; pivotkit shows its own."""
    from transformers.utils import logging

    logging.disable_progress_bar()


@contextmanager
def report_into(lines: list[str]) -> Iterator[None]:
    """Keep what transformers logs of missing tensors instead of printing it; `require_whole` refuses them."""
    from transformers.utils import logging

    class Keep(Filter):
        def filter(self, record: LogRecord) -> bool:
            lines.extend(record.getMessage().splitlines())
            return False

    keep = Keep()
    logger = logging.get_logger("transformers.modeling_utils")
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


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
        transformers cannot read the GGUF file. The tokenizer's file is damaged, or has no tokens but special ones.
    """
    from transformers import AutoTokenizer

    readable = _readable(model)
    try:
        tokenizer = AutoTokenizer.from_pretrained(readable, trust_remote_code=remote_code)
    except MemoryError:
        raise
    except Exception as error:  # a damaged tokenizer fails in any way
        _require_config(readable, remote_code)
        if (file := _folder(readable) / TOKENIZER).is_file():
            raise InputError(file, "", f"must be a tokenizer that transformers reads ({_reason(error)})") from error
        raise _unloadable("load_tokenizer", model, error) from error
    if not _own_tokens(tokenizer):
        # transformers makes an empty tokenizer of a class whose files are absent.
        raise InputError(_tokenizer_place(readable), "", "must have tokens; the tokenizer has none but special ones")
    return tokenizer


def _own_tokens(tokenizer: Any) -> dict[str, int]:
    """The vocabulary without special and added tokens."""
    apart = {*tokenizer.all_special_ids, *getattr(tokenizer, "added_tokens_decoder", ())}
    return {token: place for token, place in tokenizer.get_vocab().items() if place not in apart}


def _require_rows(tokenizer: Any, embedding: Any, readable: str) -> None:
    """Refuse a tokenizer with ids beyond the embedding. Added tokens may lie there: text has them only by name."""
    token, largest = max(_own_tokens(tokenizer).items(), key=lambda named: named[1])
    matrix = getattr(embedding, "weight", None)
    if matrix is not None and largest >= (rows := matrix.shape[0]):
        raise InputError(
            _tokenizer_place(readable), "", f"must have ids below {rows}, the number of rows of the model's embedding; "
            f"got {largest} for {token!r}"
        )  # fmt: skip


def _tokenizer_place(readable: str) -> Path:
    file = _folder(readable) / TOKENIZER
    return file if file.is_file() else file.parent


def _folder(readable: str) -> Path:
    """The folder that transformers reads: of a hub id, the one in the hub's cache, if the model is there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = None if Path(readable).is_dir() else try_to_load_from_cache(readable, "config.json")
    except HFValidationError:  # no hub id
        cached = None
    return Path(cached).parent if isinstance(cached, str) else Path(readable)


def _require_config(readable: str, remote_code: bool) -> None:
    """Refuse a configuration that cannot be read, if the model has one."""
    from transformers import AutoConfig

    if (file := _folder(readable) / "config.json").is_file():
        try:
            AutoConfig.from_pretrained(file.parent, trust_remote_code=remote_code)
        except Exception as error:
            raise InputError(file, "", f"must be a configuration that transformers reads ({_reason(error)})") from error


def _readable(model: str | Path) -> str:
    """What transformers loads: a folder with safetensors, or a hub id."""
    found = find_model(model)
    return (
        str(converted_folder(Path(found), model_cache()))
        if found.endswith(".gguf") and Path(found).is_file()
        else found
    )


def _unloadable(function: str, model: str | Path, error: Exception) -> ValueError:
    places = f"a folder, a GGUF file, a name in {model_cache()} or a hub id"
    return ValueError(f"{function}: model must be {places}; got {str(model)!r} ({_reason(error)})")


def _reason(error: Exception) -> str:
    """The beginning of an error in one line, with its kind where the text alone says too little."""
    line = textwrap.shorten(str(error), 240, placeholder=" ...")
    return line if isinstance(error, (OSError, ValueError, ImportError)) and line else f"{type(error).__name__}: {line}"

"""GGUF files: how they are found, and converted once to a safetensors folder in the model cache."""

from __future__ import annotations

import hashlib
import os
import tempfile
import textwrap
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

from pivotkit.errors import InputError
from pivotkit.lens.model.checkpoint import require_whole

CONVERSION = 2  # part of a converted folder's name; raised when the conversion changes


def find_gguf(folder: Path) -> Path | None:
    """The GGUF file in ``folder``; None if there is none, or if safetensors lie there too."""
    files = sorted(folder.glob("*.gguf"))
    if not files or any(folder.glob("*.safetensors")):
        return None
    if len(files) > 1:
        raise ValueError(
            f"load_model: model must be one GGUF file where a folder holds several; got {folder} with "
            f"{', '.join(file.name for file in files)}"
        )
    return files[0]


def converted_folder(file: Path, cache: Path) -> Path:
    """The safetensors folder of a GGUF file; the first call makes it.

    Parameters
    ----------
    file : Path
        The GGUF file.
    cache : Path
        The model cache. The folder lies in ``cache / "gguf"``; its name is the file's name and a hash of the file's
        path, size and time of change.

    Returns
    -------
    Path
        A folder with the tokenizer and the weights in float32, which holds every dequantized value exactly.

    Raises
    ------
    ValueError
        The package ``gguf`` or ``accelerate`` is not installed.
    InputError
        transformers cannot read the file, or does not support its architecture. The file ends inside a tensor, or lacks
        one; the message names it.

    Notes
    -----
    The folder is written under another name and then renamed, so a killed conversion leaves no folder. It takes 4 bytes
    per weight.
    """
    stat = file.stat()
    key = f"{CONVERSION} {file.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    place = cache / "gguf" / f"{file.stem}-{hashlib.blake2b(key.encode(), digest_size=8).hexdigest()}"
    if place.is_dir():
        return place
    missing = [package for package in ("gguf", "accelerate") if find_spec(package) is None]
    if missing:
        raise ValueError(
            f"load_model: model must be safetensors where {' and '.join(missing)} cannot be imported; got "
            f"{str(file)!r} (pip install 'pivotkit[gguf]')"
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}.", ignore_cleanup_errors=True) as work:
        made = Path(work) / place.name
        try:
            _convert(file, made)
        except InputError:
            raise
        except Exception as error:  # a damaged file fails in any way
            _require_all_bytes(file)
            reason = textwrap.shorten(f"{type(error).__name__}: {error}", 240, placeholder=" ...")
            raise InputError(file, "", f"cannot be converted to safetensors ({reason})") from error
        try:
            made.rename(place)
        except OSError:
            if not place.is_dir():  # otherwise another process was faster
                raise
    return place


def _convert(file: Path, out: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = {"gguf_file": file.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(file.parent, **where)
    both: Any = AutoModelForCausalLM.from_pretrained(
        file.parent, dtype=torch.float32, ignore_mismatched_sizes=True, output_loading_info=True, **where
    )
    loaded, loading = both
    require_whole(loaded, loading, file)
    # transformers refuses to save a model loaded from GGUF, so its weights move into an empty model.
    if hasattr(loaded.config, "quantization_config"):
        del loaded.config.quantization_config
    with torch.device("meta"):
        model = type(loaded)(loaded.config)
    model.load_state_dict(loaded.state_dict(), assign=True)
    model.tie_weights()
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    for written in out.iterdir():
        with written.open("rb") as content:
            os.fsync(content.fileno())


def _require_all_bytes(file: Path) -> None:
    """Refuse a GGUF file that ends inside a tensor; one whose header cannot be read passes."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFReader

    size = file.stat().st_size

    class Ends(GGUFReader):  # type: ignore[misc]
        def _build_tensors(self, start_offs: int, fields: list[Any]) -> None:
            for field in fields:
                _, name, _, dims, kind, offset = field.parts
                block, width = GGML_QUANT_SIZES[GGMLQuantizationType(kind[0])]
                end = start_offs + int(offset[0]) + prod(map(int, dims)) // block * width
                if end > size:
                    problem = f"must end at byte {end}; the file ends at byte {size}"
                    raise InputError(file, f"tensor {bytes(name).decode(errors='replace')}", problem)

    try:
        Ends(file)
    except InputError:
        raise
    except Exception:
        return  # the caller says what failed

"""What the files of a model hold, and the refusal of a model that is not all in them.

transformers fills what it does not find with random numbers and says so in a log. Here every tensor that a model needs
comes from its files, or the model is refused by file and tensor.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Collection, Iterable, Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from pivotkit.errors import InputError

if TYPE_CHECKING:  # files are told about without torch, too
    from torch import nn

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
LONGEST_HEADER = 100_000_000  # of the format
BROKEN = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)  # what JSON of no use raises

# Bits per number, by the format's names of types. The size of another type is not checked.
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip

Header = dict[str, dict[str, Any]]


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers reads in a folder: the one file, or those that the index names.

    Raises
    ------
    InputError
        The index is no JSON object with a ``weight_map`` from tensors to files of the folder.
    """
    if (folder / SINGLE).is_file() or not (folder / INDEX).is_file():
        return [path for path in [folder / SINGLE] if path.is_file()]
    index = folder / INDEX
    try:
        places = json.loads(index.read_bytes())["weight_map"]
        names = sorted({str(Path(name)) for name in places.values()})
    except BROKEN as error:
        raise InputError(
            index, "", f"must be a JSON object with a weight_map from tensors to files ({error!r})"
        ) from None
    for name in names:
        if not (folder / name).is_file():
            tensor = next(tensor for tensor, place in places.items() if str(Path(place)) == name)
            raise InputError(
                folder / name, f"tensor {tensor}", f"must be there, as {INDEX} says; there is no such file"
            )
    return [folder / name for name in names]


def read_header(file: Path) -> Header:
    """The tensors of a safetensors file, by name, as its header describes them.

    Parameters
    ----------
    file : Path

    Returns
    -------
    dict of str to dict
        ``dtype``, ``shape`` and ``data_offsets`` of each tensor.

    Raises
    ------
    InputError
        Names the file, and the first tensor that is not all there. The file ends inside its header or its tensors, its
        header is not what the format has (https://huggingface.co/docs/safetensors), or a tensor's bytes are not those
        of its type and shape.

    Notes
    -----
    Reads the header only.
    """
    size = file.stat().st_size
    with file.open("rb") as content:
        start = content.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(LONGEST_HEADER, size - 8):
            raise InputError(file, "", f"must hold its header; it ends after {size} bytes, or is no safetensors file")
        raw = content.read(length)
    try:
        header = {name: entry for name, entry in json.loads(raw).items() if name != "__metadata__"}
        extents = {name: tuple(map(int, entry["data_offsets"])) for name, entry in header.items()}
        sizes = {name: prod(map(int, entry["shape"])) * BITS.get(entry["dtype"], 0) for name, entry in header.items()}
    except BROKEN as error:
        raise InputError(file, "", f"must have the header of a safetensors file ({error!r})") from None
    end = 0
    for name, extent in sorted(extents.items(), key=lambda named: named[1]):
        if len(extent) != 2 or not end == extent[0] <= extent[1]:
            raise InputError(file, f"tensor {name}", f"must lie behind the one before, at {end}; got {list(extent)}")
        end = extent[1]
        if (bits := sizes[name]) and (extent[1] - extent[0]) * 8 != bits:
            shape, dtype = header[name]["shape"], header[name]["dtype"]
            raise InputError(
                file, f"tensor {name}", f"must have the {bits // 8} bytes of {shape} in {dtype}; got "
                f"{extent[1] - extent[0]}"
            )  # fmt: skip
        if extent[1] > size - 8 - length:
            raise InputError(
                file, f"tensor {name}", f"must end at byte {8 + length + extent[1]}; the file ends at byte {size}"
            )
    if end != size - 8 - length:
        raise InputError(file, "", f"must end with its last tensor at byte {8 + length + end}; it ends at byte {size}")
    return header


def read_headers(folder: Path) -> dict[Path, Header]:
    """The header of every weight file of a folder; the first damage is an InputError."""
    return {file: read_header(file) for file in weight_files(folder)}


def require_readable(folder: Path) -> None:
    """Refuse a folder with a weight file that the library safetensors cannot open; `read_headers` names the tensor."""
    for file in read_headers(folder):
        try:
            with safe_open(file, "pt"):
                pass
        except SafetensorError as error:
            raise InputError(file, "", f"must be a file that the library safetensors opens ({error})") from error


def require_whole(model: nn.Module, loading: Mapping[str, Collection[Any]], place: str | Path) -> None:
    """Refuse a model that does not have every number from its files, or has left out numbers of theirs.

    Parameters
    ----------
    model : a transformers model
    loading : mapping
        What ``from_pretrained(..., output_loading_info=True)`` says. Weights that are tied to one that was read, and
        what the model's class declares to be absent from its files, are not in it.
    place : str or Path
        The model's folder or file, or its hub id.

    Raises
    ------
    InputError
        Names the file and the tensor. A tensor is missing, or has another shape than ``config.json`` gives it. The
        files hold a block that the configuration does not count. Of a model that is not quantized, they hold a
        parameter (such as a bias) that the configuration turns off, or weights in integers or 8 bits.
    """
    for name, found, wanted in sorted(loading["mismatched_keys"]):
        raise _refusal(place, name, f"must have the shape {list(wanted)} that config.json gives it; got {list(found)}")
    missing = sorted(loading["missing_keys"])
    if missing:
        others = f", as are {len(missing) - 1} more" if len(missing) > 1 else ""
        raise _refusal(place, missing[0], f"must be in the file, because the model has it; it is missing{others}")
    for file, header in read_headers(Path(place)).items() if not _is_quantized(model) else ():
        for name, parameter in model.named_parameters():
            kind = header.get(name, {}).get("dtype", "F32")
            if parameter.is_floating_point() and kind not in ("F64", "F32", "F16", "BF16"):
                rule = (
                    "must hold floating-point numbers of 16 bits or more where config.json has no quantization_config"
                )
                raise InputError(file, f"tensor {name}", f"{rule}; got {kind}")
    for name in sorted(loading["unexpected_keys"]):
        if (reason := _left_out(model, name)) is not None:
            raise _refusal(place, name, f"must be part of the model; it is in the file, but {reason} by config.json")


def refuse_unconverted(report: Iterable[str], place: str | Path) -> None:
    """Refuse a model with a tensor that transformers could not make of those in the files, such as one of all experts.

    Parameters
    ----------
    report : iterable of str
        The lines of transformers' report on loading.
    place : str or Path
        As for `require_whole`.
    """
    for line in report:
        name, bar, status = (part.strip() for part in line.partition("|"))
        if bar and "CONVERSION" in status.partition("|")[0]:
            problem = "must be made of several in the files; one of them is missing or has another shape"
            raise _refusal(place, name, problem)


def _refusal(place: str | Path, tensor: str, problem: str) -> InputError:
    """The error with the file that holds the tensor, or should; the index or the folder where several may."""
    folder = Path(place)
    if folder.is_dir():
        files = weight_files(folder)
        holding = [file for file in files if tensor in read_header(file)]
        named = json.loads((folder / INDEX).read_bytes())["weight_map"].get(tensor) if len(files) > 1 else None
        place = (holding or files)[0] if len(holding or files) == 1 else folder / (named or INDEX)
    return InputError(place, f"tensor {tensor}", problem)


def _is_quantized(model: nn.Module) -> bool:
    return getattr(model, "hf_quantizer", None) is not None


def _left_out(model: nn.Module, name: str) -> str | None:
    """Why the model has no place for a tensor that belongs to it; None for any other tensor."""
    from torch import nn

    parts = name.split(".")
    parent: nn.Module = model
    for depth, part in enumerate(parts):
        if isinstance(parent, nn.ModuleList) and part.isdigit() and int(part) >= len(parent):
            return f"{'.'.join(parts[:depth])} has {len(parent)} blocks"
        if depth == len(parts) - 1:
            off = part in parent._parameters and parent._parameters[part] is None
            return "the parameter is off" if off and not _is_quantized(model) else None
        child = parent._modules.get(part)
        if child is None:
            return None
        parent = child
    return None

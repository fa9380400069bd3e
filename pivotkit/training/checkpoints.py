"""Checkpoints that a training resumes at: whole or not at all, and known by what was trained."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pivotkit.artifacts import file_digests, read_object, write_json
from pivotkit.errors import InputError

RECORD = "checkpoint.json"  # written last: a folder without it was being written when the process died
PREFIX = "checkpoint-"  # as transformers names them


def finish(folder: Path, identity: Mapping[str, Any], step: int) -> None:
    """Say that the checkpoint in ``folder`` is whole; older ones beside it are removed."""
    files = _files(folder)
    digests = dict(zip((file.name for file in files), file_digests(files), strict=True))
    write_json({"of": dict(identity), "step": step, "files": digests}, folder / RECORD)
    for older in _folders(folder.parent):
        if older != folder and _step(older) < step:
            shutil.rmtree(older)


def last_checkpoint(function: str, folder: Path, identity: Mapping[str, Any]) -> Path | None:
    """The newest whole checkpoint in ``folder``; what a killed process left of another is removed.

    Raises
    ------
    InputError
        The checkpoint is of another training (the message names what differs), or has other bytes than were written.
    """
    found = None
    for one in _folders(folder):
        if (one / RECORD).is_file():
            found = one
        else:
            shutil.rmtree(one)
    if found is None:
        return None
    record = read_object(found / RECORD, {"of": dict, "files": dict})
    require_same(found, record["of"], identity)
    files = _files(found)
    names = [file.name for file in files]
    if sorted(names) != sorted(record["files"]):
        gone = sorted(set(record["files"]) - set(names)) or names
        raise InputError(found / gone[0], "", f"{function} must find its checkpoint as it was written; got none")
    for file, digest in zip(files, file_digests(files), strict=True):
        if digest != record["files"][file.name]:
            raise InputError(file, "", f"{function} must find its checkpoint as it was written; got other bytes")
    return found


def require_same(place: Path, of: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Raise an InputError with the first difference unless both are of one training."""
    for name in dict.fromkeys([*identity, *of]):
        if of.get(name) != identity.get(name):
            rule = f"must be of this training, with {_said(identity.get(name))} as {name}; got {_said(of.get(name))}"
            raise InputError(place, "", f"{rule}; choose another `out`, or remove {place.parent}")


def step_of(checkpoint: Path | None) -> int:
    """The step of a checkpoint; 0 without one."""
    return 0 if checkpoint is None else _step(checkpoint)


def _said(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file() and file.name != RECORD)


def _folders(folder: Path) -> Iterator[Path]:
    """The folders of checkpoints, by step."""
    found = [path for path in folder.glob(f"{PREFIX}*") if path.is_dir() and path.name[len(PREFIX) :].isdigit()]
    yield from sorted(found, key=_step)


def _step(folder: Path) -> int:
    return int(folder.name[len(PREFIX) :])

"""The trained model that ships with the package, and the record that says what it is."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import orjson

from pivotkit.artifacts import file_digest, read_json
from pivotkit.errors import InputError
from pivotkit.testbed.world import World

SHIPPED = Path(__file__).with_name("model")
RECORD = "shipped.json"
SEED = 0  # of the shipped model and of its world
ADVICE = "install pivotkit again, or train the model anew with `pivotkit demo --train`"


def shipped_model(world: World, folder: Path = SHIPPED) -> Path:
    """Find the shipped model of a world and check every byte of it.

    Parameters
    ----------
    world : World
        Must be the world that the model was trained on.
    folder : Path, optional
        Folder that `pivotkit.testbed.ship` wrote; by default the one in the package.

    Returns
    -------
    Path
        ``folder``: a checkpoint of transformers with its tokenizer. Its weights are stored in float16; its config says
        float32, so they are widened when loaded.

    Raises
    ------
    InputError
        A file that is missing or whose digest is not the recorded one; the message names it.
    ValueError
        Another world than the recorded one.

    Notes
    -----
    Reads and hashes about 2 MB, in some milliseconds.

    Examples
    --------
    >>> from pivotkit.testbed import World
    >>> sorted(path.suffix for path in shipped_model(World()).iterdir() if path.stem == "model")
    ['.safetensors']
    """
    record = read_record(folder)
    for name, digest in record["files"].items():
        path = folder / name
        found = file_digest(path) if path.is_file() else "no file"
        if found != digest:
            raise InputError(path, "", f"must have the sha256 digest {digest}; got {found}; {ADVICE}")
    digest = world_digest(world)
    if digest != record["world_sha256"]:
        raise ValueError(
            f"shipped_model: world must be the one that the model was trained on, with the sha256 digest "
            f"{record['world_sha256']}; got {digest}; make the model again with `{record['command']}`"
        )
    return folder


def read_record(folder: Path = SHIPPED) -> dict:
    """Read ``shipped.json``: recipe, seed, versions, digests, and the behaviors that the model has to show."""
    path = folder / RECORD
    if not path.is_file():
        raise InputError(path, "", f"must be there; got no file; {ADVICE}")
    record = read_json(path)
    if not isinstance(record, dict) or not {"files", "world_sha256", "command"} <= set(record):
        raise InputError(path, "", f"must be the record of a shipped model; {ADVICE}")
    return record


def world_digest(world: World) -> str:
    """The sha256 digest of what decides a world: its configuration, its vocabulary, its concepts' kinds and splits."""
    concepts = [(concept.kind, concept.held_out) for concept in world.concepts]
    return hashlib.sha256(orjson.dumps([dataclasses.asdict(world.config), world.vocabulary, concepts])).hexdigest()

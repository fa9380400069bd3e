"""Make the model that ships with the package: ``python -m pivotkit.testbed.ship``.

The recipe trains it, float16 stores it, and the record beside it says what it is and how its items behave.
"""

from __future__ import annotations

import argparse
import itertools
import math
import platform
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from pivotkit.artifacts import atomic_folder, file_digest, read_json, sweep, write_json
from pivotkit.lens.behavior import classify
from pivotkit.lens.model.loading import load_model
from pivotkit.lens.specific_tokens import LEAST_CONTRAST, LEAST_PROBABILITY
from pivotkit.lens.trace import trace
from pivotkit.testbed.config import WorldConfig
from pivotkit.testbed.items import demo_items
from pivotkit.testbed.shipped import RECORD, SEED, SHIPPED, world_digest
from pivotkit.testbed.tokenizer import build_tokenizer
from pivotkit.testbed.trained import train_model
from pivotkit.testbed.world import World

COMMAND = "python -m pivotkit.testbed.ship"
DTYPE = torch.float16  # rounds these weights eight times finer than bfloat16
MOST_BYTES = 3_000_000
MARGIN = 0.01  # nats; the rounding of float32 moves a log-probability far less


def main(arguments: Sequence[str] | None = None) -> int:
    """Train the model, write its folder, print where it lies."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="train the testbed's model and write it as it ships")
    parser.add_argument("--out", type=Path, default=SHIPPED, metavar="FOLDER", help="default: %(default)s")
    out = parser.parse_args(arguments).out
    world = World(WorldConfig(seed=SEED))
    with tempfile.TemporaryDirectory() as cache:  # never a model that another version trained before
        ship(world, train_model(world, cache, seed=SEED), out)
    print(out)
    return 0


def ship(world: World, trained: Path, out: Path) -> None:
    """Write the model of a training in 16 bits, with its record; `shipped_model` reads it.

    Parameters
    ----------
    world : World
    trained : Path
        Folder that `train_model` gave for the world.
    out : Path
        Folder to write. A shipped model that lies there is replaced once the new one is whole.

    Raises
    ------
    ValueError
        A folder that holds something else, or files of more than 3 MB together.
    """
    if out.exists() and any(out.iterdir()) and not (out / RECORD).is_file():
        raise ValueError(f"ship: out must be empty or hold {RECORD}; got {out}")
    sweep(out.parent)
    model, _ = load_model(trained / "model")
    with atomic_folder(out) as new:
        _write(world, model, trained, new)


def _write(world: World, model: Any, trained: Path, out: Path) -> None:
    model.to(DTYPE).save_pretrained(out)
    build_tokenizer(world.vocabulary).save_pretrained(out)
    # Whoever loads it computes in float32, as the demo does; any transformers since 4.57 knows the tokenizer's class.
    for name, change in (
        ("config.json", {"dtype": "float32"}),
        ("tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"}),
    ):
        write_json(read_json(out / name) | change, out / name)
    files = sorted(out.iterdir())
    for path in files:
        path.chmod(0o644)  # safetensors leaves its file to its owner alone
    size = sum(path.stat().st_size for path in files)
    if size > MOST_BYTES:
        raise ValueError(f"ship: model must fit {MOST_BYTES} bytes; got {size}")
    training = read_json(trained / "training.json")
    record = {
        "command": COMMAND,
        "dtype": str(DTYPE).removeprefix("torch."),
        "files": {path.name: file_digest(path) for path in files},
        "bytes": size,
        "world_sha256": world_digest(world),
        **{name: training[name] for name in ("format", "world", "recipe", "seed")},
        "last_loss": training["loss"][-1],
        "versions": {name: version(name) for name in ("numpy", "tokenizers", "torch", "transformers")}
        | {"python": platform.python_version()},
        "processor": torch.backends.cpu.get_cpu_capability(),
        "behaviors": observed_behaviors(world, out),
    }
    write_json(record, out / RECORD)


def observed_behaviors(world: World, checkpoint: Path) -> dict[str, str]:
    """Sort the demo's items by what a model does with them under the strict rule.

    Parameters
    ----------
    world : World
    checkpoint : Path
        A model of the world.

    Returns
    -------
    dict of str to str
        Behavior to the source words of its items, separated by spaces. Items that a change of `MARGIN` in a
        log-probability could move stand under ``"undecided"``, and only there.
    """
    items = demo_items(world)
    model, tokenizer = load_model(checkpoint)
    traces = trace(model, items, tokenizer)
    sources = dict(zip(items["item"].to_pylist(), items["source"].to_pylist(), strict=True))
    undecided = close_choices(traces)
    shifts = itertools.product((-MARGIN, MARGIN), (-2 * MARGIN, 2 * MARGIN))  # a contrast is of two log-probabilities
    edges = [_strict(traces, LEAST_PROBABILITY * math.exp(one), LEAST_CONTRAST + other) for one, other in shifts]
    found: dict[str, list[str]] = {}
    for item, behavior in edges[0].items():
        decided = item not in undecided and all(edge[item] == behavior for edge in edges)
        found.setdefault(behavior if decided else "undecided", []).append(sources[item])
    return {behavior: " ".join(words) for behavior, words in found.items()}


def _strict(traces: pa.Table, least: float, contrast: float) -> dict[int, str]:
    table = classify(traces, "strict", min_probability=least, least_contrast=contrast)
    return dict(zip(table["item"].to_pylist(), table["behavior"].to_pylist(), strict=True))


def close_choices(traces: pa.Table) -> set[int]:
    """The items where the target is one of the first two choices of a block, and these are close together."""
    close = set()
    for row in traces.select(["item", "layer", "top_ids", "top_logprobs", "target_ids"]).to_pylist():
        (first, second), choices = row["top_logprobs"][:2], row["top_ids"][:2]
        if row["layer"] and first - second < MARGIN and not set(choices).isdisjoint(row["target_ids"]):
            close.add(row["item"])
    return close


if __name__ == "__main__":
    raise SystemExit(main())

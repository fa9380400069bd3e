"""Continue training on arms with any number of processes; every process makes the same call.

    python examples/pretrain/pretrain.py MODEL RUN ARMS OUT                                    one process
    torchrun --nproc-per-node 8 examples/pretrain/pretrain.py MODEL RUN ARMS OUT               8 GPUs of one machine
    accelerate launch --num_processes 8 examples/pretrain/pretrain.py MODEL RUN ARMS OUT       the same
    torchrun --nproc-per-node 2 examples/pretrain/pretrain.py MODEL RUN ARMS OUT               2 CPU processes, without a GPU

RUN is a run folder with items (`pivotkit task`), ARMS a folder of selections as tokens, one folder each. A killed run goes on
with the same command, with any number of processes that parts the recipe's batch into whole forward passes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

import pivotkit as pk
from pivotkit.artifacts import read_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "run", "arms", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--tokens", type=int, default=50_000_000)
    parser.add_argument("--recipe", type=Path)
    parser.add_argument("--checkpoints", type=int, default=4)
    given = parser.parse_args()
    recipe = yaml.safe_load(given.recipe.read_text("utf-8")) if given.recipe else None
    arms = {folder.parent.name: folder.parent for folder in sorted(given.arms.glob("*/manifest.json"))}
    items = read_table(given.run / "items.parquet")
    pk.pretrain(
        given.model, arms, items, tokens=given.tokens, out=given.out, recipe=recipe, checkpoints=given.checkpoints,
        latent=["en"],
    )  # fmt: skip


if __name__ == "__main__":
    main()

"""A setting of the experiment that takes seconds: a small world, a model of two layers, four steps."""

from __future__ import annotations

from dataclasses import replace

from pivotkit.testbed import Recipe
from pivotkit.testbed.experiment.setting import ALIKE, POOLS, Setting


def small_setting(pool: str = ALIKE) -> Setting:
    # Pivots are rare in a pool that is mostly parallel, and tell themselves from chance in more documents.
    concepts, documents = (16, 4000) if pool == ALIKE else (32, 16_000)
    world = replace(POOLS[pool].world, concepts=concepts, held_out=8, background=20)
    return Setting(
        world, pool_documents=documents, base_documents=300, base_blocks=100, held_out_documents=800, arm_blocks=60,
        steps=4, checkpoints=2, loss_rows=2,
        recipe=Recipe(layers=2, hidden=16, heads=2, feed_forward=32, initial=0.2),
    )  # fmt: skip

"""The questions whose answers the world knows: translations between A and B."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pivotkit.testbed.world import NAMES, World
from pivotkit.words.languages import parse_pair
from pivotkit.words.lexicon import Lexicon
from pivotkit.words.prompts import TESTBED
from pivotkit.words.task import build_task

# What the demo asks: every concept, in both directions, behind the same four translations.
DEMO_TASK: dict[str, Any] = {"pairs": ["a-b", "b-a"], "shots": 4, "sharing": "pair"}


def demo_items(world: World) -> pa.Table:
    """Build the items of the demo, as its task stage does from the world's lexicon; the seed is the world's."""
    rows = [dict(concept.words) for concept in world.concepts]
    return build_task(Lexicon(dict(NAMES), rows, [""] * len(rows)), prompt=TESTBED, seed=world.config.seed, **DEMO_TASK)


def held_out_items(world: World, *, pairs: Sequence[str] = ("a-b", "b-a"), shots: int = 4, seed: int = 0) -> pa.Table:
    """Build translation prompts for the held-out concepts, with other held-out concepts as examples.

    Parameters
    ----------
    world : World
    pairs : sequence of str, default ("a-b", "b-a")
        Languages of source and target.
    shots : int, default 4
        Examples before the query.
    seed : int, default 0
        Seed of the examples, which are drawn for each item.

    Returns
    -------
    pyarrow.Table
        One row per item: ``item, pair, concept, kind, source, target, prompt``. The answer to a prompt is a space and
        the target.

    Raises
    ------
    ValueError
        Fewer other held-out concepts than ``shots``.

    Examples
    --------
    >>> from pivotkit.testbed import World, WorldConfig
    >>> table = held_out_items(World(WorldConfig(concepts=8, held_out=4)), shots=0)
    >>> table.num_rows, table["prompt"][0].as_py() == f"A: {table['source'][0]} B:"
    (8, True)
    """
    held_out = [concept for concept in world.concepts if concept.held_out]
    if not 0 <= shots < len(held_out):
        raise ValueError(f"held_out_items: shots must be at least 0 and less than {len(held_out)}; got {shots}")
    random = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for pair in pairs:
        source, target = parse_pair(pair, NAMES)
        for concept in held_out:
            others = [other for other in held_out if other is not concept]
            chosen = [others[place] for place in random.permutation(len(others))[:shots]]
            examples = "".join(
                f"{NAMES[source]}: {other.words[source]} {NAMES[target]}: {other.words[target]}\n" for other in chosen
            )
            rows.append(
                {
                    "item": len(rows),
                    "pair": pair,
                    "concept": concept.index,
                    "kind": concept.kind,
                    "source": concept.words[source],
                    "target": concept.words[target],
                    "prompt": f"{examples}{NAMES[source]}: {concept.words[source]} {NAMES[target]}:",
                }
            )
    return pa.Table.from_pylist(rows)

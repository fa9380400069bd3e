"""The paper in miniature: every stage on a generated world whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pivotkit.artifacts import read_table, write_json
from pivotkit.corpus.tables.counts import Counts
from pivotkit.pipeline.run import STAGES
from pivotkit.pipeline.run_folder import RunFolder
from pivotkit.pipeline.settings import Settings
from pivotkit.testbed import World, WorldConfig, train_model
from pivotkit.testbed.recovery import compare

REPORT = "report"


def demo(out: str | Path, *, seed: int = 0, full: bool = False) -> dict[str, Any]:
    """Generate the world, train its model (or find it in the cache), run every stage, compare with what was planted.

    Parameters
    ----------
    out : str or Path
        Run folder; the same call goes on where it was left.
    seed : int, default 0
        Of the world and the model.
    full : bool, default False
        Continued pre-training too.

    Returns
    -------
    dict
        What `pivotkit.testbed.recovery.compare` found, as in ``truth.json``.
    """
    with RunFolder(out) as run:
        world = World(WorldConfig(seed=seed))
        run.stage("world", ["world"], lambda: world.write(run / "world"), settings={"seed": seed})
        model = train_model(world, seed=seed)
        settings = demo_settings(run, model / "model", seed)
        run.configure(settings.given())
        for name, stage in STAGES.items():
            if name != REPORT:
                stage(run, settings)
        found = compare(
            world,
            read_table(run / "items.parquet"),
            Counts.load(run / "counts"),
            read_table(run / "pivots.parquet"),
            read_table(run / "behaviors.parquet"),
        )
        write_json(found, run / "truth.json")
        if full:
            from pivotkit.testbed.arms import pretrain_arms

            pretrain_arms(run, seed=seed)
        STAGES[REPORT](run, settings)
    return found


def demo_settings(run: RunFolder, model: Path, seed: int) -> Settings:
    """The testbed's own format and languages; every concept is asked in both directions."""
    return Settings(
        model=str(model),
        lexicon=str(run / "world" / "lexicon.tsv"),
        corpus=[str(run / "world" / "corpus.jsonl.zst")],
        pairs=["a-b", "b-a"],
        prompt="testbed",
        shots=4,
        sharing="pair",
        latent=["p"],
        # A planted pivot stands in most documents of both its words, chance company in few.
        min_pivot_score=0.3,
        quotas={"a": 0.5, "b": 0.5},
        seed=seed,
    )

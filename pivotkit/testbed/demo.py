"""The paper in miniature: every stage on a generated world whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pivotkit.artifacts import read_json
from pivotkit.pipeline import run as pipeline
from pivotkit.pipeline.run_folder import RunFolder
from pivotkit.testbed import World, WorldConfig, train_model
from pivotkit.testbed.stages import COMPARE, PRETRAIN, STAGES, WORLD, TestbedSettings


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
        model = train_model(world, seed=seed)
        settings = demo_settings(run, model / "model", seed)
        run.configure(settings.given())
        *stages, report = pipeline.STAGES
        for stage in (WORLD, *stages, COMPARE, *((PRETRAIN,) if full else ()), report):
            STAGES.run(stage, run, settings)
        found: dict[str, Any] = read_json(run / "truth.json")
    return found


def demo_settings(run: RunFolder, model: Path, seed: int) -> TestbedSettings:
    """The testbed's own format and languages; every concept is asked in both directions."""
    return TestbedSettings(
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

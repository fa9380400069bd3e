"""The paper in miniature: every stage on a generated world with a known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pivotkit.artifacts import read_json
from pivotkit.pipeline.run import stages_of
from pivotkit.progress import console
from pivotkit.run_folder import RunFolder
from pivotkit.testbed.commands.stages import EXPERIMENT, RECOVERY, STAGES, WORLD, TestbedSettings
from pivotkit.testbed.config import WorldConfig
from pivotkit.testbed.items import DEMO_TASK
from pivotkit.testbed.shipped import SEED, shipped_model
from pivotkit.testbed.trained import train_model
from pivotkit.testbed.world import World


def demo(out: str | Path, *, seed: int = SEED, full: bool = False, train: bool = False) -> dict[str, Any]:
    """Generate a world, run every stage on it and its model, compare what they find with what was planted.

    Parameters
    ----------
    out : str or Path
        Run folder; the same call goes on where it was left.
    seed : int, default 0
        Seed of the world and the model. The model of seed 0 ships with the package; another seed trains its own.
    full : bool, default False
        Whether the experiment on selections is trained, in about 45 minutes on two cores and 20 more for its grid. By
        default the report shows its recorded figures.
    train : bool, default False
        Whether the model is trained by the recipe, or found in the cache, for seed 0 too.

    Returns
    -------
    dict
        What `pivotkit.testbed.recovery.compare` found, as in ``truth.json``.

    Raises
    ------
    BackendUnavailable
        With ``full``, a torch without Muon.
    ValueError
        A shipped model that is damaged, or that was made for another world (`shipped_model`).
    """
    if full:
        from pivotkit.testbed.experiment.training import require_muon

        require_muon()
    with RunFolder(out) as run:
        world = World(WorldConfig(seed=seed))
        settings = demo_settings(run, _model(world, seed, train), seed, full=full)
        run.configure(settings.given())
        *stages, report = stages_of(settings)
        for stage in (WORLD, *stages, RECOVERY, EXPERIMENT, report):
            STAGES.run(stage, run, settings)
        found: dict[str, Any] = read_json(run / "truth.json")
    return found


def _model(world: World, seed: int, train: bool) -> Path:
    if seed == SEED and not train:
        return shipped_model(world)
    if not train:
        console.print(
            f"demo: no model ships for seed {seed}; training one, or taking it from the cache", highlight=False
        )
    return train_model(world, seed=seed) / "model"


def demo_settings(run: RunFolder, model: Path, seed: int, *, full: bool = False) -> TestbedSettings:
    """Settings with the testbed's own prompt and languages."""
    return TestbedSettings(
        model=str(model),
        lexicon=str(run / "world" / "lexicon.tsv"),
        corpus=[str(run / "world" / "corpus.jsonl.zst")],
        prompt="testbed",
        **DEMO_TASK,
        latent=["p"],
        # A document of two languages is labelled with one of them, and no token is a word by its letters: neither
        # strata nor whole words mean anything here, and shares of documents are exact.
        pivot_rule="paper",
        # A planted pivot stands in most documents of both its words, chance company in few.
        min_pivot_score=0.3,
        quotas={"a": 0.5, "b": 0.5},
        seed=seed,
        full=full,
    )

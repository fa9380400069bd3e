"""The testbed's own stages, beside those of every run."""

from __future__ import annotations

from dataclasses import dataclass

from pivotkit.artifacts import read_table, write_json
from pivotkit.pipeline import run as pipeline
from pivotkit.pipeline.settings import Settings, option
from pivotkit.pipeline.stage import Stage, StageTable
from pivotkit.run_folder import RunFolder


@dataclass(repr=False)
class TestbedSettings(Settings):
    """The settings of a run, and what the testbed adds."""

    __test__ = False  # pytest would take it for tests

    full: bool = option(False, "train every arm of the experiment; by default its recorded figures are shown")
    train: bool = option(False, "train the model; by default seed 0 takes the one that ships with the package")
    seeds: int = option(8, "seeds of each pool of the experiment", least=1)
    grid: bool = option(True, "the grid of the experiment too")


def world(run: RunFolder, settings: Settings) -> None:
    from pivotkit.testbed.config import WorldConfig
    from pivotkit.testbed.world import World

    World(WorldConfig(seed=settings.seed)).write(run / "world")


WORLD = Stage(
    name="world",
    help="generate the testbed's world: its lexicon, its corpus and its truth",
    run=world,
    reads=(),
    writes=("world",),
    settings=("seed",),
    functions=("testbed.world.World",),
)


def recovery(run: RunFolder, settings: Settings) -> None:
    from pivotkit.corpus.tables.counts import Counts
    from pivotkit.testbed.config import WorldConfig
    from pivotkit.testbed.recovery import compare
    from pivotkit.testbed.world import World

    items, pivots, behaviors = (read_table(run / f"{name}.parquet") for name in ("items", "pivots", "behaviors"))
    world = World(WorldConfig(seed=settings.seed))
    write_json(compare(world, items, Counts.load(run / "counts"), pivots, behaviors), run / "truth.json")


RECOVERY = Stage(
    name="recovery",
    help="compare what the stages found in the testbed's world with what was planted",
    run=recovery,
    reads=("world", "items.parquet", "counts", "pivots.parquet", "behaviors.parquet"),
    writes=("truth.json",),
    settings=("seed",),
    functions=("testbed.recovery.compare",),
)


def experiment(run: RunFolder, settings: TestbedSettings) -> None:
    from pivotkit.testbed.experiment.experiment import run_experiment
    from pivotkit.testbed.experiment.recorded import made, recorded

    if settings.full:
        figures = run_experiment(run / "experiment", seeds=settings.seeds, grid=settings.grid)
        write_json(figures | {"made": made("pivotkit experiment --full")}, run / "experiment.json")
    else:
        write_json(recorded(), run / "experiment.json")


EXPERIMENT = Stage(
    name="experiment",
    help="continue training small models on selections of the generated world's documents, and compare what they learn",
    run=experiment,
    reads=(),
    writes=("experiment.json",),
    settings=("full", "seeds", "grid"),
    functions=("testbed.experiment.experiment.run_experiment",),
    form=TestbedSettings,
)

# Every command: the stages of every run, those on request, the testbed's own.
STAGES = StageTable([*pipeline.EVERY, WORLD, RECOVERY, EXPERIMENT])

"""The whole experiment: both pools, the grid, the figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pivotkit.testbed.experiment.arms import ARMS
from pivotkit.testbed.experiment.setting import ALIKE, GRID_SEEDS, GRID_SHARES, GRID_STEPS, POOLS, SEEDS
from pivotkit.testbed.experiment.summary import summary
from pivotkit.testbed.experiment.training import require_muon
from pivotkit.testbed.experiment.units import Unit, finished, run_units


def pool_units(seeds: int | None = None) -> list[Unit]:
    """The units of both pools in turn, so that a run that is stopped has as many seeds of each; all, or the first."""
    listed = [
        [Unit(pool, seed, setting, tuple(ARMS)) for seed in SEEDS[pool][:seeds]] for pool, setting in POOLS.items()
    ]
    return [unit for both in zip(*listed, strict=True) for unit in both]


def grid_units() -> list[Unit]:
    """One unit per seed of the grid."""
    return [Unit("grid", seed, POOLS[ALIKE], shares=GRID_SHARES, steps=GRID_STEPS) for seed in GRID_SEEDS]


def run_experiment(folder: Path, *, seeds: int | None = None, grid: bool = True) -> dict[str, Any]:
    """Train all units that are not there, and sum up.

    Parameters
    ----------
    folder : Path
        Takes one small file for each unit. The same call goes on where it was left.
    seeds : int, optional
        How many seeds of each pool; by default all eight.
    grid : bool, default True
        Whether the grid runs too.

    Returns
    -------
    dict
        See `pivotkit.testbed.experiment.summary.summary`.

    Raises
    ------
    BackendUnavailable
        A torch without Muon.

    Notes
    -----
    Two processes of one thread each. The pools take about 45 minutes on two cores, and every grid seed five more.
    """
    require_muon()
    run_units(pool_units(seeds) + (grid_units() if grid else []), folder)
    return figures_of(folder, seeds=seeds)


def figures_of(folder: Path, *, seeds: int | None = None) -> dict[str, Any]:
    """Sum up the units that are done, without training."""
    units = finished(pool_units(seeds), folder)
    return summary(
        {pool: [unit for unit in units if unit["pool"] == pool] for pool in POOLS}, finished(grid_units(), folder)
    )

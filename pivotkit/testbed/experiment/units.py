"""All units of the experiment, in two processes; what is done is not done again."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pivotkit.artifacts import read_json, sweep, value_digest, write_json
from pivotkit.processes import spawned_pool
from pivotkit.progress import console, progress
from pivotkit.testbed.experiment.setting import Setting

PROCESSES = 2
VERSION = 1  # to raise when the code would give other results by the same setting


@dataclass(frozen=True)
class Unit:
    """A pool and a seed, with what is trained there: arms, or the shares and budgets of a grid."""

    pool: str
    seed: int
    setting: Setting
    arms: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    steps: tuple[int, ...] = ()

    @property
    def file(self) -> str:
        return f"{self.pool.replace(' ', '-')}-{self.seed}.json"

    @property
    def digest(self) -> str:
        """The digest of all that decides the result."""
        return value_digest([VERSION, asdict(self)])

    def run(self) -> dict[str, Any]:
        """Do the work."""
        from pivotkit.testbed.experiment.grid import run_grid_unit
        from pivotkit.testbed.experiment.unit import run_unit

        if self.arms:
            return run_unit(self.setting, self.seed, self.arms)
        return run_grid_unit(self.setting, self.seed, self.shares, self.steps)


def run_units(units: Sequence[Unit], folder: Path, *, processes: int = PROCESSES) -> list[dict[str, Any]]:
    """Run the units whose files are not there, and return what all files hold, in the order of ``units``.

    A file of another setting or version is replaced. A killed run loses the units that it was at.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    missing = [unit for unit in units if read_unit(unit, folder) is None]
    if missing:
        with (
            progress("training in the generated world's pools", total=len(units)) as done,
            spawned_pool("experiment", min(processes, len(missing)), _start, folder) as pool,
        ):
            done(len(units) - len(missing))
            running = [pool.submit(_run, unit) for unit in missing]
            for number, ready in enumerate(as_completed(running), len(units) - len(missing) + 1):
                ready.result()
                done(number)
    return finished(units, folder)


def finished(units: Sequence[Unit], folder: Path) -> list[dict[str, Any]]:
    """What the files of those units hold that are done."""
    return [found for unit in units if (found := read_unit(unit, folder)) is not None]


def read_unit(unit: Unit, folder: Path) -> dict[str, Any] | None:
    """What the file of a unit holds; None where it is not there, or of another setting or version."""
    path = folder / unit.file
    found: dict[str, Any] | None = read_json(path) if path.is_file() else None
    return found if found is not None and found.get("digest") == unit.digest else None


_folder: list[Path] = []


def _start(folder: Path) -> None:
    import torch

    console.quiet = True  # the bar of all units is the first process's
    torch.set_num_threads(1)
    _folder[:] = [folder]
    threading.Thread(target=_end_with_the_first, daemon=True).start()


def _end_with_the_first() -> None:
    """End this process when the one that started it is killed; otherwise it would train on for nobody."""
    first = multiprocessing.parent_process()
    if first is not None:
        first.join()
        os._exit(1)


def _run(unit: Unit) -> None:
    write_json({"digest": unit.digest, "pool": unit.pool, **unit.run()}, _folder[0] / unit.file)

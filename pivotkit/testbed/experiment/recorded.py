"""The figures of a finished experiment, which the demo shows where it does not train, and how they were made."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pivotkit.artifacts import read_json, write_json

RECORDED = Path(__file__).with_name("recorded.json")


def recorded(path: Path = RECORDED) -> dict[str, Any]:
    """Read the recorded figures: those of `summary`, and under ``made`` the command, date, machine and versions.

    >>> sorted(recorded())
    ['cpu_seconds', 'grid', 'made', 'pools']
    """
    found: dict[str, Any] = read_json(path)
    return found | {"made": found["made"] | {"recorded": True}}


def made(command: str) -> dict[str, Any]:
    """How figures are made now: command, date, machine, torch."""
    import torch

    return {
        "command": command,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "torch": torch.__version__,
    }


def record(folder: Path, machine: str, path: Path = RECORDED) -> Path:
    """Write the figures of the units in ``folder`` as the recorded ones.

    ``python -m pivotkit.testbed.experiment.recorded FOLDER MACHINE`` does it.
    """
    from pivotkit.testbed.experiment.experiment import figures_of

    about = made("pivotkit demo --full") | {"machine": machine}
    return write_json(figures_of(folder) | {"made": about}, path)


if __name__ == "__main__":
    import sys

    print(record(Path(sys.argv[1]), sys.argv[2]))

"""Checkpoints: the tables of a set of units, as a folder of row files and a file that names the units.

A worker counts many units into one table and writes it now and then. One rename decides whether a checkpoint is there.
Checkpoints that share units cannot both count: `read_checkpoints` chooses, a run's own ones before others, then the
largest first. Nothing is forced to the disk: what a power cut spoils fails its checksums and is counted anew.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pivotkit.artifacts import is_sealed, read_object, write_sealed
from pivotkit.errors import InputError

FOOTER = 24  # bytes at the end of a row file: two checksums and the number of rows
SUFFIX = ".context"
SUFFIXES = CONTEXT_SUFFIX, STRATA_SUFFIX = ".rows", ".strata"  # of row files in a checkpoint
NAMES = "units.json"  # in a checkpoint


@dataclass(frozen=True)
class Checkpoint:
    """A set of units, and the row files that together are its context table and its counts by stratum."""

    folder: Path
    units: frozenset[str]
    files: tuple[Path, ...]

    @property
    def tables(self) -> list[Path]:
        """The row files of the context table."""
        return [path for path in self.files if path.suffix == CONTEXT_SUFFIX]

    @property
    def strata(self) -> list[Path]:
        """Those of the counts by stratum."""
        return [path for path in self.files if path.suffix == STRATA_SUFFIX]

    def remove(self) -> None:
        """The names go first: tables without them are nobody's."""
        (self.folder / NAMES).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def write_checkpoint(place: Path, folder: Path, configuration: str, run: str, units: Iterable[str]) -> None:
    """Make the row files in the folder ``place`` a checkpoint of ``units``, in ``folder``, written by ``run``."""
    header = {
        "configuration": configuration,
        "units": sorted(units),
        "tables": {path.name: footer_digest(path) for path in sorted(place.iterdir()) if path.suffix in SUFFIXES},
    }
    write_sealed(header, place / NAMES)
    place.rename(folder / f"{configuration}-{run}-{secrets.token_hex(4)}{SUFFIX}")


def read_checkpoints(
    folder: Path, configuration: str, units: Iterable[str], run: str, first: Container[Path] = ()
) -> list[Checkpoint]:
    """Checkpoints of ``units`` alone, whole as far as their footers tell, no two of which share a unit.

    Those in ``first`` and those that ``run`` has written come before those of other runs, which may be at work too.
    """
    wanted = frozenset(units)
    found = [one for one in _all(folder, configuration) if one.units <= wanted]
    taken: list[Checkpoint] = []
    own = f"{configuration}-{run}-"
    for checkpoint in sorted(
        found,
        key=lambda one: (
            one.folder not in first and not one.folder.name.startswith(own),
            -len(one.units),
            one.folder.name,
        ),
    ):
        if checkpoint.units <= wanted:
            taken.append(checkpoint)
            wanted -= checkpoint.units
    return taken


def remove_covered(folder: Path, configuration: str, kept: Iterable[Checkpoint]) -> None:
    """Remove other checkpoints of ``configuration`` whose units are all in ``kept``."""
    kept = list(kept)
    held = frozenset[str]().union(*(one.units for one in kept))
    for checkpoint in _all(folder, configuration):
        if checkpoint not in kept and checkpoint.units <= held:
            checkpoint.remove()


def footer_digest(path: Path) -> str:
    """Size and footer of the row file at ``path``, which tell it from any other; OSError when there is none."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - FOOTER))
        return f"{size}:{file.read().hex()}"


def _all(folder: Path, configuration: str) -> list[Checkpoint]:
    found = map(_read, folder.glob(f"{configuration}-*{SUFFIX}"))
    return [checkpoint for checkpoint in found if checkpoint is not None]


def _read(folder: Path) -> Checkpoint | None:
    """The checkpoint; None when it is damaged or lacks a table."""
    try:
        header: dict[str, Any] = read_object(folder / NAMES, {"units": list, "tables": dict})
        tables = {folder / name: digest for name, digest in header["tables"].items()}
        if not is_sealed(folder / NAMES, header) or any(
            footer_digest(table) != digest for table, digest in tables.items()
        ):
            return None
    except (OSError, InputError):
        return None
    return Checkpoint(folder, frozenset(header["units"]), tuple(tables))

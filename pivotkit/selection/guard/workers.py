"""Work units in several processes: what the filters say of each is kept where there is a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from pivotkit.artifacts import value_digest
from pivotkit.corpus.reading.units import Unit
from pivotkit.processes import run_each
from pivotkit.selection.guard.unit_guard import UnitGuard, read_part, write_part


@dataclass(frozen=True)
class GuardWork:
    """What is done with each unit, into a folder or not. ``identity`` is what the parts depend on beside the files."""

    guard: UnitGuard
    identity: dict[str, Any]
    folder: Path | None

    def kept(self, unit: Unit) -> pa.Table | None:
        """The part of a unit that is done, and whole as it was written."""
        return None if self.folder is None else read_part(self._path(unit), self._digest)

    def run(self, unit: Unit) -> pa.Table:
        """The part of a unit, which with a folder is written there, too."""
        table = self.guard.of(unit)
        if self.folder is not None:
            write_part(table, self._path(unit), self._digest)
        return table

    @property
    def _digest(self) -> str:
        return value_digest(self.identity)

    def _path(self, unit: Unit) -> Path:
        assert self.folder is not None
        return self.folder / f"{quote(unit.name, safe='')}.parquet"


def run_units(work: GuardWork, units: Sequence[Unit], workers: int | None) -> dict[Unit, pa.Table]:
    """What `GuardWork.run` gives for each unit; those that are kept are not read again."""
    done = {unit: kept for unit in units if (kept := work.kept(unit)) is not None}
    left = sorted((unit for unit in units if unit not in done), key=lambda unit: -unit.size)  # none is waited for long
    return done | run_each("filter_documents", work.run, left, workers, "Filtering documents")

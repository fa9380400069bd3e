"""From a plan to `Counts`: its units counted and added up, as often as other runs and damage ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from pivotkit.corpus.counting.merge import MissingTables, merge_unit_counts
from pivotkit.corpus.counting.plan import Plan
from pivotkit.corpus.counting.unit_counter import UnitCounter
from pivotkit.corpus.counting.workers import count_units
from pivotkit.corpus.reading.units import Unit
from pivotkit.corpus.tables.counts import Counts
from pivotkit.errors import CorpusError

MOST_RUNS = 10  # that may end in one folder while this one counts


def run_plan(plan: Plan, units: Sequence[Unit], place: Path, memory: int, processes: int, *, keep: bool) -> Counts:
    """Count what is unfinished of ``units`` and add all of them up, as `merge_unit_counts` does.

    A unit that fails a checksum is counted again once.
    """
    is_repaired = False
    with UnitCounter(plan) as counter:
        for _ in range(MOST_RUNS):
            count_units(counter, units, processes)
            try:
                return merge_unit_counts(counter, units, place, memory, processes, keep=keep)
            except MissingTables as error:
                missing = error
            except (OSError, pa.ArrowException, CorpusError):
                if is_repaired:
                    raise
                is_repaired = True
                counter.remove_damaged(units)
    raise missing

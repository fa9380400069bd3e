"""Several run folders in one page: each is locked and checked as a stage checks what it reads."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from pivotkit.errors import InputError
from pivotkit.pipeline.run import EVERY
from pivotkit.run_folder import RunFolder


def compare(folders: Sequence[str | Path], out: str | Path) -> Path:
    """Write the page that sets the runs side by side (`write_comparison`).

    A run whose artifacts are damaged, or of different makes, is refused with the stages to run again.
    """
    from pivotkit.report import write_comparison
    from pivotkit.report.comparable import check_folders

    with contextlib.ExitStack() as opened:
        for folder in check_folders("compare", folders):
            if folder.is_dir() and not (folder / "run.json").exists():  # a run folder is locked and swept when opened
                raise InputError(folder, "", "must hold run.json, which says how it was made; found none")
            EVERY.check(opened.enter_context(RunFolder(folder, new=False)))
        return write_comparison(folders, out)

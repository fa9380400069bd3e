"""Which runs may stand side by side: of the same items, made by the same version with the same settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pivotkit.arguments import check_paths, refuse
from pivotkit.errors import InputError

COLUMNS = ("item", "pair", "concept", "source", "target", "distractors")  # what makes items the same
COMPARED = ("score", "trace", "behaviors", "attribution", "causal")  # the stages whose results are set side by side
OWN = ("dtype", "layers")  # settings that a model may have of its own


def check_folders(function: str, runs: Sequence[str | Path]) -> list[Path]:
    """Return the folders of at least two runs, each named once."""
    folders = [Path(run) for run in check_paths(function, "runs", runs)]
    if len(folders) < 2:
        refuse(function, "runs", "name at least two run folders", folders[0] if folders else None)
    seen: set[Path] = set()
    for folder in folders:
        if folder.resolve() in seen:
            refuse(function, "runs", "name each run folder once", folder)
        seen.add(folder.resolve())
    return folders


def require_comparable(folders: Sequence[Path], runs: Sequence[dict[str, Any]]) -> None:
    """Raise an InputError that names the run and what to do, unless every run can be compared with the first."""
    for folder, run in zip(folders, runs, strict=True):
        if run["items"] is None:
            raise InputError(folder, "", "must hold items.parquet; run `pivotkit task` first")
        if run["run"] is None:
            raise InputError(folder, "", "must hold run.json, which says how it was made; found none")
    for folder, run in zip(folders[1:], runs[1:], strict=True):
        _require_same_items(folders[0], runs[0], folder, run)
        for stage in COMPARED:
            _require_same_make(folders[0], folder, stage, *(_record(one, stage) for one in (runs[0], run)))


def _require_same_items(first: Path, one: dict[str, Any], folder: Path, other: dict[str, Any]) -> None:
    again = "; make both with the same lexicon, pairs, limit, contexts and seed, and compare them then"
    here, there = (run["items"].select(list(COLUMNS)).to_pylist() for run in (one, other))
    if len(here) != len(there):
        rule = f"must have the {len(here)} items of {first}; got {len(there)}"
        raise InputError(folder, "items.parquet", rule + again)
    for place, (mine, theirs) in enumerate(zip(here, there, strict=True)):
        for name in COLUMNS:
            if mine[name] != theirs[name]:
                rule = f"must have the items of {first}; got another {name} in row {place}"
                raise InputError(folder, "items.parquet", rule + again)
    # The texts of the prompts may differ, as those of two chat templates do; a score is a mean over the contexts.
    contexts = [{len(found) for found in run["items"]["contexts"].to_pylist()} for run in (one, other)]
    if contexts[0] != contexts[1]:
        wanted, got = (", ".join(map(str, sorted(found))) for found in contexts)
        rule = f"must have {wanted} contexts an item as {first}; got {got}"
        raise InputError(folder, "items.parquet", rule + again)


def _record(run: dict[str, Any], stage: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = (run["run"].get("stages") or {}).get(stage)
    return found


def _require_same_make(
    first: Path, folder: Path, stage: str, one: dict[str, Any] | None, other: dict[str, Any] | None
) -> None:
    """Two records of a stage must be of one version and one choice of settings; a stage may be absent from a run."""
    if one is None or other is None:
        return
    mine, theirs = (
        {"the version of pivotkit": record.get("pivotkit"), **(record.get("settings") or {})} for record in (one, other)
    )
    for name in sorted({*mine, *theirs} - set(OWN)):
        if mine.get(name) != theirs.get(name):
            rule = f"must be made as in {first}, with {mine.get(name)} as {name}; got {theirs.get(name)}"
            raise InputError(folder, f"stage {stage}", f"{rule}; run `pivotkit {stage}` again in one of them")

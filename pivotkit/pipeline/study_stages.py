"""Where the wings meet: attribution and report."""

from __future__ import annotations

from pivotkit.artifacts import read_table, write_json
from pivotkit.pipeline.run_folder import RunFolder
from pivotkit.pipeline.settings import Settings

REPORTED = (
    "items.parquet", "counts", "pivots.parquet", "hubs.parquet", "scores.parquet", "traces", "behaviors.parquet",
    "sensitivity.parquet", "attribution.json", "documents.parquet", "selection", "truth.json", "pretrain.parquet",
)  # fmt: skip


def attribution(run: RunFolder, settings: Settings) -> None:
    """items, behaviors, counts/, scores -> attribution.json"""
    from pivotkit.attribution.attribute import attribute

    inputs = ["items.parquet", "behaviors.parquet", "counts/pairs.parquet", "scores.parquet"]
    for name, stage in zip(inputs, ("task", "behaviors", "count", "score"), strict=True):
        run.need(name, stage)

    def make() -> None:
        items, seen, pairs, scores = (read_table(run / name) for name in inputs)
        found = attribute(seen, pairs, items=items, scores=scores, seed=settings.seed)
        write_json(found, run / "attribution.json")

    run.stage("attribution", ["attribution.json"], make, settings=settings.of("attribution"), inputs=inputs)


def report(run: RunFolder, settings: Settings) -> None:
    """Everything that is there -> report.html"""
    from pivotkit.report import write_report

    known = [name for name in REPORTED if (run / name).exists()]
    run.stage("report", ["report.html"], lambda: write_report(run.folder), settings=settings.given(), inputs=known)

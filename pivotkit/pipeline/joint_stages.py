"""The stages that join the model's side and the corpus's side: agreement, attribution and report."""

from __future__ import annotations

import pyarrow as pa

from pivotkit.artifacts import read_table, table_metadata, write_json, write_table
from pivotkit.pipeline.settings import Settings
from pivotkit.pipeline.stage import EVERYTHING, Stage
from pivotkit.run_folder import RunFolder


def agreement(run: RunFolder, settings: Settings) -> None:
    from pivotkit.attribution.pivot_agreement import pivot_agreement
    from pivotkit.attribution.pivot_mass import pivot_mass

    items, pivots, traces = read_table(run / "items.parquet"), read_table(run / "pivots.parquet"), run.gather("traces")
    if "pivot_logmass" not in traces.column_names:
        raise ValueError("agreement: traces must have the mass of pivots; run `pivotkit trace` again")
    write_table(pivot_mass(traces, items, seed=settings.seed), run / "pivot_mass.parquet")
    agreed = pivot_agreement(
        traces, pivots, items, least_contrast=settings.least_contrast, least_probability=settings.min_probability,
        seed=settings.seed,
    )  # fmt: skip
    write_table(agreed, run / "agreement.parquet")


AGREEMENT = Stage(
    name="agreement",
    help="compare the corpus's pivots with what the model's layers hold, beside their controls",
    run=agreement,
    reads=("items.parquet", "pivots.parquet", "traces"),
    writes=("agreement.parquet", "pivot_mass.parquet"),
    settings=("min_probability", "least_contrast", "seed"),
    functions=("attribution.pivot_agreement.pivot_agreement", "attribution.pivot_mass.pivot_mass"),
)


def attribution(run: RunFolder, settings: Settings) -> None:
    from pivotkit.attribution.attribute import attribute
    from pivotkit.attribution.finding import finding

    items, seen, pairs, scores = (read_table(run / name) for name in ATTRIBUTION.reads)
    there = {name: read_table(run / name) for name in ATTRIBUTION.uses if (run / name).exists()}
    found = attribute(
        seen, pairs, items=items, scores=scores, pivots=there.get("pivots.parquet"), traces=there.get("traces"),
        seed=settings.seed,
    )  # fmt: skip
    told = finding(
        found, seen, items, mass=there.get("pivot_mass.parquet"), agreement=there.get("agreement.parquet"),
        effects=there.get("causal_effects.parquet"), without=_left_out(there.get("pivots.parquet")),
    )  # fmt: skip
    write_json({"finding": told} | found, run / "attribution.json")


def _left_out(pivots: pa.Table | None) -> list[str] | None:
    """Whose look-alikes the pivots are without."""
    return None if pivots is None else table_metadata(pivots).get("without")


ATTRIBUTION = Stage(
    name="attribution",
    help="measure how well co-occurrence in the corpus predicts behavior, and say what was found",
    run=attribution,
    reads=("items.parquet", "behaviors.parquet", "counts/pairs.parquet", "scores.parquet"),
    uses=("traces", "pivots.parquet", "pivot_mass.parquet", "agreement.parquet", "causal_effects.parquet"),
    writes=("attribution.json",),
    settings=("seed",),
    functions=("attribution.attribute.attribute", "attribution.finding.finding"),
    revision=2,  # more predictors, controls, groups and fits, and the finding
)


def report(run: RunFolder, settings: Settings) -> None:
    from pivotkit.report import write_report

    write_report(run.folder)


REPORT = Stage(
    name="report",
    help="write report.html, one page of everything that the run holds",
    run=report,
    reads=(),
    uses=(EVERYTHING,),
    writes=("report.html",),
    functions=("report.write_report",),
    depends=lambda run, settings: settings.given(),
)

"""The stage that guards every arm alike: corpus -> the documents that no selection may take."""
# ruff: noqa: RUF009 (option is dataclasses.field with a help text)

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pivotkit.artifacts import read_table, table_metadata, write_table
from pivotkit.pipeline.inputs import CORPUS, corpus_paths
from pivotkit.pipeline.settings import Settings, option
from pivotkit.pipeline.stage import Stage
from pivotkit.progress import console
from pivotkit.run_folder import RunFolder

NEAR, QUALITY = "near-duplicates", ("gopher", "c4", "fineweb")
DROPPED = "dropped.parquet"


@dataclass(repr=False)
class FilterSettings(Settings):
    """The settings of a run, and what the filters add."""

    filters: list[str] = option([NEAR, *QUALITY], "what documents are dropped by", choices=(NEAR, *QUALITY))
    similarity: float = option(0.8, "least similarity of near-duplicates", least=0, most=1)
    filter_thresholds: dict[str, str] = option(
        {}, "thresholds of the filters, by their names in datatrove: gopher.min_doc_words=10,c4.min_num_sentences=2"
    )
    exclude: list[str] = option(
        [], "files of a benchmark: documents that share 13 words in a row with a text of it are dropped", paths=True
    )


def filter_corpus(run: RunFolder, settings: FilterSettings) -> None:
    from pivotkit.selection.guard.filter_documents import filter_documents

    corpus = corpus_paths(settings)
    dropped = filter_documents(
        corpus,
        near_duplicates=settings.similarity if NEAR in settings.filters else False,
        quality=_quality(settings),
        exclude=settings.exclude or None,
        seed=settings.seed,
        on_error=settings.on_error,
        workers=settings.workers,
    )
    about = table_metadata(dropped)
    documents = sum(some["documents"] for some in about["all"].values())
    for name, found in about["filters"].items():
        if taken := sum(some["documents"] for some in found.values()):
            console.print(f"filter: {name} takes {taken:,} of {documents:,} documents", highlight=False)
    write_table(dropped, run / DROPPED, about | {"units": units_of_now(settings)})


def _quality(settings: FilterSettings) -> dict[str, dict[str, float]]:
    """The quality filters, each with the thresholds that are given for it."""
    found: dict[str, dict[str, float]] = {name: {} for name in QUALITY if name in settings.filters}
    for name, value in settings.filter_thresholds.items():
        own, _, threshold = name.partition(".")
        if own not in found or not threshold:
            told = ", ".join(f"{one}.NAME" for one in found) or "nothing, since no such filter is on"
            raise ValueError(f"filter: --filter-thresholds must name {told}; got {name!r}")
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"filter: --filter-thresholds must be numbers; got {name}={value!r}") from None
        found[own][threshold] = int(number) if number.is_integer() else number
    return found


def _excluded(run: RunFolder, settings: Settings) -> Mapping[str, Any]:
    """The contents of the files that are excluded."""
    from pivotkit.corpus.reading.documents import corpus_files

    assert isinstance(settings, FilterSettings)
    return {"excluded": run.given_digest([], corpus_files(settings.exclude)) if settings.exclude else None}


FILTER = Stage(
    name="filter",
    help="list near-duplicates, what quality filters refuse, and texts of a benchmark, which `select` leaves out",
    run=filter_corpus,
    reads=(CORPUS,),
    writes=(DROPPED,),
    settings=("filters", "similarity", "filter_thresholds", "exclude", "on_error", "seed", "workers"),
    functions=("selection.guard.filter_documents.filter_documents",),
    depends=_excluded,
    form=FilterSettings,
)


def dropped_documents(run: RunFolder, settings: Settings) -> pa.Table | str | None:
    """What no arm may take: the given table, or ``dropped.parquet`` with its units named as now, or nothing."""
    if settings.drop is not None:
        return settings.drop
    if not (run / DROPPED).exists():
        return None
    return with_units_of_now(read_table(run / DROPPED), settings)


def with_units_of_now(table: pa.Table, settings: Settings) -> pa.Table:
    """A table that lists the corpus's units as they were, with the names that they have now: a file may have moved."""
    names = dict(zip(table_metadata(table)["units"], units_of_now(settings), strict=True))
    units = pa.array([names[unit] for unit in table["unit"].to_pylist()], pa.string())
    return table.set_column(table.schema.get_field_index("unit"), "unit", units)


def units_of_now(settings: Settings) -> list[str]:
    from pivotkit.corpus.reading.documents import work_units

    return [unit.name for unit in work_units(corpus_paths(settings))]

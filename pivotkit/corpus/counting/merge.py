"""Unit counts into `Counts`: a sum grouped by cell, in bounded memory however large the context table is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from pivotkit import _C
from pivotkit.artifacts import locked
from pivotkit.corpus.counting.checkpoints import Checkpoint, remove_covered
from pivotkit.corpus.counting.sampled_context import estimate_context
from pivotkit.corpus.counting.unit_counter import UnitCounter
from pivotkit.corpus.reading.documents import Unit
from pivotkit.corpus.tables.context_table import atomic_context, open_context
from pivotkit.corpus.tables.counts import Counts
from pivotkit.corpus.tables.counts_folder import CONTEXT_FOLDER, STRATA_FOLDER, replaced_counts, write_counts
from pivotkit.corpus.tables.postings import Postings
from pivotkit.corpus.tables.strata import StratumCounts
from pivotkit.corpus.tables.unit_counts import BACKGROUND, DF, PAIR, TF, read_cells


class MissingTables(OSError):
    """Another run in the same folder has removed tables, because its own hold the same units."""


def sum_vectors(paths: Sequence[Path], words: int, pairs: int, vocabulary: int) -> dict[int, npt.NDArray[np.int64]]:
    """The sums of DF, TF, PAIR and BACKGROUND over the unit counts in ``paths``."""
    sums = {
        kind: np.zeros(size, np.int64)
        for kind, size in ((DF, words), (TF, words), (PAIR, pairs), (BACKGROUND, vocabulary))
    }
    for path in paths:
        for kind, row, _, count in read_cells(path, tuple(sums)):
            sums[kind][row] += count  # the rows of a group are distinct
    return sums


def merge_context_tables(
    paths: Sequence[Path], words: int, vocabulary: int, folder: Path, memory: int, threads: int
) -> scipy.sparse.csr_array:
    """Write the sum of the context tables in the row files ``paths`` to ``folder``; return it, mapped."""
    with atomic_context(folder) as (indptr, tokens, df):
        _C.merge_to_csr([*map(str, paths)], words, vocabulary, memory, threads, str(tokens), str(df), str(indptr))
    return open_context(folder, words, vocabulary)


def merge_unit_counts(
    counter: UnitCounter, units: Sequence[Unit], place: Path, memory: int, threads: int, *, keep: bool
) -> Counts:
    """Add up the counts of ``units``; with ``keep``, save the sum in ``place``, where it replaces an earlier one.

    Without, the context table is in ``place`` all the same. It is mapped either way.

    Raises
    ------
    MissingTables
        When another run has removed checkpoints of ``units``.
    pyarrow.ArrowException, OSError, CorpusError
        When the counts of a unit are damaged.
    """
    with locked(counter.plan.folder):  # nobody removes the checkpoints that are being added up
        headers = []
        for unit in units:
            header = counter.header(unit)
            if header is None:
                raise OSError(
                    f"merge_unit_counts: {counter.path(unit)} must hold the whole counts of its unit; got none"
                )
            headers.append(header)
        checkpoints = counter.checkpoints(units)
        missing = len(units) - sum(len(checkpoint.units) for checkpoint in checkpoints)
        if counter.plan.has_tables and missing:
            raise MissingTables(f"count: {counter.plan.folder} must hold the tables of all units; got {missing} less")
        if not keep:
            return _total(counter, units, headers, checkpoints, place, memory, threads, keep=False)
        with replaced_counts(place) as new:
            total = _total(counter, units, headers, checkpoints, new, memory, threads, keep=True)
            write_counts(place, new, *total.parts())
        remove_covered(counter.plan.folder, counter.digest, checkpoints)
    return total


def _total(
    counter: UnitCounter,
    units: Sequence[Unit],
    headers: Sequence[dict[str, Any]],
    checkpoints: Sequence[Checkpoint],
    place: Path,
    memory: int,
    threads: int,
    *,
    keep: bool,
) -> Counts:
    """The sum, with its context table in ``place``."""
    plan = counter.plan
    paths = [counter.path(unit) for unit in units]
    words, vocabulary = list(plan.source.watch.words), plan.source.vocabulary
    sums = sum_vectors(paths, len(words), len(plan.pairs), vocabulary)
    documents = sum(header["documents"] for header in headers)
    context = None
    if plan.context:
        folder = place / CONTEXT_FOLDER
        if plan.sample is None:
            tables = [table for checkpoint in checkpoints for table in checkpoint.tables]
            context = merge_context_tables(tables, len(words), vocabulary, folder, memory, threads)
        else:
            context = estimate_context(paths, plan.sample, sums[DF], vocabulary, plan.folder, folder, memory)
    strata = None
    if plan.strata is not None:
        tables = [table for checkpoint in checkpoints for table in checkpoint.strata]
        folder, rows, columns = place / STRATA_FOLDER, len(plan.strata), plan.stratum_columns
        table = merge_context_tables(tables, rows, columns, folder, memory, threads)
        strata = StratumCounts(plan.strata, vocabulary, table)
    return Counts(
        words=words,
        documents=documents,
        df=sums[DF],
        tf=sums[TF],
        pairs=plan.pairs,
        pair_df=sums[PAIR],
        context=context,
        background=sums[BACKGROUND] if vocabulary and plan.background else None,
        approximation=None if plan.sample is None else {"context": "bottom-k documents", "k": plan.sample},
        scope=str(plan.scope),
        units=tuple(sorted(header["unit"] for header in headers)),
        skipped=sum(header["skipped"] for header in headers),
        tokenizer=plan.source.tokenizer,
        marks=plan.source.watch.marks,
        languages=plan.source.watch.languages,
        language_table=plan.source.language_table,
        strata=strata,
        postings=Postings.of(paths) if keep and plan.postings else None,
    )

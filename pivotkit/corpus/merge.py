"""Partials into counts: a sum grouped by cell, in bounded memory however large the context table is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pivotkit.corpus.context_table import ContextWriter, open_context
from pivotkit.corpus.counts import Counts
from pivotkit.corpus.counts_folder import CONTEXT_FOLDER
from pivotkit.corpus.documents import Unit
from pivotkit.corpus.partial import BACKGROUND, CONTEXT, DF, PAIR, TF, read_cells, read_header
from pivotkit.corpus.postings import Postings
from pivotkit.corpus.row_ranges import row_ranges
from pivotkit.corpus.unit_counter import UnitCounter

CELL_BYTES = 8


def add_vectors(paths: Sequence[Path], words: int, pairs: int, vocabulary: int) -> dict[int, npt.NDArray[np.int64]]:
    """The sums of DF, TF, PAIR and BACKGROUND over the partials."""
    sums = {
        kind: np.zeros(size, np.int64)
        for kind, size in ((DF, words), (TF, words), (PAIR, pairs), (BACKGROUND, vocabulary))
    }
    for path in paths:
        for kind, row, _, count in read_cells(path, tuple(sums)):
            sums[kind][row] += count  # the rows of a group are distinct
    return sums


def add_contexts(paths: Sequence[Path], words: int, vocabulary: int, folder: Path, memory: int) -> None:
    """The sum of the context tables, written to ``folder``.

    Rows are added up in an array over the vocabulary, as many at a time as ``memory`` bytes hold; every partial is read
    once for each such range of rows, and only its groups that touch the range.
    """
    with ContextWriter(folder, words, vocabulary) as writer:
        for first, last in row_ranges(np.arange(words + 1) * vocabulary, memory // CELL_BYTES):
            table = np.zeros((last - first) * vocabulary, np.int64)
            for path in paths:
                for _, row, column, count in read_cells(path, (CONTEXT,), first, last):
                    np.add.at(table, (row.astype(np.int64) - first) * vocabulary + column, count)
            for begin in range(first, last):
                cells = table[(begin - first) * vocabulary : (begin - first + 1) * vocabulary]
                (tokens,) = np.nonzero(cells)
                writer.row(tokens, cells[tokens])


def merge_partials(counter: UnitCounter, units: Sequence[Unit], place: Path, memory: int, *, keep: bool) -> Counts:
    """The sum of the units' partials; with ``keep`` saved in ``place``, else only its context table is put there, mapped.

    An Arrow error or OSError when a partial is damaged.
    """
    plan = counter.plan
    paths = [counter.path(unit) for unit in units]
    headers = [read_header(path) for path in paths]
    if None in headers:
        raise OSError(f"merge_partials: {paths[headers.index(None)]} must be a whole partial; got none")
    words, vocabulary = list(plan.source.watch.words), plan.source.vocabulary
    sums = add_vectors(paths, len(words), len(plan.pairs), vocabulary)
    (place / "counts.json").unlink(missing_ok=True)  # of a count before: its tables are written over from here on
    context = None
    if plan.context:
        add_contexts(paths, len(words), vocabulary, place / CONTEXT_FOLDER, memory // 2)
        context = open_context(place / CONTEXT_FOLDER, len(words), vocabulary)
    total = Counts(
        words=words,
        documents=sum(header["documents"] for header in headers if header),
        df=sums[DF],
        tf=sums[TF],
        pairs=plan.pairs,
        pair_df=sums[PAIR],
        context=context,
        background=sums[BACKGROUND] if vocabulary else None,
        scope=str(plan.scope),
        units=tuple(sorted(header["unit"] for header in headers if header)),
        skipped=sum(header["skipped"] for header in headers if header),
        tokenizer=plan.source.tokenizer,
        postings=Postings(tuple(paths)) if keep else None,
    )
    if keep:
        total.save(place)
    return total

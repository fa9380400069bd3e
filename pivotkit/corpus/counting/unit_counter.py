"""Counting work units: documents in blocks, their hits into counters, the counters of a unit into one file.

Only the context table and the counts by stratum are not the unit's: they are of all units since the last checkpoint.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pivotkit import _C
from pivotkit.artifacts import atomic_path
from pivotkit.corpus.counting.checkpoints import Checkpoint, read_checkpoints, write_checkpoint
from pivotkit.corpus.counting.plan import Plan
from pivotkit.corpus.counting.unit_tokens import (
    BackgroundCounter,
    ContextTableBuilder,
    SampleBuilder,
    StratumTableBuilder,
    block_folder,
)
from pivotkit.corpus.reading.documents import Unit
from pivotkit.corpus.tables.unit_counts import (
    BACKGROUND,
    DF,
    GROUP_CELLS,
    LANGUAGE,
    PAIR,
    SAMPLED,
    SAMPLED_TOKEN,
    TF,
    UnitCountsWriter,
    posting_path,
    read_cells,
    read_header,
    read_postings,
)
from pivotkit.errors import CorpusError

KINDS = (DF, TF, PAIR, BACKGROUND, LANGUAGE, SAMPLED, SAMPLED_TOKEN)
Builder = BackgroundCounter | ContextTableBuilder | StratumTableBuilder
RUN_HITS = 1 << 19  # hits that wait to be sorted and written together: 12 MB


class UnitCounter:
    """Counts units by one plan; a context that must be left, so that what was not kept vanishes."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.digest = plan.digest()
        self._exits = ExitStack()
        self._tables: list[ContextTableBuilder | StratumTableBuilder] = []
        self._place: Path | None = None  # of the tables' row files
        self._kept: set[Path] = set()  # checkpoints whose units this run does not count
        self._held: list[Unit] = []  # units of the tables
        self._begun = time.monotonic()  # of the tables

    def __enter__(self) -> UnitCounter:
        return self

    def __exit__(self, *error: object) -> None:
        self._exits.close()

    @functools.cached_property
    def _counter(self) -> _C.DocumentCounter:
        """One counter for all units: arranging a million pairs takes longer than counting many a unit."""
        scope = self.plan.scope
        window = scope.tokens if scope.kind == "window" else 0
        return _C.DocumentCounter(len(self.plan.source.watch), self.plan.pairs, window)

    def path(self, unit: Unit) -> Path:
        return self.plan.folder / f"{unit.name}-{self.digest}.parquet"

    def header(self, unit: Unit) -> dict[str, Any] | None:
        """The header of the finished counts of ``unit``; None without them, or when the postings are not theirs."""
        header = read_header(self.path(unit))
        if header is None or (header["unit"], header["configuration"]) != (unit.name, self.digest):
            return None
        try:
            return header if header["postings"] == self._posting_digest(unit) else None
        except (OSError, CorpusError):
            return None

    def checkpoints(self, units: Iterable[Unit]) -> list[Checkpoint]:
        """Checkpoints that hold context tables of some of ``units``, and of no others."""
        if not self.plan.has_tables:
            return []
        names = (unit.name for unit in units)
        return read_checkpoints(self.plan.folder, self.digest, names, self.plan.run, self._kept)

    def unfinished(self, units: Sequence[Unit]) -> list[Unit]:
        """The units that must be counted still."""
        kept = self.checkpoints(units)
        self._kept = {checkpoint.folder for checkpoint in kept}
        held = frozenset[str]().union(*(checkpoint.units for checkpoint in kept))
        is_held = {unit: not self.plan.has_tables or unit.name in held for unit in units}
        return [unit for unit in units if not is_held[unit] or self.header(unit) is None]

    def remove_damaged(self, units: Sequence[Unit]) -> None:
        """Read every byte of the counts of ``units``, and remove what is not as it was written."""
        source = self.plan.source
        for unit in units:
            try:
                for _ in read_cells(self.path(unit), KINDS):
                    pass
                if self.plan.postings:
                    for _ in read_postings(self.path(unit), len(source.watch)):
                        pass
            except (OSError, pa.ArrowException, CorpusError):
                self.path(unit).unlink(missing_ok=True)
        for checkpoint in self.checkpoints(units):
            try:
                for table in checkpoint.tables:
                    _C.check_rows(str(table), len(source.watch), source.vocabulary)
                for table in checkpoint.strata:
                    _C.check_rows(str(table), len(self.plan.strata or ()), self.plan.stratum_columns)
            except (OSError, CorpusError):
                checkpoint.remove()

    def count(self, unit: Unit, tell: Callable[[int], None] = lambda done: None) -> None:
        """Count ``unit`` and write its counts; CorpusError when its file changed since the run began.

        ``tell`` is called with the bytes of the unit that are done.

        Its rows of tables are kept once `checkpoint` has returned. After an error the tables hold a part of the unit,
        so they must not be kept.
        """
        unit.check()
        plan = self.plan
        with ExitStack() as exits:
            writer = exits.enter_context(UnitCountsWriter(self.path(unit)))
            postings = None
            if plan.postings:
                temporary = exits.enter_context(atomic_path(posting_path(self.path(unit)), durable=False))
                postings = _C.PostingWriter(str(temporary), len(plan.source.watch), RUN_HITS)
            documents, skipped, languages = self._count(unit, writer, postings, tell)
            if postings is not None:
                postings.finish()
            unit.check()
            digest = None if postings is None else _C.PostingFile(str(temporary), len(plan.source.watch)).digest
            writer.header(
                {
                    "unit": unit.name,
                    "path": str(unit.path),
                    "begin": unit.begin,
                    "end": unit.end,
                    "configuration": self.digest,
                    "words": len(plan.source.watch),
                    "documents": documents,
                    "skipped": skipped,
                    "languages": languages,
                    "postings": digest,
                }
            )
        if plan.has_tables:
            self._held.append(unit)
            if plan.checkpoint is not None and time.monotonic() - self._begun >= plan.checkpoint:
                self.checkpoint()

    def checkpoint(self) -> None:
        """Write the tables of the units that were counted since the last checkpoint."""
        if not self._held:
            return
        assert self._place is not None
        for table in self._tables:
            table.finish()
        names = (unit.name for unit in self._held)
        write_checkpoint(self._place, self.plan.folder, self.digest, self.plan.run, names)
        self._exits.close()
        self._tables, self._place, self._held = [], None, []

    def _posting_digest(self, unit: Unit) -> int | None:
        if not self.plan.postings:
            return None
        return _C.PostingFile(str(posting_path(self.path(unit))), len(self.plan.source.watch)).digest

    def _builders(self, unit: Unit, writer: UnitCountsWriter) -> list[Builder]:
        """What the documents of a unit are counted into, beside words and pairs; the first counts the background."""
        plan, source = self.plan, self.plan.source
        if plan.has_tables and self._place is None:
            self._begin_tables()
        builders: list[Builder] = [*self._tables]
        if plan.sample is not None:
            file = unit.name.partition(".")[0]
            builders.append(SampleBuilder(len(source.watch), source.vocabulary, plan.sample, file, writer))
        elif not builders and source.vocabulary and plan.background:
            builders.append(BackgroundCounter(source.vocabulary))
        return builders

    def _begin_tables(self) -> None:
        plan, source = self.plan, self.plan.source
        place = self._exits.enter_context(block_folder(plan.folder))
        words, vocabulary = len(source.watch), source.vocabulary
        if plan.has_context_table:
            window = plan.scope.tokens if plan.scope.kind == "window" else 0
            self._tables.append(ContextTableBuilder(words, vocabulary, plan.table_bytes, place, window))
        if plan.strata is not None:
            self._tables.append(StratumTableBuilder(plan.strata, vocabulary, words, place))
        self._place = place
        self._begun = time.monotonic()

    def _count(
        self,
        unit: Unit,
        writer: UnitCountsWriter,
        postings: _C.PostingWriter | None,
        tell: Callable[[int], None],
    ) -> tuple[int, int, list[str]]:
        source, scope = self.plan.source, self.plan.scope
        counter, builders = self._counter, self._builders(unit, writer)
        counter.clear()
        before = builders[0].background if builders else 0
        language_cells = _Cells(writer, LANGUAGE)
        languages: dict[str, int] = {}
        skipped = 0
        for block in source.blocks(unit, scope):
            offsets, words, counts, places = block.hits
            counter.add(offsets, words, counts, places)
            for builder in builders:
                builder.add(block)
            if postings is not None:
                postings.add(offsets, words, counts, block.rows)
            if block.langs is not None:
                known = [languages.setdefault(lang, len(languages)) for lang in block.langs.dictionary.to_pylist()]
                ids = np.array(known, np.int32)[block.langs.indices.to_numpy()]
                language_cells.add(block.rows, ids, np.ones(len(ids), np.int32))
            skipped += block.skipped
            tell(block.done)
        language_cells.flush()
        vectors = [(DF, counter.df), (TF, counter.tf), (PAIR, counter.pair_df)]
        if builders and source.vocabulary and self.plan.background:
            vectors.append((BACKGROUND, builders[0].background - before))
        for kind, vector in vectors:
            writer.vector(kind, vector)
        return counter.documents, skipped, list(languages)


class _Cells:
    """Writes cells of one kind, whose rows ascend, many together."""

    def __init__(self, writer: UnitCountsWriter, kind: int) -> None:
        self._writer = writer
        self._kind = kind
        self._parts: list[tuple[Any, Any, Any]] = []
        self._size = 0

    def add(self, rows: npt.NDArray[Any], columns: npt.NDArray[Any], counts: npt.NDArray[Any]) -> None:
        self._parts.append((rows, columns, counts))
        self._size += len(rows)
        if self._size >= GROUP_CELLS:
            self.flush()

    def flush(self) -> None:
        if self._size:
            rows, columns, counts = (np.concatenate(column) for column in zip(*self._parts, strict=True))
            self._writer.cells(self._kind, rows, columns, counts)
        self._parts, self._size = [], 0

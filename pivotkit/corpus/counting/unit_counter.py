"""Counting one work unit: its documents in blocks, their hits into counters, the counters into one file."""

from __future__ import annotations

import functools
import hashlib
import unicodedata
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from pivotkit import _C
from pivotkit.corpus.counting.matched_block import MatchedBlock
from pivotkit.corpus.counting.unit_tokens import BackgroundCounter, ContextTableBuilder, SampleBuilder, footer_digest
from pivotkit.corpus.matching.normal_form import NORMALIZATION
from pivotkit.corpus.matching.token_watchlist import TokenWatchList
from pivotkit.corpus.matching.watchlist import WatchList
from pivotkit.corpus.reading.documents import Unit
from pivotkit.corpus.reading.scope import Scope
from pivotkit.corpus.tables.unit_counts import (
    BACKGROUND,
    DF,
    LANGUAGE,
    PAIR,
    POSTING,
    SAMPLED,
    SAMPLED_TOKEN,
    TF,
    UnitCountsWriter,
    read_cells,
    read_header,
)
from pivotkit.errors import CorpusError

FORMAT = 3
KINDS = (DF, TF, PAIR, BACKGROUND, POSTING, LANGUAGE, SAMPLED, SAMPLED_TOKEN)
WAITING_CELLS = 1 << 20  # cells that wait to be sorted and written together


class Source(Protocol):
    """A corpus and a watch list, ready to be matched in a worker process."""

    @property
    def watch(self) -> WatchList | TokenWatchList: ...

    vocabulary: int  # 0: documents come without tokens
    tokenizer: str | None

    def identity(self) -> Any: ...
    def blocks(self, unit: Unit, scope: Scope) -> Iterator[MatchedBlock]: ...


@dataclass(frozen=True)
class Plan:
    """What is counted in each unit, and how. `digest` names the files; it covers all but the folder and the memory."""

    source: Source
    pairs: npt.NDArray[np.int32]
    scope: Scope
    context: bool
    folder: Path
    block_bytes: int  # of a block of the context table
    sample: int | None = None  # documents per word that its context row is estimated from; None: all, exactly

    def digest(self) -> str:
        identity = {
            "format": FORMAT,
            "source": self.source.identity(),
            "words": self.source.watch.words,
            "pairs": hashlib.blake2b(self.pairs.astype("<i4").tobytes(), digest_size=12).hexdigest(),
            "scope": str(self.scope),
            "context": self.context,
            "sample": self.sample,
            "normalization": f"{NORMALIZATION}; Python's of Unicode {unicodedata.unidata_version}",
            "marks": self.source.watch.marks,
        }
        return hashlib.blake2b(orjson.dumps(identity, option=orjson.OPT_SORT_KEYS), digest_size=12).hexdigest()


class UnitCounter:
    """Counts units by one plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.digest = plan.digest()

    @functools.cached_property
    def _counter(self) -> _C.DocumentCounter:
        """One counter for all units: arranging a million pairs takes longer than counting many a unit."""
        scope = self.plan.scope
        window = scope.tokens if scope.kind == "window" else 0
        return _C.DocumentCounter(len(self.plan.source.watch), self.plan.pairs, window)

    def path(self, unit: Unit) -> Path:
        return self.plan.folder / f"{unit.name}-{self.digest}.parquet"

    def context_path(self, unit: Unit) -> Path:
        """The row file of the unit's context table; ``csrc/rows/row_file.h`` has the format."""
        return self.path(unit).with_suffix(".rows")

    def header(self, unit: Unit) -> dict[str, Any] | None:
        """The header of the finished counts of ``unit``; None without them, or when the row file is not theirs."""
        header = read_header(self.path(unit))
        if header is None or (header["unit"], header["configuration"]) != (unit.name, self.digest):
            return None
        path = self.context_path(unit)
        return header if not self._has_table or (path.is_file() and footer_digest(path) == header["context"]) else None

    def is_done(self, unit: Unit) -> bool:
        return self.header(unit) is not None

    @property
    def _has_table(self) -> bool:
        """Whether units have context tables; for a sample, units keep documents instead."""
        return self.plan.context and self.plan.sample is None

    def is_whole(self, unit: Unit) -> bool:
        """Whether every byte of the unit's counts and row file can be read; the counts are removed when not."""
        source = self.plan.source
        try:
            for _ in read_cells(self.path(unit), KINDS):
                pass
            if self._has_table:
                _C.check_rows(str(self.context_path(unit)), len(source.watch), source.vocabulary)
        except (OSError, pa.ArrowException, CorpusError):
            self.path(unit).unlink(missing_ok=True)
            return False
        return self.is_done(unit)

    def count(self, unit: Unit) -> None:
        """Count ``unit`` and write its counts; CorpusError when its file changed since the run began."""
        unit.check()
        with UnitCountsWriter(self.path(unit)) as writer:
            with self._tokens(unit, writer) as tokens:
                documents, skipped, languages = self._count(unit, writer, tokens)
                if tokens is not None:
                    writer.vector(BACKGROUND, tokens.finish(self.context_path(unit)))
            unit.check()
            writer.header(
                {
                    "unit": unit.name,
                    "path": str(unit.path),
                    "begin": unit.begin,
                    "end": unit.end,
                    "configuration": self.digest,
                    "documents": documents,
                    "skipped": skipped,
                    "languages": languages,
                    "context": footer_digest(self.context_path(unit)) if self._has_table else None,
                }
            )

    def _tokens(
        self, unit: Unit, writer: UnitCountsWriter
    ) -> ContextTableBuilder | BackgroundCounter | nullcontext[None]:
        """What the tokens of a unit are counted into."""
        plan, source = self.plan, self.plan.source
        if self._has_table:
            return ContextTableBuilder(len(source.watch), source.vocabulary, plan.block_bytes, plan.folder)
        if plan.sample is not None:
            file = unit.name.partition(".")[0]
            return SampleBuilder(len(source.watch), source.vocabulary, plan.sample, file, writer)
        return BackgroundCounter(source.vocabulary) if source.vocabulary else nullcontext()

    def _count(
        self, unit: Unit, writer: UnitCountsWriter, tokens: ContextTableBuilder | BackgroundCounter | None
    ) -> tuple[int, int, list[str]]:
        source, scope = self.plan.source, self.plan.scope
        counter = self._counter
        counter.clear()
        postings, language_cells = _SortedCells(writer, POSTING), _SortedCells(writer, LANGUAGE)
        languages: dict[str, int] = {}
        skipped = 0
        for block in source.blocks(unit, scope):
            offsets, words, counts, places = block.hits
            counter.add(offsets, words, counts, places)
            if tokens is not None:
                tokens.add(block)
            postings.add(words, np.repeat(block.rows.astype(np.int32), np.diff(offsets)), counts)
            if block.langs is not None:
                known = [languages.setdefault(lang, len(languages)) for lang in block.langs.dictionary.to_pylist()]
                ids = np.array(known, np.int32)[block.langs.indices.to_numpy()]
                language_cells.add(block.rows, ids, np.ones(len(ids), np.int32))
            skipped += block.skipped
        postings.flush()
        language_cells.flush()
        for kind, vector in ((DF, counter.df), (TF, counter.tf), (PAIR, counter.pair_df)):
            writer.vector(kind, vector)
        return counter.documents, skipped, list(languages)


class _SortedCells:
    """Writes cells of one kind in runs sorted by row; within a row they keep the order in which they came."""

    def __init__(self, writer: UnitCountsWriter, kind: int) -> None:
        self._writer = writer
        self._kind = kind
        self._parts: list[tuple[Any, Any, Any]] = []
        self._size = 0

    def add(self, rows: npt.NDArray[Any], columns: npt.NDArray[Any], counts: npt.NDArray[Any]) -> None:
        self._parts.append((rows, columns, counts))
        self._size += len(rows)
        if self._size >= WAITING_CELLS:
            self.flush()

    def flush(self) -> None:
        if self._size:
            rows, columns, counts = (np.concatenate(column) for column in zip(*self._parts, strict=True))
            order = np.argsort(rows, kind="stable")
            self._writer.cells(self._kind, rows[order], columns[order], counts[order])
        self._parts, self._size = [], 0

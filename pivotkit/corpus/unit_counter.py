"""Counting one work unit: documents in blocks, hits, counters, one partial."""

from __future__ import annotations

import functools
import hashlib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from pivotkit import _C
from pivotkit.corpus.documents import Unit
from pivotkit.corpus.partial import (
    BACKGROUND,
    CONTEXT,
    DF,
    LANGUAGE,
    PAIR,
    POSTING,
    TF,
    PartialWriter,
    read_cells,
    read_header,
)
from pivotkit.corpus.row_ranges import row_ranges
from pivotkit.corpus.scope import Scope
from pivotkit.corpus.token_watchlist import TokenWatchList
from pivotkit.corpus.watchlist import NORMALIZATION, WatchList

FORMAT = 3
ROW_CELLS = 1 << 20  # of the context table that are made at once
KINDS = (DF, TF, PAIR, BACKGROUND, CONTEXT, POSTING, LANGUAGE)
WAITING_CELLS = 1 << 20  # that wait to be sorted and written together

Tokens = tuple[npt.NDArray[Any], npt.NDArray[np.int64]]
Hits = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.int32], Any]


@dataclass
class Block:
    """Some documents of a unit: their hits, where they are in the unit, and what else is known of them."""

    hits: Hits
    rows: npt.NDArray[np.int64]
    tokens: Tokens | None = None
    langs: pa.DictionaryArray | None = None
    skipped: int = 0


class Source(Protocol):
    """A corpus and a watch list, ready to be matched in a worker process."""

    @property
    def watch(self) -> WatchList | TokenWatchList: ...

    vocabulary: int  # 0: documents come without tokens
    tokenizer: str | None

    def identity(self) -> Any: ...
    def blocks(self, unit: Unit, scope: Scope) -> Iterator[Block]: ...


@dataclass(frozen=True)
class Plan:
    """All that the counts of a unit depend on besides the unit (its digest names the partials), and how to make them."""

    source: Source
    pairs: npt.NDArray[np.int32]
    scope: Scope
    context: bool
    folder: Path
    block_cells: int  # of the context counter's block

    def digest(self) -> str:
        identity = {
            "format": FORMAT,
            "source": self.source.identity(),
            "words": self.source.watch.words,
            "pairs": hashlib.blake2b(self.pairs.astype("<i4").tobytes(), digest_size=12).hexdigest(),
            "scope": str(self.scope),
            "context": self.context,
            "normalization": f"{NORMALIZATION} of Unicode {unicodedata.unidata_version}",
        }
        return hashlib.blake2b(orjson.dumps(identity, option=orjson.OPT_SORT_KEYS), digest_size=12).hexdigest()


class UnitCounter:
    """Counts units by one plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.digest = plan.digest()

    @functools.cached_property
    def _counter(self) -> _C.DocumentCounter:
        """One for all units: a million pairs take longer to arrange than many a unit to count."""
        scope = self.plan.scope
        window = scope.tokens if scope.kind == "window" else 0
        return _C.DocumentCounter(len(self.plan.source.watch), self.plan.pairs, window)

    def path(self, unit: Unit) -> Path:
        return self.plan.folder / f"{unit.name}-{self.digest}.parquet"

    def is_done(self, unit: Unit) -> bool:
        header = read_header(self.path(unit))
        return header is not None and (header["unit"], header["configuration"]) == (unit.name, self.digest)

    def is_whole(self, unit: Unit) -> bool:
        """Whether every page of the unit's partial can be read; the partial is removed when not."""
        try:
            for _ in read_cells(self.path(unit), KINDS):
                pass
        except (OSError, pa.ArrowException):
            self.path(unit).unlink(missing_ok=True)
            return False
        return self.is_done(unit)

    def count(self, unit: Unit) -> None:
        """Count ``unit`` and write its partial; CorpusError when its file is not what it was when the run began."""
        unit.check()
        with PartialWriter(self.path(unit)) as partial:
            documents, skipped, languages = self._count(unit, partial)
            unit.check()
            partial.header(
                {
                    "unit": unit.name,
                    "path": str(unit.path),
                    "begin": unit.begin,
                    "end": unit.end,
                    "configuration": self.digest,
                    "documents": documents,
                    "skipped": skipped,
                    "languages": languages,
                }
            )

    def _count(self, unit: Unit, partial: PartialWriter) -> tuple[int, int, list[str]]:
        source, scope = self.plan.source, self.plan.scope
        counter = self._counter
        counter.clear()
        tokens = _tokens(self.plan)
        postings, language_cells = _Runs(partial, POSTING), _Runs(partial, LANGUAGE)
        languages: dict[str, int] = {}
        skipped = 0
        for block in source.blocks(unit, scope):
            offsets, words, counts, places = block.hits
            counter.add(offsets, words, counts, places)
            if tokens is not None and block.tokens is not None:
                tokens.add(block.hits, block.tokens, partial)
            postings.add(words, np.repeat(block.rows.astype(np.int32), np.diff(offsets)), counts)
            if block.langs is not None:
                known = [languages.setdefault(lang, len(languages)) for lang in block.langs.dictionary.to_pylist()]
                ids = np.array(known, np.int32)[block.langs.indices.to_numpy()]
                language_cells.add(block.rows, ids, np.ones(len(ids), np.int32))
            skipped += block.skipped
        postings.flush()
        language_cells.flush()
        for kind, vector in ((DF, counter.df), (TF, counter.tf), (PAIR, counter.pair_df)):
            partial.vector(kind, vector)
        if tokens is not None:
            partial.vector(BACKGROUND, tokens.finish(partial))
        return counter.documents, skipped, list(languages)


class _Background:
    """The documents of each token."""

    def __init__(self, vocabulary: int) -> None:
        self._counter = _C.TokenCounter(vocabulary)

    def add(self, _: Hits, tokens: Tokens, __: PartialWriter) -> None:
        self._counter.add(*tokens)

    def finish(self, _: PartialWriter) -> npt.NDArray[np.int64]:
        return self._counter.df


class _Contexts:
    """The same, and the context table, whose full blocks go to the partial as they are."""

    def __init__(self, words: int, vocabulary: int, cells: int) -> None:
        self._counter = _C.ContextCounter(words, vocabulary, cells)

    def add(self, hits: Hits, tokens: Tokens, partial: PartialWriter) -> None:
        offsets, words = hits[:2]
        taken, size = 0, len(offsets) - 1
        while True:
            taken += self._counter.add(offsets, words, *tokens, taken)
            if taken == size:
                return
            self._write(partial)

    def finish(self, partial: PartialWriter) -> npt.NDArray[np.int64]:
        self._write(partial)
        return self._counter.background

    def _write(self, partial: PartialWriter) -> None:
        most = np.concatenate([[0], np.cumsum(self._counter.bounds())])
        for begin, end in row_ranges(most, ROW_CELLS):
            offsets, tokens, counts = self._counter.rows(begin, end)
            rows = np.repeat(np.arange(begin, end, dtype=np.int32), np.diff(offsets))
            partial.cells(CONTEXT, rows, tokens, counts)
        self._counter.clear()


def _tokens(plan: Plan) -> _Background | _Contexts | None:
    source = plan.source
    if plan.context:
        return _Contexts(len(source.watch), source.vocabulary, plan.block_cells)
    return _Background(source.vocabulary) if source.vocabulary else None


class _Runs:
    """Cells of one kind, in runs sorted by row; those of a row stay in the order that they came in."""

    def __init__(self, partial: PartialWriter, kind: int) -> None:
        self._partial = partial
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
            self._partial.cells(self._kind, rows[order], columns[order], counts[order])
        self._parts, self._size = [], 0

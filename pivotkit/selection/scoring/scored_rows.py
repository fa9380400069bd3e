"""The rows of document scores, unit by unit, as they are read from a corpus: in memory, or on disk."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pivotkit.artifacts import with_metadata
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.reading.units import Unit
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.errors import CorpusError
from pivotkit.progress import track
from pivotkit.selection.scoring.document_score import DocumentScore, Totals, totals_of
from pivotkit.selection.scoring.more_columns import MoreColumns
from pivotkit.selection.scoring.score_folder import ScoreFolder
from pivotkit.selection.scoring.tokenized_text import TokenizedText
from pivotkit.selection.scoring.translation_pairs import TranslationPairs

SCHEMA = pa.schema(
    [("unit", pa.string()), ("row", pa.int64()), ("id", pa.string()), ("tokens", pa.int32()), ("pivots", pa.int32()),
     ("score", pa.float64()), ("lang", pa.string())]
)  # fmt: skip
BLOCK_TOKENS = 1 << 19  # ids that are read at a time: more leave the caches, fewer cost more calls
ROWS = 1 << 16  # documents whose rows are made at a time, about
MOST_TOKENS = np.iinfo(np.int32).max  # of a document
Tokens = TokenFiles | TokenStore | TokenizedText


class Scoring:
    """A corpus and what its documents are scored by."""

    def __init__(
        self, corpus: Tokens, score: DocumentScore, more: MoreColumns, translated: TranslationPairs | None
    ) -> None:
        self._corpus, self._score, self._more, self._translated = corpus, score, more, translated
        self._units = corpus.work_units()
        self._schema = pa.schema([*SCHEMA, *more.fields, *([] if translated is None else translated.fields)])
        self._metadata: dict[str, Any] = {"pivots": int(score.is_pivot.sum()), "tokenizer": corpus.tokenizer}
        if score.name != "share":
            self._metadata["score"] = score.name
        if more.names:
            self._metadata["columns"] = list(more.names)
        if more.behaviors is not None:
            self._metadata["behaviors"] = more.behaviors.told()

    def table(self) -> pa.Table:
        """All rows, in memory."""
        tables = [self._schema.empty_table()]
        for unit in track(self._units, "Scoring documents"):
            tables += self._rows(unit)
        self._check(sum(map(len, tables)))
        return with_metadata(pa.concat_tables(tables), self._metadata | self._file_names(self._units))

    def write(self, out: Path) -> Path:
        """All rows, in the files of a folder."""
        # Nobody can tell whether two functions are one, so theirs are scores of nothing else.
        is_function = self._score.name == "function"
        of = {"score": "function", "call": secrets.token_hex()} if is_function else self._score.identity()
        of |= self._more.identity() if self._more.names else {}
        of |= {} if self._translated is None else {"hits": self._translated.identity()}
        identity = {"corpus": self._corpus.identity(), **of}
        folder = ScoreFolder(out, identity, [unit.name for unit in self._units])
        documents = 0
        for unit in track(self._units, "Scoring documents"):
            if not folder.has(unit.name):
                schema = with_metadata(self._schema.empty_table(), self._metadata | self._file_names([unit])).schema
                folder.write(unit.name, schema, self._checked_rows(unit))
            documents += folder.count(unit.name, self._schema)
        self._check(documents)
        folder.finish()
        return out

    def _check(self, documents: int) -> None:
        if self._translated is not None:
            self._translated.check(documents)

    def _file_names(self, units: Sequence[Unit]) -> dict[str, Any]:
        """The names of the files where nothing else tells documents apart."""
        is_nameless = isinstance(self._corpus, TokenFiles)
        return {"files": {unit.name: unit.path.name for unit in units}} if is_nameless else {}

    def _checked_rows(self, unit: Unit) -> Iterator[pa.Table]:
        """`_rows` of a file that stays as it is: what is kept under the name of a unit must be of that unit."""
        yield from self._rows(unit)
        if not isinstance(self._corpus, TokenStore):  # which has its own copy
            unit.check()

    def _rows(self, unit: Unit) -> Iterator[pa.Table]:
        """The rows of one unit, about `ROWS` at a time."""
        first = 0
        for totals, listed in self._totals(unit):
            table = self._table(unit, totals, listed)
            if self._translated is not None:
                counts = self._translated.count(unit.name, first, table["row"])
                for field, count in zip(self._translated.fields, counts, strict=True):
                    table = table.append_column(field, count)
            first += len(table)
            yield table

    def _totals(self, unit: Unit) -> Iterator[tuple[Totals, pa.Table]]:
        """The totals of some documents, and a table of their ``row`` and, where they are known, ``id`` and ``lang``."""
        corpus, of = self._corpus, partial(totals_of, self._score, self._more.scores)
        if isinstance(corpus, TokenizedText):
            for listed, blocks in corpus.batches(unit):
                for _, totals in _batched(unit, of(blocks), len(listed)):
                    yield totals, listed
            return
        known = corpus.table(unit) if isinstance(corpus, TokenStore) else None
        read = corpus.blocks(unit, tokens=BLOCK_TOKENS, whole=self._score.function is not None)
        for first, totals in _batched(unit, of(read), ROWS):
            size = len(totals.tokens)
            rows = pa.table({"row": np.arange(first, first + size)}) if known is None else known.slice(first, size)
            yield totals, rows

    def _table(self, unit: Unit, totals: Totals, listed: pa.Table) -> pa.Table:
        """Rows without counts of translation pairs."""
        size = len(totals.tokens)
        unknown = pa.nulls(size, pa.string())
        known = listed.column_names
        columns = [
            pa.repeat(pa.scalar(unit.name, pa.string()), size),
            listed["row"],
            listed["id"] if "id" in known else unknown,
            pa.array(totals.tokens.astype(np.int32)),
            pa.array(totals.pivots.astype(np.int32)),
            pa.array(totals.scores),
            listed["lang"] if "lang" in known else unknown,
            *self._more.arrays(unit, totals, listed["row"].to_numpy()),
        ]
        return pa.table(columns, schema=pa.schema([*SCHEMA, *self._more.fields]))


def _batched(unit: Unit, parts: Iterable[Totals], documents: int) -> Iterator[tuple[int, Totals]]:
    """Put totals together to at least ``documents``, but for the last; with the number of documents before them."""
    first = size = 0
    waiting: list[Totals] = []
    for part in parts:
        if len(part.tokens) and part.tokens.max() > MOST_TOKENS:
            raise CorpusError(unit.path, "", f"must hold documents of at most {MOST_TOKENS} tokens; got a longer one")
        waiting.append(part)
        size += len(part.tokens)
        if size >= documents:
            yield first, _joined(waiting)
            first, size, waiting = first + size, 0, []
    if size:
        yield first, _joined(waiting)


def _joined(parts: list[Totals]) -> Totals:
    tokens, pivots, scores, more = zip(*parts, strict=True)
    join = np.concatenate
    return Totals(join(tokens), join(pivots), join(scores), tuple(map(join, zip(*more, strict=True))))

"""What the filters say of the documents of one work unit, and the file that keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.artifacts import read_table, table_metadata, with_metadata, write_table
from pivotkit.corpus.languages.unit_languages import characters
from pivotkit.corpus.reading.documents import read_texts
from pivotkit.corpus.reading.text_block import UNKNOWN, TextBlock
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.reading.units import Unit
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.errors import InputError
from pivotkit.selection.guard.exclusion import Excluded
from pivotkit.selection.guard.near_duplicates import HASHES, signatures
from pivotkit.selection.guard.quality import QualityFilters
from pivotkit.selection.guard.shingles import Hashed, text_words, token_words

EXCLUDE = "exclude"
BLOCK_TOKENS = 1 << 20  # ids that are read at a time
SCHEMA = pa.schema(
    [("row", pa.int64()), ("id", pa.string()), ("size", pa.int64()), ("lang", pa.string()), ("filter", pa.string()),
     ("reason", pa.string()), ("signature", pa.binary(2 * HASHES))]
)  # fmt: skip
_SKIPPED, _IDENTITY = "skipped", "identity"


@dataclass(frozen=True)
class UnitGuard:
    """The filters that look at one document at a time, and what near-duplicates are told by; for a worker process.

    Attributes
    ----------
    quality : QualityFilters
    excluded : Excluded or None
    seed : int or None
        Of the signatures; None where near-duplicates may stay.
    on_error : str
    store : TokenStore, TokenFiles or None
        None for text.
    """

    quality: QualityFilters
    excluded: Excluded | None
    seed: int | None
    on_error: str
    store: TokenStore | TokenFiles | None

    def of(self, unit: Unit) -> pa.Table:
        """Every document of ``unit``: `SCHEMA`, where ``filter`` and ``signature`` are null for what is not told."""
        blocks = self._texts(unit) if self.store is None else self._tokens(unit, self.store)
        parts, skipped = [], 0
        for table, missed in blocks:
            parts.append(table)
            skipped += missed
        table = pa.concat_tables([SCHEMA.empty_table(), *parts]).combine_chunks()
        return with_metadata(table, {_SKIPPED: skipped})

    def _texts(self, unit: Unit) -> Iterator[tuple[pa.Table, int]]:
        looks_at_words = self.excluded is not None or self.seed is not None
        for block in read_texts(unit, self.on_error):
            langs = block.langs.to_pylist()
            ids = [
                f"{unit.path.name}:{row + 1}" if own is None else own
                for own, row in zip(block.ids.to_pylist(), block.rows.tolist(), strict=True)
            ]
            verdicts: list[tuple[str, str] | None] = [None] * len(block)
            words = text_words(block) if looks_at_words else None
            held = self._held(words, len(block))
            if self.quality.quality:
                for place in np.flatnonzero(~held).tolist():
                    verdicts[place] = self.quality.verdict(_text(block, place), langs[place])
            columns = [pa.array(block.rows), ids, characters(block), langs]
            yield self._table(columns, held, verdicts, words), block.skipped

    def _tokens(self, unit: Unit, store: TokenStore | TokenFiles) -> Iterator[tuple[pa.Table, int]]:
        listed = store.table(unit) if isinstance(store, TokenStore) else None
        begin = 0
        for block in store.blocks(unit, tokens=BLOCK_TOKENS):
            size = len(block.offsets) - 1
            words, rows = token_words(block), np.arange(begin, begin + size)
            if listed is None:
                ids, langs = [f"{unit.path.name}:{row}" for row in rows.tolist()], [UNKNOWN] * size
            else:
                part = listed.slice(begin, size)
                rows, ids = part["row"].to_numpy(), part["id"].to_pylist()
                langs = [UNKNOWN if lang is None else lang for lang in part["lang"].to_pylist()]
            columns = [pa.array(rows), ids, np.diff(block.offsets), langs]
            yield self._table(columns, self._held(words, size), [None] * size, words), 0
            begin += size
        unit.check()

    def _held(self, words: Hashed | None, size: int) -> NDArray[np.bool_]:
        if self.excluded is None or words is None:
            return np.zeros(size, np.bool_)
        return self.excluded.held(words)

    def _table(
        self, columns: list[object], held: NDArray[np.bool_], verdicts: list[tuple[str, str] | None],
        words: Hashed | None,
    ) -> pa.Table:  # fmt: skip
        told = [(EXCLUDE, "shared words") if bad else found for bad, found in zip(held.tolist(), verdicts, strict=True)]
        signs: list[bytes | None] = [None] * len(told)
        if self.seed is not None and words is not None and len(told):
            rows = signatures(words, self.seed)
            has_words = np.diff(words.offsets) > 0
            for place in np.flatnonzero(has_words).tolist():
                signs[place] = rows[place].tobytes() if told[place] is None else None
        both = [found or (None, None) for found in told]
        return pa.table([*columns, [one for one, _ in both], [why for _, why in both], signs], schema=SCHEMA)


def _text(block: TextBlock, place: int) -> str:
    return block.texts(place, place + 1)[0]


def write_part(table: pa.Table, path: Path, identity: str) -> None:
    """Keep the table of a unit, with what it was made by."""
    write_table(table, path, table_metadata(table) | {_IDENTITY: identity})


def read_part(path: Path, identity: str) -> pa.Table | None:
    """The table of a unit as it was written; None for none, a damaged one, or one that was made otherwise."""
    try:
        table = read_table(path)
    except (InputError, OSError):
        return None
    return table if table_metadata(table).get(_IDENTITY) == identity else None


def skipped_in(table: pa.Table) -> int:
    """How many documents of the unit could not be read."""
    return int(table_metadata(table)[_SKIPPED])


def signatures_of(table: pa.Table) -> NDArray[np.uint16]:
    """The signatures of a table without nulls, (N, HASHES)."""
    column = table["signature"].combine_chunks()
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    parts = [
        np.frombuffer(chunk.buffers()[1], np.uint16)[chunk.offset * HASHES : (chunk.offset + len(chunk)) * HASHES]
        for chunk in chunks
        if len(chunk)
    ]
    return np.concatenate([np.zeros(0, np.uint16), *parts]).reshape(-1, HASHES)

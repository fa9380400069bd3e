"""One part of a mixture as documents of ids: token files, a store, text with a tokenizer, or a written selection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pivotkit.arguments import check_paths, refuse
from pivotkit.artifacts import read_object
from pivotkit.corpus.reading.documents import read_documents, work_units
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.reading.token_formats import count_ids, megatron_dtype
from pivotkit.corpus.reading.units import Unit
from pivotkit.corpus.token_store.encode import encode
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.selection.writing.begun_folder import MANIFEST
from pivotkit.selection.writing.documents import Tokens
from pivotkit.selection.writing.formats import TEXT_FORMATS, TOKEN_FORMATS
from pivotkit.selection.writing.text_source import Tokenizer

UNIT_BYTES = 8 << 20  # of a stretch of a file that is read in order
BLOCK_TOKENS = 1 << 18
ROWS = pa.schema(
    [("file", pa.string()), ("row", pa.int64()), ("at", pa.int64()), ("id", pa.string())]
)  # `row` of text and of a store, `at` of a document's first id in its file


@dataclass(frozen=True)
class PartSource:
    """The documents of a part.

    Attributes
    ----------
    corpus : TokenStore, TokenFiles, or paths of text
    tokenizer : Tokenizer or None
        For text.
    """

    corpus: TokenStore | TokenFiles | Sequence[Any]
    tokenizer: Tokenizer | None

    @classmethod
    def of(cls, name: str, given: Any, tokenizer: Tokenizer | None) -> PartSource:
        """The source of what was given for a part; a folder of `write_selection` or `mix` says itself what it holds."""
        if isinstance(given, TokenStore | TokenFiles):
            return cls(given, None)
        paths = check_paths("mix", "parts", given)
        if isinstance(given, str | PathLike) and (Path(given) / MANIFEST).is_file():
            folder = Path(given)
            told = read_object(folder / MANIFEST, {"format": str})
            if told["format"] in TOKEN_FORMATS:
                told = read_object(folder / MANIFEST, {"format": str, "vocab_size": int, "dtype": str})
                is_olmo = told["format"] == "olmo"
                return cls(
                    TokenFiles(
                        folder, told["vocab_size"], told["format"], "uint16" if told["dtype"] == "uint16" else "uint32",
                        told["eos"] if is_olmo else None, told.get("bos") if is_olmo else None, told.get("tokenizer"),
                    ),
                    None,
                )  # fmt: skip
            place = folder / "documents" if told["format"] == "dolma" else folder
            paths = (
                [str(place / f"part-*{TEXT_FORMATS[told['format']][0]}")] if told["format"] in TEXT_FORMATS else paths
            )
        if tokenizer is None:
            refuse("mix", "tokenizer", f"be given for text, as part {name!r} is", None)
        return cls(paths, tokenizer)

    @property
    def vocab_size(self) -> int:
        known = self.tokenizer or self.corpus
        size: int = known.vocab_size  # type: ignore[union-attr]
        return size

    @property
    def tokenizer_name(self) -> str | None:
        """The name of what made the ids."""
        if self.tokenizer is not None:
            return self.tokenizer.digest
        return self.corpus.tokenizer if isinstance(self.corpus, TokenStore | TokenFiles) else None

    @property
    def eos(self) -> int | None:
        """The id that ends documents, where the part says it."""
        if self.tokenizer is not None:
            return self.tokenizer.eos
        return self.corpus.eos if isinstance(self.corpus, TokenFiles) else None

    @property
    def bos(self) -> int | None:
        return self.corpus.bos if isinstance(self.corpus, TokenFiles) else None

    @property
    def ends_documents(self) -> bool:
        """Whether ``eos`` ends documents already, so that it stands nowhere else."""
        return isinstance(self.corpus, TokenFiles) and self.corpus.format == "olmo"

    def units(self) -> list[Unit]:
        """Stretches of files, each of which is read in order."""
        if isinstance(self.corpus, TokenStore | TokenFiles):
            return self.corpus.work_units(UNIT_BYTES)
        return work_units(list(self.corpus), UNIT_BYTES)

    def total(self) -> int | None:
        """How many ids there are; None for text, which must be read to know it."""
        if isinstance(self.corpus, TokenStore):
            return sum(self.corpus.tokens(unit) for unit in self.corpus.units)
        if not isinstance(self.corpus, TokenFiles):
            return None
        kind, is_megatron = np.dtype(self.corpus.dtype), self.corpus.format == "megatron"
        return sum(count_ids(path, megatron_dtype(path) if is_megatron else kind) for path in self.corpus.paths())

    def documents(self, unit: Unit) -> Iterator[Tokens]:
        """The documents of a unit, some at a time."""
        if isinstance(self.corpus, TokenStore | TokenFiles):
            yield from self._of_tokens(self.corpus, unit)
            return
        assert self.tokenizer is not None
        for batch in read_documents(unit):
            at = 0
            for ids, offsets in encode(self.tokenizer.core, batch.texts):
                part = slice(at, at + len(offsets) - 1)
                at = part.stop
                yield Tokens(_rows(unit, batch.rows[part], None, batch.ids[part]), ids, offsets[1:])

    def _of_tokens(self, corpus: TokenStore | TokenFiles, unit: Unit) -> Iterator[Tokens]:
        listed = corpus.table(unit) if isinstance(corpus, TokenStore) else None
        begin = 0
        for block in corpus.blocks(unit, tokens=BLOCK_TOKENS):
            count = len(block.offsets) - 1
            places = None if listed is None else listed.slice(begin, count)
            begin += count
            rows, ids = (None, None) if places is None else (places["row"], places["id"])
            at = None if listed is not None else block.first + block.offsets[:-1]
            yield Tokens(_rows(unit, rows, at, ids, count), block.ids, block.offsets[1:])
        unit.check()


def _rows(unit: Unit, rows: Any, at: Any, ids: Any, count: int | None = None) -> pa.Table:
    """What provenance says of documents of a unit."""
    size = len(rows) if count is None else count
    columns = [pa.repeat(pa.scalar(unit.path.name, pa.string()), size)]
    columns += [
        pa.nulls(size, kind)
        if values is None
        else values
        if isinstance(values, pa.ChunkedArray)
        else pa.array(values, kind)
        for values, kind in ((rows, pa.int64()), (at, pa.int64()), (ids, pa.string()))
    ]
    return pa.table(columns, schema=ROWS)

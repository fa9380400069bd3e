"""The formats that a selection is written in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pivotkit.corpus.reading.corpus_files import TOKEN_SUFFIXES
from pivotkit.selection.writing.id_shards import DatatroveShard, IdShard, MegatronShard, OlmoShard
from pivotkit.selection.writing.text_shards import ColumnShard, DolmaShard, LineShard

TextShard = LineShard | ColumnShard | DolmaShard
TEXT_FORMATS: dict[str, tuple[str, type[LineShard] | type[ColumnShard] | type[DolmaShard]]] = {
    "jsonl": (".jsonl", LineShard),
    "jsonl.zst": (".jsonl.zst", LineShard),
    "parquet": (".parquet", ColumnShard),
    "datasets": (".arrow", ColumnShard),
    "dolma": (".jsonl.gz", DolmaShard),
}
TOKEN_FORMATS: dict[str, type[IdShard]] = {"olmo": OlmoShard, "megatron": MegatronShard, "datatrove": DatatroveShard}
FORMATS = (*TEXT_FORMATS, *TOKEN_FORMATS)


@dataclass(frozen=True)
class Layout:
    """A format, and what its shards need to know.

    Attributes
    ----------
    format : str
        One of `FORMATS`.
    dtype : numpy.dtype or None
        The type of ids; None for text.
    tokenizer : str or None
        The tokenizer's name.
    """

    format: str
    dtype: np.dtype[Any] | None = None
    tokenizer: str | None = None

    def shard(self, folder: Path, number: int) -> Any:
        """Begin the file, or files, of a shard."""
        stem = f"part-{number:05}"
        if self.format in TEXT_FORMATS:
            suffix, kind = TEXT_FORMATS[self.format]
            return kind(folder, stem, suffix)
        assert self.dtype is not None
        return TOKEN_FORMATS[self.format](folder, stem, TOKEN_SUFFIXES[self.format], self.dtype, self.tokenizer)

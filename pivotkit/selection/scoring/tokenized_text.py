"""Text with a tokenizer, as a corpus of tokens that is never written down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from pivotkit.corpus.reading.documents import Corpus, read_documents, work_units
from pivotkit.corpus.reading.token_blocks import TokenBlock
from pivotkit.corpus.reading.units import Unit
from pivotkit.corpus.token_store.encode import encode, tokenizer_core, vocabulary_size


class TokenizedText:
    """The documents and ids that `tokenize` would keep for these files.

    Attributes
    ----------
    tokenizer : str
        The tokenizer's fingerprint, as `TokenStore.tokenizer`.
    vocab_size : int
    """

    def __init__(self, function: str, corpus: Corpus, tokenizer: Any, on_error: str) -> None:
        self._corpus, self._on_error = corpus, on_error
        self._core, self.tokenizer = tokenizer_core(function, tokenizer)
        self.vocab_size = vocabulary_size(self._core)

    def identity(self) -> dict[str, Any]:
        """What the ids depend on besides the files themselves."""
        return {"format": "text", "tokenizer": self.tokenizer, "on_error": self._on_error}

    def work_units(self) -> list[Unit]:
        """One unit for each file, as those of a `TokenStore`."""
        return work_units(self._corpus)

    def batches(self, unit: Unit) -> Iterator[tuple[pa.Table, Iterator[TokenBlock]]]:
        """Some documents at a time: ``row``, ``id`` and ``lang`` of each, and blocks of their ids."""
        for batch in read_documents(unit, self._on_error):
            columns = [pa.array(batch.rows, pa.int64())]
            columns += [pa.array(texts, pa.string()) for texts in (batch.ids, batch.langs)]
            blocks = (TokenBlock(ids, offsets, 0) for ids, offsets in encode(self._core, batch.texts))
            yield pa.table(columns, names=["row", "id", "lang"]), blocks

"""The selected documents of a corpus of text: their texts, or with a tokenizer their ids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from pivotkit.arguments import check_int, refuse
from pivotkit.corpus.reading.documents import Corpus, Unit, read_documents, work_units
from pivotkit.corpus.token_store.encode import encode, tokenizer_core, vocabulary_size
from pivotkit.errors import CorpusError
from pivotkit.selection.choosing.selection_folder import Selection
from pivotkit.selection.writing.documents import FILE, Texts, Tokens
from pivotkit.selection.writing.wanted import (
    WantedRows,
    check_ids,
    check_lengths,
    cut_lengths,
    end_of,
    remaining,
    takes_of,
    used_units,
)


class Tokenizer:
    """A tokenizer's core, and what is known of it.

    Attributes
    ----------
    digest : str
        Its fingerprint, as `TokenStore.tokenizer`.
    vocab_size : int
    eos : int or None
        The id that ends a document, where the tokenizer says it.
    """

    def __init__(self, function: str, tokenizer: Any) -> None:
        self.core, self.digest = tokenizer_core(function, tokenizer)
        self.vocab_size = vocabulary_size(self.core)
        eos = getattr(tokenizer, "eos_token_id", None)
        self.eos = eos if isinstance(eos, int) else None

    def beginning(self, text: str, tokens: int) -> tuple[str, int]:
        """The text of the first ``tokens`` tokens, and how many the whole text has."""
        found = self.core.encode(text, add_special_tokens=False)
        end = found.offsets[tokens - 1][1] if tokens <= len(found.ids) else len(text)
        return text[:end], len(found.ids)


@dataclass(frozen=True)
class TextSource:
    """Selected documents of text, in the order of the corpus.

    Attributes
    ----------
    selection : Selection
    corpus : Corpus
    on_error : str
    tokenizer : Tokenizer or None
    """

    selection: Selection
    corpus: Corpus
    on_error: str
    tokenizer: Tokenizer | None

    @property
    def schema(self) -> pa.Schema:
        """The columns of ``rows``."""
        return self.selection.schema.append(FILE)

    def units(self) -> list[Unit]:
        """The units that have selected documents."""
        return used_units(self.selection, work_units(self.corpus))

    def texts(self, unit: Unit, skip: int = 0) -> Iterator[Texts]:
        """The wanted texts of a unit without the first ``skip``, each cut where ``take`` says."""
        for documents in remaining(self._whole(unit), skip):
            yield self._cut(unit, documents)

    def tokens(self, unit: Unit, skip: int = 0) -> Iterator[Tokens]:
        """The ids of the wanted documents of a unit without the first ``skip``, each cut where ``take`` says."""
        assert self.tokenizer is not None
        for documents in remaining(self._whole(unit), skip):
            at = 0
            for ids, offsets in encode(self.tokenizer.core, documents.texts):
                rows = documents.rows.slice(at, len(offsets) - 1)
                lengths = np.diff(offsets)
                check_lengths(unit, rows, lengths, " of this tokenizer")
                at += len(rows)
                yield cut_lengths(Tokens(rows, ids, offsets[1:]))

    def _whole(self, unit: Unit) -> Iterator[Texts]:
        """The wanted documents of a unit, some at a time."""
        wanted = WantedRows(self.selection, unit)
        for batch in read_documents(unit, self.on_error):
            if not wanted.left:
                return
            if not batch.rows:
                continue
            rows = wanted.below(batch.rows[-1] + 1)
            if not len(rows):
                continue
            places = np.searchsorted(batch.rows, rows["row"].to_numpy()).tolist()
            for row, place, identity in zip(rows["row"].to_pylist(), places, rows["id"].to_pylist(), strict=True):
                if batch.rows[place] != row:
                    wanted.refuse(row, identity)
            ids = [batch.ids[place] for place in places]
            check_ids(unit, rows, pa.array(ids, pa.string()))
            rows = rows.append_column(FILE, pa.repeat(pa.scalar(unit.path.name, pa.string()), len(rows)))
            texts, langs = [batch.texts[place] for place in places], [batch.langs[place] for place in places]
            yield Texts(rows, ids, texts, langs)
        end_of(wanted)

    def _cut(self, unit: Unit, documents: Texts) -> Texts:
        if "take" not in documents.rows.column_names:
            return documents
        tokens = documents.rows["tokens"].to_numpy()
        check_lengths(unit, documents.rows, tokens, "")
        takes, texts = takes_of(documents.rows, tokens), list(documents.texts)
        for place in np.flatnonzero(takes != tokens).tolist():
            assert self.tokenizer is not None  # write_selection asks for one
            texts[place], found = self.tokenizer.beginning(texts[place], int(takes[place]))
            if found != tokens[place]:
                row = documents.rows["row"][place].as_py()
                rule = f"must hold a document of {tokens[place]} tokens of this tokenizer; got {found}"
                raise CorpusError(unit.path, f"row {row}", rule)
        return replace(documents, texts=texts)


def last_id(tokenizer: Tokenizer, eos: int | None, is_needed: bool) -> int | None:
    """The id that ends documents of text: ``eos``, or the tokenizer's own."""
    found = tokenizer.eos if eos is None else eos
    if found is None and is_needed:
        refuse("write_selection", "eos", "be given for a tokenizer that names none: the id that ends a document", None)
    check_int("write_selection", "eos", found, 0, tokenizer.vocab_size - 1, none=True)
    return found

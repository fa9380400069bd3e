"""The ids of the selected documents of a `TokenStore` or of `TokenFiles`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.arguments import check_int, kind, refuse
from pivotkit.corpus.reading.token_blocks import TokenBlock
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.reading.units import Unit
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.selection.choosing.selection_folder import Selection
from pivotkit.selection.writing.documents import FILE, Tokens
from pivotkit.selection.writing.wanted import (
    WantedRows,
    check_ids,
    check_lengths,
    cut_lengths,
    end_of,
    remaining,
    used_units,
)

BLOCK_TOKENS = 1 << 20  # ids that are read at a time


@dataclass(frozen=True)
class TokenSource:
    """Selected documents of ids, in the order of the corpus."""

    selection: Selection
    corpus: TokenStore | TokenFiles

    @property
    def schema(self) -> pa.Schema:
        """The columns of ``rows``."""
        return self.selection.schema.append(FILE)

    @property
    def ends_documents(self) -> bool:
        """Whether each document of the corpus ends with ``eos``, but perhaps the last of a file."""
        return isinstance(self.corpus, TokenFiles) and self.corpus.format == "olmo"

    def units(self) -> list[Unit]:
        """The units that have selected documents."""
        return used_units(self.selection, self.corpus.work_units())

    def tokens(self, unit: Unit, skip: int = 0) -> Iterator[Tokens]:
        """The ids of the wanted documents of a unit without the first ``skip``, each cut where ``take`` says."""
        # A document of OLMo's counts its end, which stays where the document is cut.
        last = int(self.corpus.eos or 0) if self.ends_documents and isinstance(self.corpus, TokenFiles) else None
        for documents in remaining(self._whole(unit), skip):
            yield cut_lengths(documents, last)

    def _whole(self, unit: Unit) -> Iterator[Tokens]:
        """The wanted documents of a unit, some at a time."""
        wanted = WantedRows(self.selection, unit)
        listed = self.corpus.table(unit) if isinstance(self.corpus, TokenStore) else None
        known = None if listed is None else listed["row"].to_numpy()
        begin = 0
        for block in self.corpus.blocks(unit, tokens=BLOCK_TOKENS):
            if not wanted.left:
                return
            end = begin + len(block.offsets) - 1
            rows = wanted.below(end if known is None else int(known[end - 1]) + 1)
            if len(rows):
                asked = rows["row"].to_numpy()
                places = asked if known is None else np.searchsorted(known, asked)
                if known is not None and (known[places] != asked).any():
                    row = int(np.flatnonzero(known[places] != asked)[0])
                    wanted.refuse(int(asked[row]), rows["id"][row].as_py())
                if listed is not None:
                    check_ids(unit, rows, listed["id"].take(pa.array(places)))
                yield _picked(unit, block, places - begin, rows)
            begin = end
        end_of(wanted)
        if isinstance(self.corpus, TokenFiles):
            unit.check()


def last_id(corpus: TokenStore | TokenFiles, eos: int | None, is_needed: bool) -> int | None:
    """The id that ends documents of ``corpus``."""
    own = corpus.eos if isinstance(corpus, TokenFiles) else None
    if own is not None and eos not in (None, own):
        refuse("write_selection", "eos", f"be that of corpus, {own}, or None", eos)
    if own is not None:
        return own
    if eos is None and is_needed:
        what = f"TokenFiles of {corpus.format}" if isinstance(corpus, TokenFiles) else kind(corpus)
        refuse("write_selection", "eos", f"be given for {what}: the id that ends a document", eos)
    check_int("write_selection", "eos", eos, 0, corpus.vocab_size - 1, none=True)
    return eos


def _picked(unit: Unit, block: TokenBlock, places: NDArray[np.int64], rows: pa.Table) -> Tokens:
    """Some documents of a block, whose lengths must be those of ``rows``."""
    lengths = np.diff(block.offsets)
    check_lengths(unit, rows, lengths[places], "")
    is_wanted = np.zeros(len(lengths), np.bool_)
    is_wanted[places] = True
    rows = rows.append_column(FILE, pa.repeat(pa.scalar(unit.path.name, pa.string()), len(rows)))
    return Tokens(rows, block.ids[np.repeat(is_wanted, lengths)], np.cumsum(lengths[places]))

"""Rows of equal length, packed from documents in a seeded order and read when they are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from pivotkit.training.arms import Documents


class PackedRows(Dataset[dict[str, torch.Tensor]]):
    """Documents one behind another in a seeded order, each ended by ``eos``, cut into rows of ``length`` ids.

    Equivalent to ``torch.cat([ids + [eos] for ids in shuffled])[: rows * length].view(rows, length)``, of which a row
    is made when it is asked for: documents stay in their files.

    Parameters
    ----------
    function : str
        Whom an error names.
    documents : Documents
    length : int
        Ids per row.
    rows : int
        How many rows there must be.
    seed : int
        Seed of the documents' order.

    Raises
    ------
    ValueError
        ``documents`` hold fewer than ``rows * length`` ids.
    """

    def __init__(self, function: str, documents: Documents, length: int, rows: int, seed: int) -> None:
        if documents.tokens < rows * length:
            raise ValueError(
                f"{function}: arms must hold at least {rows * length} tokens each, with one eos a document; "
                f"got {documents.tokens} in {documents.name}"
            )
        self._documents, self._length, self._rows = documents, length, rows
        self._order = np.random.default_rng(seed).permutation(len(documents.lengths))
        self._ends = np.cumsum(documents.lengths[self._order])

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        ids = torch.from_numpy(self.ids(row))
        return {"input_ids": ids, "labels": ids}

    def ids(self, row: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The ids of one row, int64 (length,)."""
        if not 0 <= row < self._rows:
            raise IndexError(f"PackedRows: row must be in [0, {self._rows}); got {row}")
        found = np.empty(self._length, np.int64)
        begin, filled = row * self._length, 0
        place = int(np.searchsorted(self._ends, begin, side="right"))
        while filled < self._length:
            document = int(self._order[place])
            size = int(self._documents.lengths[document])
            first = begin + filled - (int(self._ends[place]) - size)
            last = min(size, first + self._length - filled)
            inner = min(last, size - int(self._documents.bare[document]))  # ids of the document's own
            if first < inner:
                found[filled : filled + inner - first] = self._documents.read(document, first, inner)
            if last > max(inner, first):
                found[filled + last - first - 1] = self._documents.eos
            filled += last - first
            place += 1
        return found

"""Sets of token ids whose joint probability the unembedding reports, as a CSR table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pivotkit.kernels.arrays import integers


@dataclass(frozen=True, eq=False)
class TokenSetTable:
    """S sets of token ids for every row, or S sets of its own for each row.

    Set ``s`` of row ``m`` is ``ids[offsets[i]:offsets[i + 1]]`` with ``i = m * sets + s`` (``i = s`` where shared).
    The constructor sorts the ids of each set and drops duplicates; a set may be empty.

    Parameters
    ----------
    ids : (N,) int64
        Token ids of all sets, one set after another.
    offsets : (rows * sets + 1,) int64
        Where each set begins, and the end of the last.
    sets : int
        S, the number of sets per row.
    shared : bool, default False
        Whether the S sets hold for every row.

    Raises
    ------
    TypeError
        ``ids`` or ``offsets`` are not integers.
    ValueError
        ``offsets`` do not fit ``ids`` or ``sets``.

    Notes
    -----
    Cost: one sort of all ids.

    Examples
    --------
    >>> TokenSetTable.of_all([[5, 3, 5], []]).ids
    array([3, 5])
    >>> table = TokenSetTable.per_row([[[1], [2, 3]], [[4], []]])
    >>> table.rows, table.sets
    (2, 2)
    >>> table.take([1, 0, 1]).offsets
    array([0, 1, 1, 2, 4, 5, 5])
    """

    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sets: int
    shared: bool = False

    def __post_init__(self) -> None:
        name = "TokenSetTable"
        ids, offsets = integers(name, "ids", self.ids).ravel(), integers(name, "offsets", self.offsets).ravel()
        if self.sets < 0 or offsets.size < 1:
            raise ValueError(f"{name}: sets must not be negative and offsets not empty; got {self.sets} sets")
        count = offsets.size - 1
        if (count != self.sets) if self.shared else (count % self.sets if self.sets else count):
            raise ValueError(f"{name}: offsets must close {self.sets} sets for each row; got {count} sets")
        if offsets[0] != 0 or offsets[-1] != ids.size or (offsets[1:] < offsets[:-1]).any():
            raise ValueError(f"{name}: offsets must rise from 0 to {ids.size}, the number of ids; got {offsets}")
        owner = np.repeat(np.arange(count), np.diff(offsets))
        order = np.lexsort((ids, owner))
        ids, owner = ids[order], owner[order]
        first = np.ones(ids.size, dtype=bool)
        first[1:] = (ids[1:] != ids[:-1]) | (owner[1:] != owner[:-1])
        sizes = np.bincount(owner[first], minlength=count)
        object.__setattr__(self, "ids", np.ascontiguousarray(ids[first]))
        object.__setattr__(self, "offsets", np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))

    def __repr__(self) -> str:
        rows = "shared" if self.shared else f"rows={self.rows}"
        return f"TokenSetTable({rows}, sets={self.sets}, ids={self.ids.size})"

    @property
    def rows(self) -> int | None:
        """Number of rows that the table has sets for; None where it is shared or has no sets."""
        return None if self.shared or self.sets == 0 else (self.offsets.size - 1) // self.sets

    @classmethod
    def of_all(cls, sets: Sequence[Iterable[int]]) -> TokenSetTable:
        """A table of the same sets for every row."""
        return cls(*_csr(sets), sets=len(sets), shared=True)

    @classmethod
    def per_row(cls, rows: Sequence[Sequence[Iterable[int]]]) -> TokenSetTable:
        """A table whose set s of row m is ``rows[m][s]``; every row has the same number of sets."""
        counts = {len(row) for row in rows}
        if len(counts) > 1:
            raise ValueError(f"TokenSetTable.per_row: rows must have one number of sets; got {sorted(counts)}")
        return cls(*_csr(list(chain.from_iterable(rows))), sets=counts.pop() if counts else 0)

    def take(self, rows: Any) -> TokenSetTable:
        """The table whose row j is row ``rows[j]`` of this one; rows may repeat, as one item does over many layers."""
        if self.shared:
            return self
        index = integers("TokenSetTable.take", "rows", rows).ravel()
        owners = (index[:, None] * self.sets + np.arange(self.sets)).ravel()
        sizes = np.diff(self.offsets)[owners]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], sizes)
        return TokenSetTable(self.ids[np.repeat(self.offsets[owners], sizes) + within], offsets, self.sets)


def _csr(sets: Sequence[Iterable[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    members = [integers("TokenSetTable", "sets", list(one)) for one in sets]
    offsets = np.concatenate([[0], np.cumsum([one.size for one in members])]).astype(np.int64)
    return np.concatenate([*members, np.empty(0, np.int64)]), offsets

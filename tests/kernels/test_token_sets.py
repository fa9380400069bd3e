"""The CSR table of token sets."""

from __future__ import annotations

import numpy as np
import pytest

from pivotkit.kernels import TokenSetTable


def rows_of(table: TokenSetTable) -> list[list[int]]:
    return [table.ids[a:b].tolist() for a, b in zip(table.offsets[:-1], table.offsets[1:], strict=True)]


def test_ids_are_sorted_and_distinct_within_each_set() -> None:
    table = TokenSetTable.per_row([[[9, 2, 9], [2]], [[], [1, 0]]])
    assert rows_of(table) == [[2, 9], [2], [], [0, 1]]
    assert (table.rows, table.sets, table.shared) == (2, 2, False)


def test_take_repeats_and_reorders_rows() -> None:
    table = TokenSetTable.per_row([[[1], [2, 3]], [[4], []], [[5, 6], [7]]])
    assert rows_of(table.take(np.repeat([2, 0], 2))) == [[5, 6], [7], [5, 6], [7], [1], [2, 3], [1], [2, 3]]
    assert table.take([]).rows == 0


def test_shared_table_is_every_row_already() -> None:
    table = TokenSetTable.of_all([[1], []])
    assert table.take([0, 0, 0]) is table
    assert table.rows is None


def test_rows_with_unequal_numbers_of_sets_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rows must have one number of sets; got \[1, 2\]"):
        TokenSetTable.per_row([[[1]], [[1], [2]]])


@pytest.mark.parametrize(
    ("ids", "offsets", "sets", "message"),
    [
        ([1, 2], [0, 1], 1, "offsets must rise from 0 to 2"),
        ([1, 2], [0, 2, 1, 2], 1, "offsets must rise"),
        ([1, 2], [0, 1, 2], 3, "offsets must close 3 sets"),
        ([1], [], 1, "offsets not empty"),
    ],
)
def test_offsets_that_do_not_fit_are_refused(ids: list[int], offsets: list[int], sets: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TokenSetTable(np.array(ids), np.array(offsets, dtype=np.int64), sets)


def test_fractional_ids_are_refused() -> None:
    with pytest.raises(TypeError, match="must be integer ids; got float64"):
        TokenSetTable.of_all([[0.5]])  # type: ignore[list-item]

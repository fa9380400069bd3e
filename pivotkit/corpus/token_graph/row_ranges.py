"""Rows of a sparse table in portions that fit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt


def row_ranges(offsets: npt.NDArray[np.int64], cells: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows with at most ``cells`` cells together, or one row each."""
    begin, rows = 0, len(offsets) - 1
    while begin < rows:
        end = int(np.searchsorted(offsets, offsets[begin] + cells, "right")) - 1
        end = min(max(end, begin + 1), rows)
        yield begin, end
        begin = end

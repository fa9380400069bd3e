"""The rows of a sparse table in ranges that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt


def row_ranges(offsets: npt.NDArray[np.int64], cells: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows that have at most ``cells`` cells together; a longer row is a range of its own."""
    begin, rows = 0, len(offsets) - 1
    while begin < rows:
        end = int(np.searchsorted(offsets, offsets[begin] + cells, "right")) - 1
        end = min(max(end, begin + 1), rows)
        yield begin, end
        begin = end

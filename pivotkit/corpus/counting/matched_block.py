"""Documents of a work unit on their way to the counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Tokens = tuple[npt.NDArray[Any], npt.NDArray[np.int64]]  # ids, and where each document begins
Hits = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.int32], Any]


@dataclass
class Block:
    """Some documents of a unit: their hits, where they are in the unit, and what else is known of them.

    ``places`` tells a document from every other of its file, however the file is cut into units.
    """

    hits: Hits
    rows: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    tokens: Tokens | None = None
    langs: pa.DictionaryArray | None = None
    skipped: int = 0

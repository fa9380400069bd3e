"""Documents of a work unit on their way to the counters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pivotkit.corpus.matching.word_languages import LanguageSet

Tokens = tuple[npt.NDArray[Any], npt.NDArray[np.int64]]  # ids, and where each document begins
Languages = tuple[Sequence[LanguageSet], npt.NDArray[np.integer]]
Hits = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.int32], Any]


@dataclass
class MatchedBlock:
    """Some documents of a unit, N of them, after matching.

    Attributes
    ----------
    hits : tuple of arrays
        What a native matcher returns: offsets (N + 1), word ids, their counts, and for windows their places.
    rows : int64 (N,)
        The row of each document in its unit.
    places : int64 (N,)
        The place of each document in its file, however the file is cut into units.
    tokens : (ids, offsets) or None
        The token ids of the documents, where the source has them.
    langs : pyarrow.DictionaryArray or None
        The language of each document, where the source has one.
    languages : (sets, int array (N,)) or None
        Sets of languages, and which of them each document has; None where they are not known.
    lengths : int64 (N,)
        Tokens of each document, or UTF-8 bytes where the source has no tokens.
    skipped : int
        Documents left out since the block before.
    done : int
        Bytes of the unit that were read up to here; 0 where that is not known.
    """

    hits: Hits
    rows: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    tokens: Tokens | None = None
    langs: pa.DictionaryArray | None = None
    languages: Languages | None = None
    lengths: npt.NDArray[np.int64] | None = None
    skipped: int = 0
    done: int = 0

"""The counts of words and of pairs as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Counted = npt.NDArray[np.int64]
Languages = Sequence[str | None] | None  # of the words; None where no word has one


def word_table(words: Sequence[str], languages: Languages, df: Counted, tf: Counted) -> pa.Table:
    """``word``, ``df``, ``tf``, and ``language`` where words have any."""
    columns: dict[str, Any] = {"word": pa.array(words, pa.string()), "df": df, "tf": tf}
    if languages is not None:
        columns["language"] = pa.array(languages, pa.string())
    return pa.table(columns)


def pair_table(
    words: Sequence[str], languages: Languages, pairs: npt.NDArray[np.int32], df: Counted, pair_df: Counted
) -> pa.Table:
    """``source``, ``target``, their df, ``df_both``, and the words' languages where they have any."""
    columns: dict[str, Any] = {}
    for name, side in (("source", 0), ("target", 1)):
        columns[name] = pa.array(words, pa.string()).take(pa.array(pairs[:, side]))
    for name, side in (("df_source", 0), ("df_target", 1)):
        columns[name] = df[pairs[:, side]]
    columns["df_both"] = pair_df
    if languages is not None:
        for name, side in (("source_language", 0), ("target_language", 1)):
            columns[name] = pa.array(languages, pa.string()).take(pa.array(pairs[:, side]))
    return pa.table(columns)

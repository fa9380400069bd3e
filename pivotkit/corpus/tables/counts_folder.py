"""The folder of counts: words.parquet, pairs.parquet, background.parquet, context/ and, written last, counts.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import csr_array

from pivotkit.artifacts import read_json, read_table, write_json, write_table
from pivotkit.corpus.matching.watchlist import NORMALIZATION
from pivotkit.corpus.tables.context_table import is_open, open_context, write_context
from pivotkit.corpus.tables.postings import Postings
from pivotkit.errors import InputError

FORMAT = 3
CONTEXT_FOLDER = "context"


def save_counts(
    folder: Path,
    words: pa.Table,
    pairs: pa.Table,
    background: npt.NDArray[np.int64] | None,
    context: csr_array | None,
    postings: Postings | None,
    about: dict[str, Any],
) -> None:
    """Write the tables, then counts.json with ``about``. A context table mapped from ``folder`` stays as it is."""
    (folder / "counts.json").unlink(missing_ok=True)  # its presence says that the tables are whole
    write_table(words, folder / "words.parquet")
    write_table(pairs, folder / "pairs.parquet")
    if background is not None:
        tokens = np.arange(len(background), dtype=np.int32)
        write_table(pa.table({"token": tokens, "df": background}), folder / "background.parquet")
    if context is not None and not is_open(context, folder / CONTEXT_FOLDER):
        write_context(context, folder / CONTEXT_FOLDER)
    header = {
        "format": FORMAT,
        **about,
        "context": context is not None,
        "background": background is not None,
        "normalization": NORMALIZATION,
        "postings": None if postings is None else postings.relative_to(folder),
    }
    write_json(header, folder / "counts.json")


def load_counts(folder: Path) -> dict[str, Any]:
    """The fields of `Counts` that `save_counts` wrote, the context table mapped."""
    if not (folder / "counts.json").exists():
        raise InputError(folder, "", "must hold finished counts; found no counts.json")
    header: dict[str, Any] = read_json(folder / "counts.json")
    if header.get("format") != FORMAT:
        raise InputError(folder / "counts.json", "", f"must have format {FORMAT}; got {header.get('format')}")
    words = read_table(folder / "words.parquet")
    names: list[str] = words["word"].to_pylist()
    ids = {word: place for place, word in enumerate(names)}
    pairs = read_table(folder / "pairs.parquet")
    listed = [[ids[word] for word in pairs[side].to_pylist()] for side in ("source", "target")]
    background = _column(read_table(folder / "background.parquet"), "df") if header["background"] else None
    context = None
    if header["context"] and background is not None:
        context = open_context(folder / CONTEXT_FOLDER, len(names), len(background))
    return {
        "words": names,
        "documents": header["documents"],
        "df": _column(words, "df"),
        "tf": _column(words, "tf"),
        "pairs": np.array(listed, dtype=np.int32).T.copy(),
        "pair_df": _column(pairs, "df_both"),
        "context": context,
        "background": background,
        "scope": header["scope"],
        "approximation": header["approximation"],
        "units": tuple(header["units"]),
        "skipped": header["skipped"],
        "tokenizer": header["tokenizer"],
        "marks": header["marks"],
        "postings": None if header["postings"] is None else Postings.beside(folder, header["postings"]),
    }


def _column(table: pa.Table, name: str) -> npt.NDArray[Any]:
    return np.array(table[name].to_numpy())  # a copy: Arrow's buffers are read-only

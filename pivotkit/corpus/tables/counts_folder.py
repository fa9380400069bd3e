"""The folder of counts: words.parquet, pairs.parquet, background.parquet, context/, strata/, counts.json with digests.

All of them are written beside their places and put there together. A kill leaves the old counts or the new.
`load_counts` reads nothing that is not as it was written; ``units/`` is checked by `Postings` when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import scipy

from pivotkit.artifacts import (
    file_digests,
    is_sealed,
    read_json,
    read_object,
    read_table,
    replaced_files,
    settle,
    write_sealed,
    write_table,
)
from pivotkit.corpus.matching.normal_form import NORMALIZATION
from pivotkit.corpus.tables.context_table import NAMES, is_open, open_context, write_context
from pivotkit.corpus.tables.postings import Postings
from pivotkit.corpus.tables.strata import StratumCounts, StratumList
from pivotkit.errors import InputError

FORMAT = 4
CONTEXT_FOLDER, STRATA_FOLDER = "context", "strata"


@contextmanager
def replaced_counts(folder: Path) -> Iterator[Path]:
    """Yield a folder for `write_counts`; its files replace the counts in ``folder`` together (`replaced_files`)."""
    with replaced_files(folder) as new:
        yield new
        header = read_json(new / "counts.json")
    for name in (CONTEXT_FOLDER, STRATA_FOLDER):
        if not header.get(name):
            for stale in (folder / name).glob("*.npy"):
                stale.unlink()
    if not header["background"]:
        (folder / "background.parquet").unlink(missing_ok=True)


def write_counts(
    folder: Path,
    new: Path,
    words: pa.Table,
    pairs: pa.Table,
    background: npt.NDArray[np.int64] | None,
    context: scipy.sparse.csr_array | None,
    strata: StratumCounts | None,
    postings: Postings | None,
    about: dict[str, Any],
) -> None:
    """Write to ``new`` what replaces the counts in ``folder``. A table mapped from either stays as it is."""
    write_table(words, new / "words.parquet")
    write_table(pairs, new / "pairs.parquet")
    if background is not None:
        tokens = np.arange(len(background), dtype=np.int32)
        write_table(pa.table({"token": tokens, "df": background}), new / "background.parquet")
    kept: list[Path] = []
    for name, table in ((CONTEXT_FOLDER, context), (STRATA_FOLDER, None if strata is None else strata.table)):
        if table is not None and is_open(table, folder / name):
            kept += [folder / name / f"{part}.npy" for part in NAMES]
        elif table is not None and not is_open(table, new / name):
            write_context(table, new / name)
    made = sorted(path for path in new.rglob("*") if path.is_file())
    names = [path.relative_to(new).as_posix() for path in made] + [path.relative_to(folder).as_posix() for path in kept]
    header = {
        "format": FORMAT,
        **about,
        "context": context is not None,
        "background": background is not None,
        "normalization": NORMALIZATION,
        "postings": None if postings is None else postings.relative_to(folder),
        "postings_digests": None if postings is None else list(postings.digests),
        **({} if strata is None else {"strata": strata.strata.to_json()}),
        "files": dict(zip(names, file_digests([*made, *kept]), strict=True)),
    }
    write_sealed(header, new / "counts.json")


def load_counts(folder: Path) -> dict[str, Any]:
    """The fields of `Counts` that `save_counts` wrote, the context table mapped.

    InputError names the file that is not as it was written. Cost: reads every table once, a second per 1.3 GB and core.
    """
    settle(folder)
    path = folder / "counts.json"
    if not path.exists():
        raise InputError(folder, "", "must hold finished counts; found no counts.json")
    header = read_object(path, {"format": int})
    if header["format"] != FORMAT:
        raise InputError(
            path, "", f"must have format {FORMAT}; got {header['format']}: count again, which keeps the units"
        )
    if not is_sealed(path, header):
        raise InputError(path, "", "must hold the digest of its contents; got none")
    _check_files(folder, header["files"])
    words = read_table(folder / "words.parquet")
    names: list[str] = words["word"].to_pylist()
    languages = words["language"].to_pylist() if "language" in words.column_names else None
    ids = {word: place for place, word in enumerate(zip(names, languages or [None] * len(names), strict=True))}
    pairs = read_table(folder / "pairs.parquet")
    listed = [[ids[word] for word in _words(pairs, side, languages is not None)] for side in ("source", "target")]
    background = _column(read_table(folder / "background.parquet"), "df") if header["background"] else None
    context = None
    if header["context"] and background is not None:
        context = open_context(folder / CONTEXT_FOLDER, len(names), len(background))
    strata = None
    if header.get("strata"):
        found, vocabulary = StratumList.from_json(header["strata"]), 0 if background is None else len(background)
        table = open_context(folder / STRATA_FOLDER, len(found), vocabulary + len(names) + 1)
        strata = StratumCounts(found, vocabulary, table)
    postings = None
    if header["postings"] is not None:
        postings = Postings.beside(folder, header["postings"], header["postings_digests"])
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
        "languages": languages,
        "language_table": header.get("language_table"),
        "strata": strata,
        "postings": postings,
    }


def _check_files(folder: Path, files: dict[str, str]) -> None:
    """Refuse a table whose digest is not the recorded one; it is not opened."""
    paths = [folder / name for name in files]
    for path in paths:
        if not path.is_file():
            raise InputError(path, "", "must be there as it was written; found no file")
    for path, digest, wanted in zip(paths, file_digests(paths), files.values(), strict=True):
        if digest != wanted:
            rule = "must hold a whole context table" if path.suffix == ".npy" else "must be a Parquet file"
            raise InputError(path, "", f"{rule}, as it was written; got other bytes")


def _words(pairs: pa.Table, side: str, with_languages: bool) -> list[tuple[str, str | None]]:
    words = pairs[side].to_pylist()
    return list(
        zip(words, pairs[f"{side}_language"].to_pylist() if with_languages else [None] * len(words), strict=True)
    )


def _column(table: pa.Table, name: str) -> npt.NDArray[Any]:
    return np.array(table[name].to_numpy())  # a copy: Arrow's buffers are read-only

"""Checks that a record is a document: line by line in Python, or all rows of a batch at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from pivotkit.corpus.reading.column_files import is_text


def parse_line(line: bytes, is_json: bool) -> tuple[bytes, bytes | None, bytes | None]:
    """Text, id and language of one line, in UTF-8; ValueError with the reason when it is not a document."""
    if not is_json:
        try:
            line.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"must be UTF-8; {error}") from None
        raise AssertionError("a line of UTF-8 is taken natively")
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"must be a JSON object; {error}") from None
    if not isinstance(record, dict):
        raise ValueError(f"must be a JSON object; got {type(record).__name__}")
    text, identity, lang = document(record)
    return text.encode(), identity if identity is None else identity.encode(), lang if lang is None else lang.encode()


def document(record: dict[str, Any]) -> tuple[str, str | None, str | None]:
    """Text, id and language of a record; ValueError with the reason when it is not a document."""
    text, identity, lang = record.get("text"), record.get("id"), record.get("lang")
    if not isinstance(text, str):
        got = type(text).__name__ if "text" in record else "none"
        raise ValueError(f'must have a string "text"; got {got}')
    if isinstance(identity, int) and not isinstance(identity, bool):
        identity = str(identity)
    if identity is not None and not isinstance(identity, str):
        raise ValueError(f'must have a string or integer "id"; got {type(identity).__name__}')
    if lang is not None and not isinstance(lang, str):
        raise ValueError(f'must have a string "lang"; got {type(lang).__name__}')
    return text, identity, lang


@dataclass(frozen=True)
class Columns:
    """The documents of a batch without its ``bad`` rows: texts as they are, ids and languages as large strings."""

    texts: pa.Array
    ids: pa.Array
    langs: pa.Array
    bad: npt.NDArray[np.int64]


def check_columns(batch: pa.RecordBatch) -> Columns:
    """Apply `document` to all rows of ``batch``."""
    texts = batch.column("text")
    bad = _broken(texts) | texts.is_null().to_numpy(zero_copy_only=False)
    ids, bad_ids = _strings(batch, "id", integers=True)
    langs, bad_langs = _strings(batch, "lang", integers=False)
    bad |= bad_ids | bad_langs
    if not bad.any():
        return Columns(texts, ids, langs, np.zeros(0, np.int64))
    texts, ids, langs = (_taken(column, ~bad) for column in (texts, ids, langs))
    return Columns(texts, ids, langs, np.flatnonzero(bad))


def row_problem(row: pa.RecordBatch) -> str | None:
    """Why the one row of a batch is not a document; None when its strings cannot be read at all."""
    if any(_is_broken(column) for column in row.columns):
        return None
    try:
        document(row.to_pylist()[0])
    except ValueError as problem:
        return str(problem)
    raise AssertionError("a row that is a document is not refused")


def _strings(batch: pa.RecordBatch, name: str, integers: bool) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """An optional column as strings, and a mask of the rows where it is something else."""
    absent = pa.nulls(batch.num_rows, pa.large_string())
    good = np.zeros(batch.num_rows, np.bool_)
    if name not in batch.schema.names:
        return absent, good
    column = batch.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if is_text(column.type) or str(column.type) == "string_view":
        broken = _broken(column)
        return (column if broken.any() else column.cast(pa.large_string())), broken
    if integers and pa.types.is_integer(column.type):
        return column.cast(pa.large_string()), good
    return absent, column.is_valid().to_numpy(zero_copy_only=False)


def _taken(column: pa.Array, kept: npt.NDArray[np.bool_]) -> pa.Array:
    """The kept rows. They are copied one by one, because the offsets of bad rows may point anywhere."""
    return pa.array([column[int(row)].as_py() for row in np.flatnonzero(kept)], pa.large_string())


def _broken(column: pa.Array) -> npt.NDArray[np.bool_]:
    """A mask of the rows whose bytes are not UTF-8."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return np.array([_is_broken(column.slice(row, 1)) for row in range(len(column))], np.bool_)
    return np.zeros(len(column), np.bool_)


def _is_broken(one: pa.Array) -> bool:
    try:
        one.validate(full=True)
    except pa.ArrowInvalid:
        return True
    return False

"""Checks that a record is a document: why a line is none, and all rows of a batch at once."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

LANGUAGE_NAMES = ("lang", "langs")


class _Number(str):
    """A number of a JSON text as it is written, whatever its size."""


def line_problem(line: bytes, is_json: bool) -> str:
    """Why a line is no document."""
    try:
        text = line.decode()
        if not is_json:
            raise AssertionError("a line of UTF-8 is a document")
        record = json.loads(
            text.removeprefix("\ufeff"), parse_int=_Number, parse_float=_Number, object_pairs_hook=_in_order
        )
    except UnicodeDecodeError as error:
        return f"must be {'a JSON object in ' if is_json else ''}UTF-8; {error}"
    except ValueError as error:
        return f"must be a JSON object; {error}"
    except RecursionError:
        record = {"text": ""}
    if not isinstance(record, dict):
        return f"must be a JSON object; got {_kind(record)}"
    return record_problem(record) or "must be nested at most 1024 levels deep; got more"


def _in_order(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """The last member of each name, in the order of these."""
    record: dict[str, Any] = {}
    for name, value in members:
        record.pop(name, None)
        record[name] = value
    return record


def record_problem(record: dict[str, Any]) -> str | None:
    """Why a record is not a document; None when it is one."""
    text, identity = record.get("text"), record.get("id")
    # The last member counts, whichever of the two names it has.
    name = next((name for name in reversed(record) if name in LANGUAGE_NAMES), "lang")
    lang = record.get(name)
    if not isinstance(text, str) or isinstance(text, _Number):
        got = _kind(text) if "text" in record else "none"
        return f'must have a string "text"; got {got}'
    if identity is not None and not isinstance(identity, str) and not _is_finite(identity):
        return f'must have a string or number "id"; got {_kind(identity)}'
    languages = lang if isinstance(lang, list) else [] if lang is None else [lang]
    for one in languages:
        if not isinstance(one, str) or isinstance(one, _Number):
            return f'must have a string or a list of strings "{name}"; got {_kind(one)}'
    for name, value in (("text", text), ("id", identity), *((name, one) for one in languages)):
        if isinstance(value, str) and (lone := re.search("[\ud800-\udfff]", value)):
            return f'must be a JSON object with a "{name}" of characters; got the lone surrogate U+{ord(lone[0]):04X}'
    return None


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool) and math.isfinite(value)


def _kind(value: Any) -> str:
    if isinstance(value, _Number):
        return "float" if re.search("[.eE]", value) else "int"
    return str(value) if isinstance(value, float) and not math.isfinite(value) else type(value).__name__


Mask = npt.NDArray[np.bool_]
MOST_RUNS = 1 << 24  # rows of a batch whose runs take no room of their own


@dataclass(frozen=True)
class Columns:
    """The documents of a batch without its ``bad`` rows: texts as they are, ids and languages as large strings."""

    texts: pa.Array
    ids: pa.Array
    langs: pa.Array
    bad: npt.NDArray[np.int64]


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds text: strings of any layout, or bytes, which must be UTF-8."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return is_text(kind.value_type)
    return _is_string(kind) or str(kind) in ("binary", "large_binary", "binary_view")


def _is_string(kind: pa.DataType) -> bool:
    return str(kind) in ("string", "large_string", "string_view")  # string_view is unknown to older pyarrow


def check_columns(batch: pa.RecordBatch) -> Columns:
    """Apply `record_problem` to all rows of ``batch``."""
    _check_room(batch.column("text"))
    texts, bad = _texts(batch.column("text"))
    bad |= _broken(texts) | texts.is_null().to_numpy(zero_copy_only=False)
    if not bad.any() and str(texts.type) == "string_view":
        texts = texts.cast(pa.large_string())
    ids, bad_ids = _strings(batch, "id", numbers=True)
    langs, bad_langs = _languages(batch)
    bad |= bad_ids | bad_langs
    if not bad.any():
        return Columns(texts, ids, langs, np.zeros(0, np.int64))
    texts, ids, langs = (_taken(column, ~bad) for column in (texts, ids, langs))
    return Columns(texts, ids, langs, np.flatnonzero(bad))


def _texts(column: pa.Array) -> tuple[pa.Array, Mask]:
    """A text column as strings, as `_plain`; what were bytes may be no UTF-8."""
    column, bad = _plain(column)
    if str(column.type) == "binary_view":
        column = column.cast(pa.large_binary())
    strings = {"binary": pa.string(), "large_binary": pa.large_string()}
    return column.view(strings[str(column.type)]) if str(column.type) in strings else column, bad


def _plain(column: pa.Array) -> tuple[pa.Array, Mask]:
    """Values one by one instead of dictionaries or runs, and a mask of the rows whose value is broken, here null.

    ArrowInvalid where places or lengths are wrong. Nothing is followed before it is proved, because pyarrow crashes on
    places beyond a buffer. Strings that are no dictionary's are left to `_broken`.
    """
    bad = np.zeros(len(column), np.bool_)
    if pa.types.is_dictionary(column.type):
        places, values = column.indices, column.dictionary
        places.validate(full=True)
        size = _length(values)
        known = places.drop_null()
        if len(known) and not 0 <= pc.min(known).as_py() <= pc.max(known).as_py() < size:
            raise pa.ArrowInvalid("a value must be in its dictionary; got a place beyond its end")
        broken = _broken(values)
        if not broken.any():
            return column.dictionary_decode(), bad
        kept = [None if broken[place] else values[place].as_py() for place in range(size)]
        bad[places.is_valid().to_numpy(zero_copy_only=False)] = broken[known.to_numpy()]
        return pa.array(kept, values.type).take(places), bad
    if pa.types.is_run_end_encoded(column.type):
        column.validate(full=True)
        column.values.validate(full=True)
        return pc.run_end_decode(column), bad
    if not _is_string(column.type):
        column.validate(full=str(column.type) == "binary_view")
    return column, bad


def _length(values: pa.Array) -> int:
    """How many values there are; ArrowInvalid for fewer than none, which a damaged file may say."""
    try:
        return len(values)
    except (SystemError, ValueError):
        raise pa.ArrowInvalid("a dictionary must have a length of 0 or more; got a negative one") from None


def row_problem(row: pa.RecordBatch) -> str | None:
    """Why the one row of a batch is not a document; None when its strings cannot be read at all."""
    columns = {
        name: _texts(row.column(name)) if name == "text" else _plain(row.column(name)) for name in row.schema.names
    }
    if any(bad.any() or _is_broken(column) for column, bad in columns.values()):
        return None
    return record_problem({name: column[0].as_py() for name, (column, _) in columns.items()})


def _strings(batch: pa.RecordBatch, name: str, numbers: bool) -> tuple[pa.Array, Mask]:
    """An optional column as strings, and a mask of the rows where it is something else."""
    absent = pa.nulls(batch.num_rows, pa.large_string())
    if name not in batch.schema.names:
        return absent, np.zeros(batch.num_rows, np.bool_)
    column, bad = _plain(batch.column(name))
    kind = column.type
    if _is_string(kind):
        bad |= _broken(column)
        return (column if bad.any() else column.cast(pa.large_string())), bad
    if numbers and (pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
        return column.cast(pa.large_string()), bad
    if numbers and pa.types.is_floating(kind):
        infinite = ~pc.is_finite(column).fill_null(True).to_numpy(zero_copy_only=False)
        return column.cast(pa.large_string()), bad | infinite
    return absent, bad | column.is_valid().to_numpy(zero_copy_only=False)


def _languages(batch: pa.RecordBatch) -> tuple[pa.Array, Mask]:
    """The languages of each row as one string, those of a list with + between; ``langs`` counts before ``lang``."""
    langs, bad_langs = _language_column(batch, "langs")
    lang, bad_lang = _language_column(batch, "lang")
    return lang if langs.null_count == len(langs) else pc.coalesce(langs, lang), bad_langs | bad_lang


def _language_column(batch: pa.RecordBatch, name: str) -> tuple[pa.Array, Mask]:
    kind = batch.schema.field(name).type if name in batch.schema.names else pa.null()
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return _strings(batch, name, numbers=False)
    lists = batch.column(name)
    lists.validate(full=True)
    joined = pc.binary_join(lists.cast(pa.list_(pa.string())), "+").cast(pa.large_string())
    some = pc.fill_null(pc.greater(pc.list_value_length(lists), 0), False)
    bad = some.to_numpy(zero_copy_only=False) & joined.is_null().to_numpy(zero_copy_only=False)  # a null in a list
    return pc.if_else(some, joined, pa.scalar(None, pa.large_string())), bad


def _taken(column: pa.Array, kept: Mask) -> pa.Array:
    """The kept rows. They are copied one by one, because the offsets of bad rows may point anywhere."""
    return pa.array([column[int(row)].as_py() for row in np.flatnonzero(kept)], pa.large_string())


def _broken(column: pa.Array) -> Mask:
    """A mask of the rows whose bytes are not UTF-8 or lie elsewhere; ArrowInvalid for values other than text."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        if not is_text(column.type):
            raise
        _check_room(column)
        return np.array([_is_broken(column.slice(row, 1)) for row in range(len(column))], np.bool_)
    return np.zeros(len(column), np.bool_)


def _check_room(column: pa.Array) -> None:
    """Raise ArrowInvalid when a text column has no room for its rows: a broken length may name billions."""
    if pa.types.is_run_end_encoded(column.type):
        room = MOST_RUNS
    else:
        buffer = (column.indices if pa.types.is_dictionary(column.type) else column).buffers()[1]
        bytes_each = column.type.index_type.bit_width // 8 if pa.types.is_dictionary(column.type) else 4
        room = 0 if buffer is None else buffer.size // bytes_each
    if len(column) > room:
        raise pa.ArrowInvalid(f"a batch must have room for its rows; got {len(column)} rows")


def _is_broken(one: pa.Array) -> bool:
    try:
        one.validate(full=True)
    except pa.ArrowInvalid:
        return True
    return False

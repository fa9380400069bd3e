"""Files of a run, as Parquet and JSON. A file is written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from pivotkit.errors import InputError


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``. It becomes ``path`` when the block succeeds, and is deleted otherwise."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def with_metadata(table: pa.Table, metadata: Mapping[str, Any]) -> pa.Table:
    """Return ``table`` with ``metadata`` as JSON under the schema key ``pivotkit``. `table_metadata` reads it back."""
    kept = dict(table.schema.metadata or {})
    kept[b"pivotkit"] = orjson.dumps(metadata, option=orjson.OPT_SERIALIZE_NUMPY)
    return table.replace_schema_metadata(kept)


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return str(kind) in ("string", "large_string", "string_view")  # older pyarrow has no test of views


def _is_number(kind: pa.DataType) -> bool:
    return bool(types.is_integer(kind) or types.is_floating(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_map(kind))


# What a column of a name holds, in every table that has it. A column of nulls alone may have no type.
TEXTS = ("pair", "rule", "behavior", "source", "target", "unit", "id", "lang", "token", "prompt", "label")
NUMBERS = ("row", "tokens", "score", "token_id", "translation_pairs", "df_source", "df_target", "df_both", "layer")
LISTS = ("words", "distractors", "contexts", "top_ids", "top_tokens", "top_logprobs", "source_ids", "target_ids",
         "source_pieces", "target_pieces")  # fmt: skip
KINDS: dict[str, tuple[str, Callable[[pa.DataType], bool]]] = {
    **dict.fromkeys(TEXTS, ("text", _is_text)),
    **dict.fromkeys(NUMBERS, ("numbers", _is_number)),
    **dict.fromkeys(LISTS, ("lists", _is_list)),
    **dict.fromkeys(("item", "concept"), ("text or numbers", lambda kind: _is_text(kind) or _is_number(kind))),
}


def require_columns(function: str, argument: str, table: pa.Table, columns: Sequence[str]) -> None:
    """Raise TypeError where an argument is no table or a column of another kind, ValueError where it lacks a column."""
    if not isinstance(table, pa.Table):
        raise TypeError(f"{function}: {argument} must be a pyarrow.Table; got {type(table).__name__}")
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise ValueError(
            f"{function}: {argument} must have the columns {', '.join(columns)}; got none named {', '.join(missing)}"
        )
    for name in columns:
        found = table.schema.field(name).type
        kind, is_kind = KINDS.get(name, ("", types.is_null))
        if kind and not (is_kind(found) or types.is_null(found)):
            raise TypeError(f"{function}: {argument} must have {kind} in the column {name}; got {found}")


def write_table(table: pa.Table, path: str | Path, metadata: Mapping[str, Any] | None = None) -> Path:
    """Write ``table`` as Parquet, with ``metadata`` as in `with_metadata`; return the path."""
    if metadata is not None:
        table = with_metadata(table, metadata)
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    return Path(path)


def read_table(path: str | Path) -> pa.Table:
    """Read a Parquet file as a table, or all ``*.parquet`` of a folder, in the order of their names, as one table."""
    path = Path(path)
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise InputError(path, "", "must hold at least one .parquet file; found none")
    try:
        tables = [pq.read_table(file) for file in files]
    except pa.ArrowInvalid as error:
        raise InputError(path, "", f"must be a Parquet file; {error}") from None
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables)


def table_metadata(table: pa.Table) -> dict[str, Any]:
    """Return the metadata that `write_table` stored in ``table``; empty where it stored none."""
    raw = (table.schema.metadata or {}).get(b"pivotkit")
    return orjson.loads(raw) if raw else {}


def write_json(value: Any, path: str | Path) -> Path:
    """Write ``value`` as indented JSON with sorted keys; return the path."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(
            orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY) + b"\n"
        )
    return Path(path)


def read_json(path: str | Path) -> Any:
    """Read a JSON file. An `InputError` names a file that is not JSON."""
    try:
        return orjson.loads(Path(path).read_bytes())
    except orjson.JSONDecodeError as error:
        raise InputError(path, f"line {error.lineno}", f"must be JSON; {error.msg}") from None

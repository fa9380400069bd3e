"""Files of a run, as Parquet and JSON: written whole or not at all, and known again by their digests.

What is being written lies beside its place as ``.<name>.<host>-<process>-<random>.part``, so that `sweep` can tell what
a killed process left. A file that is read without a digest at hand is checked by its format alone.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from pivotkit.errors import InputError

PART = ".part"  # how the name of what is being written ends
WHOLE = ".whole"  # the folder of files that are to take their places
SETTLED_NS = 10**9  # a file that changed less than this ago may change again within one tick of its clock
_HOST = platform.node().replace("/", "_")[:48]
_known: dict[tuple[int, ...], str] = {}


def temporary_path(path: str | Path) -> Path:
    """A new path beside ``path`` for what is to become it; `sweep` removes it when this process dies."""
    path = Path(path)
    return path.with_name(f".{path.name}.{_HOST}-{os.getpid()}-{secrets.token_hex(4)}{PART}")


@contextlib.contextmanager
def atomic_path(path: str | Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``. It becomes ``path`` when the block succeeds, and is deleted otherwise.

    What is not ``durable`` may be lost or spoiled by a power cut; its reader must find that out by checksums.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path)
    try:
        yield temporary
        if durable:
            _flush(temporary)
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            # NumPy and Arrow do not say which file could not be written.
            raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from error
        raise


@contextlib.contextmanager
def atomic_folder(folder: str | Path) -> Iterator[Path]:
    """Yield an empty folder. It takes the place of ``folder`` when the block succeeds, and is deleted otherwise.

    A kill leaves the old folder or the new one. In the moment between two renames it leaves the old one under its name
    with ``.old``, and the new one whole in the temporary folder.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = temporary_path(folder), folder.with_name(f".{folder.name}.old")
    try:
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            _flush(file)
        if old.exists() and not folder.exists():
            old.rename(folder)  # a kill came between the renames
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextlib.contextmanager
def replaced_files(folder: str | Path) -> Iterator[Path]:
    """Yield an empty folder. When the block succeeds, its files take their places in ``folder``, all of them or none.

    Other files of ``folder`` stay. One rename decides: a kill before it leaves the old files, and after it `settle`
    puts the new ones in their places, however often it is killed.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    new = temporary_path(folder / "new")
    try:
        new.mkdir()
        yield new
        for file in new.rglob("*"):
            _flush(file)
        with locked(folder):
            _settle(folder)
            new.rename(folder / WHOLE)
            _settle(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def settle(folder: str | Path) -> None:
    """Finish what `replaced_files` had decided when it was killed."""
    if (Path(folder) / WHOLE).is_dir():
        with locked(Path(folder)):
            _settle(Path(folder))


def _settle(folder: Path) -> None:
    whole = folder / WHOLE
    for file in sorted(whole.rglob("*")):
        if file.is_file():
            place = folder / file.relative_to(whole)
            place.parent.mkdir(exist_ok=True)
            file.replace(place)
    shutil.rmtree(whole, ignore_errors=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Wait until no other process has ``folder`` locked, and lock it; a process that dies lets go."""
    with (folder / ".lock").open("w") as lock:
        if os.name == "posix":
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _flush(path: Path) -> None:
    if path.is_file():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def sweep(folder: str | Path, *, alone: bool = False) -> None:
    """Remove from ``folder`` what killed processes of this machine were writing.

    With ``alone``, when nobody else can be writing, remove it below ``folder`` too, and whoever wrote it.
    """
    folder = Path(folder)
    for path in sorted(folder.rglob(f".*{PART}") if alone else folder.glob(f".*{PART}")):
        host, _, process = path.name.removesuffix(PART).rpartition("-")[0].rpartition("-")
        ours = host.endswith(f".{_HOST}") and process.isdigit()
        if alone or (ours and not is_alive(int(process))):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)  # another run may sweep, too
            else:
                path.unlink(missing_ok=True)


def is_alive(process: int) -> bool:
    """Whether a process of this machine runs; a killed one does not, even if nobody has waited for it yet."""
    if os.name != "posix":
        return True  # only a signal could ask, and Windows has none that is harmless
    try:
        os.kill(process, 0)
        state = Path(f"/proc/{process}/stat").read_bytes().rpartition(b") ")[2]
    except OSError as error:  # the process belongs to another user, or the system has no such file
        return not isinstance(error, ProcessLookupError)
    return not state.startswith(b"Z")


def file_digest(path: str | Path) -> str:
    """The SHA-256 digest of a file's bytes, in hexadecimal.

    Cost: a second per 1.3 GB and core, once per process as long as the file is not written.
    """
    path = Path(path)
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        key = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        if key not in _known:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < SETTLED_NS:
                return digest.hexdigest()
            _known[key] = digest.hexdigest()
    return _known[key]


def file_digests(paths: Iterable[Path]) -> list[str]:
    """`file_digest` of each path, on all cores."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(file_digest, paths))


def value_digest(value: Any) -> str:
    """The SHA-256 digest of what JSON can hold, in hexadecimal; it does not depend on the order of keys."""
    options = orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY
    return hashlib.sha256(orjson.dumps(value, option=options)).hexdigest()


def with_metadata(table: pa.Table, metadata: Mapping[str, Any]) -> pa.Table:
    """Return ``table`` with ``metadata`` as JSON under the schema key ``pivotkit``. `table_metadata` reads it back."""
    kept = dict(table.schema.metadata or {})
    kept[b"pivotkit"] = orjson.dumps(metadata, option=orjson.OPT_SERIALIZE_NUMPY)
    return table.replace_schema_metadata(kept)


def _is_text(kind: pa.DataType) -> bool:  # older pyarrow has no test of views
    return str(kind.value_type if types.is_dictionary(kind) else kind) in ("string", "large_string", "string_view")


def _is_number(kind: pa.DataType) -> bool:
    return bool(types.is_integer(kind) or types.is_floating(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_map(kind))


# What a column of a name holds, in every table that has it. A column of nulls alone may have no type.
TEXTS = ("pair", "rule", "behavior", "source", "target", "unit", "id", "lang", "token", "prompt", "label",
         "intervention", "direction", "control", "class")  # fmt: skip
NUMBERS = ("row", "tokens", "score", "token_id", "translation_pairs", "df_source", "df_target", "df_both", "layer",
           "removed", "strength", "delta_logprob", "delta_rank", "delta_other_logprob")  # fmt: skip
LISTS = ("words", "distractors", "contexts", "top_ids", "top_tokens", "top_logprobs", "source_ids", "target_ids",
         "source_pieces", "target_pieces")  # fmt: skip
KINDS: dict[str, tuple[str, Callable[[pa.DataType], bool]]] = {
    **dict.fromkeys(TEXTS, ("text", _is_text)),
    **dict.fromkeys((*NUMBERS, "df_given_source", "df_given_target"), ("numbers", _is_number)),
    **dict.fromkeys(LISTS, ("lists", _is_list)),
    "mean": ("booleans", types.is_boolean),
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
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
    return Path(path)


def read_table(path: str | Path, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file, or all ``*.parquet`` of a folder in the order of names, as one table of ``columns``."""
    path = Path(path)
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise InputError(path, "", "must hold at least one .parquet file; found none")
    tables = []
    for file in files:
        try:
            tables.append(pq.read_table(file, columns=columns, page_checksum_verification=True))
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise InputError(file, "", f"must be a Parquet file; {error}") from None
        if tables[-1].schema.names != tables[0].schema.names:
            raise InputError(file, "", f"must have the columns of {files[0].name}; got others")
    try:
        return tables[0] if len(tables) == 1 else pa.concat_tables(tables)
    except pa.ArrowException as error:
        raise InputError(path, "", f"must hold files of the same columns; {error}") from None


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


def read_object(path: str | Path, kinds: Mapping[str, type | tuple[type, ...]]) -> dict[str, Any]:
    """Read a JSON object that has the keys of ``kinds`` with values of these kinds; InputError names what differs."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError(path, "", f"must be a JSON object; got {type(value).__name__}")
    for name, kind in kinds.items():
        if name not in value:
            raise InputError(path, "", f"must have the key {name!r}; got {', '.join(value) or 'none'}")
        if not isinstance(value[name], kind) or (isinstance(value[name], bool) and kind is int):
            raise InputError(path, "", f"key {name!r} must be of another kind; got {type(value[name]).__name__}")
    return value


def write_sealed(value: Mapping[str, Any], path: str | Path) -> Path:
    """`write_json` with the digest of everything else under the key ``digest``; `is_sealed` checks it."""
    return write_json({**value, "digest": value_digest(value)}, path)


def is_sealed(path: str | Path, value: Mapping[str, Any]) -> bool:
    """Whether ``value``, read from ``path``, has the digest of `write_sealed`; InputError where it is a wrong one."""
    if "digest" not in value:
        return False
    if value["digest"] != value_digest({name: part for name, part in value.items() if name != "digest"}):
        raise InputError(path, "", "must be as pivotkit wrote it; got another digest")
    return True

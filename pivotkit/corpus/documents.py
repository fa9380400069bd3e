"""Documents of a corpus: files into work units, units into batches of texts, strictly and in bounded memory.

A JSONL file (plain, ``.gz`` or ``.zst``) holds one object a line: ``text`` is a string; ``id`` (a string or an integer,
default ``<file name>:<line>``) and ``lang`` (default ``und``) may stand beside it, and anything else is passed over. A
Parquet file holds the same names as columns. Lines count from 1 in messages; ``rows`` count from 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pivotkit.errors import CorpusError

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
BATCH_BYTES = 4 << 20  # of text in a batch, about
BATCH_DOCUMENTS = 4096
READ_BYTES = 1 << 20
LONGEST_LINE = 256 << 20  # beyond this it is no document but a file of another format

Corpus = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class Unit:
    """One piece of work: a file, as it was when it was found.

    ``name`` is a hash of path, size and modification time, so work done on a file is not taken for work on its successor.
    """

    path: Path
    size: int
    modified: int  # nanoseconds
    begin: int = 0
    end: int | None = None

    @classmethod
    def of(cls, path: str | Path) -> Unit:
        path = Path(path).resolve()
        status = path.stat()
        return cls(path, status.st_size, status.st_mtime_ns)

    @property
    def name(self) -> str:
        identity = f"{self.path}\0{self.size}\0{self.modified}\0{self.begin}\0{self.end}"
        return hashlib.blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()


@dataclass
class Batch:
    """Documents of one unit in its order, as columns; ``skipped`` counts what was left out since the batch before."""

    ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    langs: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.ids)


def corpus_files(corpus: Corpus) -> list[Path]:
    """The files that ``corpus`` means, each once, sorted by path.

    Parameters
    ----------
    corpus
        A file, a folder (every corpus file below it), a glob, or a sequence of those.

    Raises
    ------
    CorpusError
        When a part matches nothing or a file's name does not end in one of `SUFFIXES`.
    """
    parts = [corpus] if isinstance(corpus, str | Path) else list(corpus)
    if not parts:
        raise CorpusError("corpus", "", "must name at least one file; got none")
    files: set[Path] = set()
    for part in parts:
        if not isinstance(part, str | Path):
            raise TypeError(f"corpus_files: corpus must hold paths; got {type(part).__name__}")
        path = Path(part)
        if path.is_dir():
            found = [file for file in path.rglob("*") if file.is_file() and file.name.endswith(SUFFIXES)]
        else:
            found = [path] if path.exists() else [Path(match) for match in glob(str(part), recursive=True)]  # noqa: PTH207 (a glob may be absolute)
        if not found:
            raise CorpusError(part, "", "must match at least one file; found none")
        files.update(file.resolve() for file in found if not file.is_dir())
    for file in sorted(files):
        if not file.name.endswith(SUFFIXES):
            raise CorpusError(file, "", f"must end in one of {', '.join(SUFFIXES)}; got {file.name!r}")
    return sorted(files)


def work_units(corpus: Corpus) -> list[Unit]:
    """The work units of ``corpus``: one for each file, in the order of `corpus_files`."""
    return [Unit.of(file) for file in corpus_files(corpus)]


def check_on_error(function: str, on_error: str) -> None:
    if on_error not in ("raise", "skip"):
        raise ValueError(f"{function}: on_error must be 'raise' or 'skip'; got {on_error!r}")


def read_documents(unit: Unit | str | Path, on_error: str = "raise") -> Iterator[Batch]:
    """Read the documents of one unit in batches of about 4 MiB of text.

    Parameters
    ----------
    unit
        A work unit, or the path of one file.
    on_error
        "raise" stops at the first document that is not one; "skip" leaves it out and counts it in `Batch.skipped`.
        A stream that breaks off counts as one, after the documents before the break.

    Raises
    ------
    CorpusError
        With the file and the line (JSONL) or row (Parquet), for: a line that is not a JSON object with a string
        ``text``, invalid UTF-8, a lone surrogate, a file that is truncated or not in its format.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.jsonl"
    >>> _ = file.write_text('{"text": "un deux"}\\n{"text": "trois", "lang": "fr", "id": "x"}\\n')
    >>> [(batch.ids, batch.texts, batch.langs, batch.rows) for batch in read_documents(file)]
    [(['a.jsonl:1', 'x'], ['un deux', 'trois'], ['und', 'fr'], [0, 1])]
    """
    check_on_error("read_documents", on_error)
    return _batches(unit.path if isinstance(unit, Unit) else Path(unit), skip=on_error == "skip")


def _batches(path: Path, skip: bool) -> Iterator[Batch]:
    parquet = path.name.endswith(".parquet")
    place = "row" if parquet else "line"
    records = _parquet_records(path) if parquet else _json_records(path)
    batch, size, row = Batch(), 0, -1
    while True:
        try:
            row, record = next(records)
        except StopIteration:
            break
        except CorpusError:  # the file itself broke off: nothing can be read beyond this place
            if not skip:
                raise
            batch.skipped += 1
            break
        try:
            identity, text, lang = _document(record, f"{path.name}:{row + 1}")
        except ValueError as problem:
            if not skip:
                raise CorpusError(path, f"{place} {row if parquet else row + 1}", str(problem)) from None
            batch.skipped += 1
            continue
        batch.ids.append(identity)
        batch.texts.append(text)
        batch.langs.append(lang)
        batch.rows.append(row)
        size += len(text)
        if size >= BATCH_BYTES or len(batch) >= BATCH_DOCUMENTS:
            yield batch
            batch, size = Batch(), 0
    if batch.ids or batch.skipped:
        yield batch


def _document(record: Any, default_id: str) -> tuple[str, str, str]:
    """Id, text and language of a record: a parsed row, or the bytes of a line still to be parsed."""
    if isinstance(record, bytes):
        try:
            record = orjson.loads(record)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"must be a JSON object; {error}") from None
        if not isinstance(record, dict):
            raise ValueError(f"must be a JSON object; got {type(record).__name__}")
    text = record.get("text")
    if not isinstance(text, str):
        got = type(text).__name__ if "text" in record else "none"
        raise ValueError(f'must have a string "text"; got {got}')
    identity = record.get("id")
    if identity is None:
        identity = default_id
    elif isinstance(identity, int) and not isinstance(identity, bool):
        identity = str(identity)
    elif not isinstance(identity, str):
        raise ValueError(f'must have a string or integer "id"; got {type(identity).__name__}')
    lang = record.get("lang")
    if lang is None:
        return identity, text, "und"
    if not isinstance(lang, str):
        raise ValueError(f'must have a string "lang"; got {type(lang).__name__}')
    lang = lang.strip()
    return identity, text, "und" if lang.casefold() in ("", "unknown") else lang


def _json_records(path: Path) -> Iterator[tuple[int, bytes]]:
    compression = "gzip" if path.name.endswith(".gz") else "zstd" if path.name.endswith(".zst") else None
    if compression is not None and path.stat().st_size == 0:
        raise CorpusError(path, "byte 0", f"must be a {compression} stream; got an empty file")
    row, rest = 0, b""
    try:
        with pa.input_stream(str(path), compression=compression) as stream:
            while chunk := stream.read(READ_BYTES):
                first, *others = chunk.split(b"\n")
                rest += first
                for line in others:
                    yield row, rest
                    row, rest = row + 1, line
                if len(rest) > LONGEST_LINE:
                    raise CorpusError(path, f"line {row + 1}", f"must be at most {LONGEST_LINE} bytes; got more")
    except OSError as error:
        raise CorpusError(path, f"line {row + 1}", f"must be readable to its end; {error}") from None
    if rest:
        yield row, rest


def _parquet_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    row = 0
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            if "text" not in schema.names or not _is_text(schema.field("text").type):
                got = schema.field("text").type if "text" in schema.names else "none"
                raise CorpusError(path, "", f'must have a string column "text"; got {got}')
            columns = [name for name in ("id", "text", "lang") if name in schema.names]
            for batch in file.iter_batches(batch_size=1024, columns=columns):
                for record in batch.to_pylist():
                    yield row, record
                    row += 1
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise CorpusError(path, f"row {row}", f"must be a Parquet file of UTF-8 text; {error}") from None


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))

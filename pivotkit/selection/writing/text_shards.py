"""One shard of texts in each format: JSON lines, Parquet, a stream of `datasets`, dolma's documents and attributes.

A shard is written under the name that it will have, and is whole when ``close`` returns.
"""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from pivotkit.selection.writing.documents import Texts

ZSTD_LEVEL = 6
GZIP_LEVEL = 6
GROUP_BYTES = 32 << 20  # of text in a row group or batch, about
COLUMNS = pa.schema([(name, pa.string()) for name in ("id", "text", "lang", "source")])
TAGGER = "pivotkit__selection__"  # dolma names an attribute by experiment, tagger and key
NO_ATTRIBUTES = ("unit", "row", "id", "file")


class LineShard:
    """A file of JSON lines, ``{"id", "text", "lang"}``; plain, or compressed with zstd."""

    def __init__(self, folder: Path, stem: str, suffix: str) -> None:
        self.files = [stem + suffix]
        self._open = contextlib.ExitStack()
        file = self._open.enter_context((folder / self.files[0]).open("wb"))
        self._file: Any = file
        if suffix.endswith(".zst"):
            packed = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).stream_writer(file, closefd=False)
            self._file = self._open.enter_context(packed)

    def add(self, documents: Texts) -> None:
        for line in _lines(documents):
            self._file.write(line)

    def close(self) -> None:
        self._open.close()


class DolmaShard:
    """Dolma's two files: the documents, and beside them the numbers and the language of the selection as attributes."""

    def __init__(self, folder: Path, stem: str, suffix: str) -> None:
        self.files = [f"{place}/{stem}{suffix}" for place in ("documents", "attributes/pivotkit")]
        self._open = contextlib.ExitStack()
        self._documents, self._attributes = (self._gzip(folder / name) for name in self.files)

    def add(self, documents: Texts) -> None:
        named = [name for name in documents.rows.column_names if name not in NO_ATTRIBUTES]
        rows = documents.rows.select([*named, "file"]).to_pylist()
        for identity, text, lang, row in zip(documents.ids, documents.texts, documents.langs, rows, strict=True):
            one = {"id": identity, "text": text, "source": row["file"], "metadata": {"lang": lang}}
            self._documents.write(orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE))
            spans = {TAGGER + name: [[0, len(text), row[name]]] for name in named if _is_score(row[name])}
            about = {"id": identity, "source": row["file"], "attributes": spans}
            self._attributes.write(orjson.dumps(about, option=orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        self._open.close()

    def _gzip(self, path: Path) -> IO[bytes]:
        """A gzip file without a name and a time, which would make the same text other bytes."""
        path.parent.mkdir(parents=True, exist_ok=True)
        file = self._open.enter_context(path.open("wb"))
        packed = gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0)
        return self._open.enter_context(packed)  # type: ignore[arg-type, return-value]


class ColumnShard:
    """A Parquet file, or the Arrow stream of a saved dataset: ``id, text, lang, source``."""

    def __init__(self, folder: Path, stem: str, suffix: str) -> None:
        self.files = [stem + suffix]
        path = folder / self.files[0]
        self._open = contextlib.ExitStack()
        sink = self._open.enter_context(path.open("wb"))
        if suffix == ".parquet":
            self._writer: Any = pq.ParquetWriter(sink, COLUMNS, compression="zstd", write_page_checksum=True)
        else:
            self._writer = pa.ipc.new_stream(sink, COLUMNS)
        self._waiting: list[pa.RecordBatch] = []
        self._bytes = 0

    def add(self, documents: Texts) -> None:
        source = documents.rows["file"].combine_chunks()
        columns = [*(pa.array(one, pa.string()) for one in (documents.ids, documents.texts, documents.langs)), source]
        batch = pa.RecordBatch.from_arrays(columns, schema=COLUMNS)
        self._waiting.append(batch)
        self._bytes += batch.nbytes
        if self._bytes >= GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        with self._open:
            self._flush()
            self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting, COLUMNS).combine_chunks())
        self._waiting, self._bytes = [], 0


def dataset_files(shards: list[str], fingerprint: str) -> dict[str, bytes]:
    """What `datasets.load_from_disk` reads beside the Arrow streams of a dataset; it needs one, though it be empty."""
    empty = {} if shards else {"part-00000.arrow": _empty_stream()}
    state: dict[str, Any] = {
        "_data_files": [{"filename": name} for name in shards or empty], "_fingerprint": fingerprint[:16],
        "_format_columns": None, "_format_kwargs": {}, "_format_type": None, "_output_all_columns": False,
        "_split": None,
    }  # fmt: skip
    features = {name: {"dtype": "string", "_type": "Value"} for name in COLUMNS.names}
    about = {"citation": "", "description": "", "features": features, "homepage": "", "license": ""}
    files = {"state.json": state, "dataset_info.json": about}
    return empty | {name: orjson.dumps(value, option=orjson.OPT_INDENT_2) for name, value in files.items()}


def _empty_stream() -> bytes:
    sink = pa.BufferOutputStream()
    pa.ipc.new_stream(sink, COLUMNS).close()
    return bytes(sink.getvalue())


def _lines(documents: Texts) -> Iterator[bytes]:
    for identity, text, lang in zip(documents.ids, documents.texts, documents.langs, strict=True):
        yield orjson.dumps({"id": identity, "text": text, "lang": lang}, option=orjson.OPT_APPEND_NEWLINE)


def _is_score(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

"""The same documents in every format of a corpus, cut into frames, members, row groups and batches."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

Documents = list[dict[str, Any]]


def json_lines(documents: Documents) -> bytes:
    return "".join(json.dumps(document, ensure_ascii=False) + "\n" for document in documents).encode()


def text_lines(documents: Documents) -> bytes:
    return "".join(document["text"] + "\n" for document in documents).encode()


def pieces(raw: bytes, cuts: Iterable[int]) -> list[bytes]:
    """``raw`` cut at ``cuts``; equal cuts give an empty piece."""
    return [raw[begin:end] for begin, end in pairwise([0, *sorted(cuts), len(raw)])]


def zstd(raw: bytes, checksum: bool = True) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=checksum).compress(raw)


def skippable(payload: bytes) -> bytes:
    return struct.pack("<II", 0x184D2A57, len(payload)) + payload


def bgzf(raw: bytes) -> bytes:
    """One member that says how long it is."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    body = deflate.compress(raw) + deflate.flush()
    size = len(body) + 25
    return (
        b"\x1f\x8b\x08\x04\0\0\0\0\0\xff" + struct.pack("<HccHH", 6, b"B", b"C", 2, size) + body
        + struct.pack("<II", zlib.crc32(raw), len(raw))
    )  # fmt: skip


def packed(kind: str, raw: bytes, cuts: Iterable[int]) -> bytes:
    """``raw`` as one compressed file of several pieces: zst, gz or bgz."""
    pack: Callable[[bytes], bytes] = {"zst": zstd, "gz": gzip.compress, "bgz": bgzf}[kind]
    return b"".join(map(pack, pieces(raw, cuts)))


def write_columns(path: Path, documents: Documents, rows: int, layout: str) -> Path:
    """A Parquet file, an Arrow stream or an Arrow file with ``rows`` in each group or batch."""
    table = pa.Table.from_pylist(documents)
    if layout == "parquet":
        pq.write_table(table, path, row_group_size=rows)
        return path
    new = pa.ipc.new_stream if layout == "stream" else pa.ipc.new_file
    with new(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=rows)
    return path


FORMATS = ["jsonl", "jsonl.gz", "jsonl.bgz", "jsonl.zst", "txt", "txt.gz", "txt.zst", "parquet", "stream", "file"]


def write(folder: Path, kind: str, documents: Documents, parts: int = 5) -> Path:
    """``documents`` in the format ``kind``, in about ``parts`` pieces that are cut anywhere."""
    suffix = {"jsonl.bgz": "jsonl.gz", "stream": "arrow", "file": "arrow"}.get(kind, kind)
    path = folder / f"{kind.replace('.', '-')}.{suffix}"
    if kind in ("parquet", "stream", "file"):
        return write_columns(path, documents, max(1, len(documents) // parts), kind)
    raw = json_lines(documents) if kind.startswith("jsonl") else text_lines(documents)
    compression = kind.partition(".")[2]
    cuts = [len(raw) * part // parts for part in range(1, parts)]
    path.write_bytes(packed(compression, raw, cuts) if compression else raw)
    return path

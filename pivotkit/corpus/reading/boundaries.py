"""Where files may be cut without reading them: zstd frames, gzip members, Parquet row groups, Arrow batches.

Sources: RFC 8878 (zstd frames and blocks), RFC 1952 (gzip), the SAM specification (BGZF), the Arrow columnar format
(encapsulated messages). Where a file is not in its format, the list ends. The rest of the file belongs to the last
unit, and reading that unit raises the error.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SEARCH_BYTES = 1 << 20  # bytes per read in the search for a gzip member
TRIAL_BYTES = 64 << 10  # compressed bytes that are inflated to tell a member from bytes that look like one

ZSTD_MAGIC = 0xFD2FB528
SKIPPABLE_MAGIC = 0x184D2A50  # and the next fifteen
GZIP_MAGIC = b"\x1f\x8b\x08"


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def zstd_frames(path: Path) -> Iterator[int]:
    """Where each frame begins, skippable frames included; reads only the headers of frames and blocks."""
    with _opened(path) as file:
        at: int | None = 0
        while at is not None and len(os.pread(file, 4, at)) == 4:
            after = _frame_end(file, at)
            if after is not None:
                yield at
            at = after


def _frame_end(file: int, at: int) -> int | None:
    """Where the frame at ``at`` ends; None when there is no frame, or one that is cut short within a header."""
    header = os.pread(file, 8, at)
    if len(header) < 5:
        return None
    (magic,) = struct.unpack_from("<I", header)
    if magic & ~0xF == SKIPPABLE_MAGIC:
        return at + 8 + struct.unpack_from("<I", header, 4)[0] if len(header) == 8 else None
    if magic != ZSTD_MAGIC or header[4] & 8:
        return None
    descriptor = header[4]
    single = descriptor >> 5 & 1
    content_size = (single, 2, 4, 8)[descriptor >> 6]
    at += 5 + (1 - single) + (0, 1, 2, 4)[descriptor & 3] + content_size
    last = False
    while not last:
        block = os.pread(file, 3, at)
        if len(block) < 3:
            return None
        value = int.from_bytes(block, "little")
        last, kind, size = bool(value & 1), value >> 1 & 3, value >> 3
        if kind == 3:
            return None
        at += 3 + (1 if kind == 1 else size)
    return at + 4 * (descriptor >> 2 & 1)


def gzip_members(path: Path, unit_bytes: int) -> list[int]:
    """Where members begin, at least ``unit_bytes`` apart."""
    with _opened(path) as file:
        size = os.fstat(file).st_size
        cuts, last = [], 0
        if _bgzf_size(file, 0) is not None:
            at = 0
            while (member := _bgzf_size(file, at)) is not None and at < size:
                if at - last >= unit_bytes:
                    cuts.append(at)
                    last = at
                at += member
            return cuts
        while (found := _next_member(file, last + unit_bytes)) is not None:
            cuts.append(found)
            last = found
        return cuts


def _bgzf_size(file: int, at: int) -> int | None:
    """The size of the BGZF member at ``at``; None when there is none."""
    header = os.pread(file, 12, at)
    if len(header) < 12 or header[:3] != GZIP_MAGIC or header[3] != 4:
        return None
    extra = os.pread(file, struct.unpack_from("<H", header, 10)[0], at + 12)
    place = 0
    while place + 4 <= len(extra):
        name, size = extra[place : place + 2], struct.unpack_from("<H", extra, place + 2)[0]
        if name == b"BC" and size == 2 and place + 6 <= len(extra):
            return int(struct.unpack_from("<H", extra, place + 4)[0]) + 1
        place += 4 + size
    return None


def _next_member(file: int, begin: int) -> int | None:
    """The first place at or after ``begin`` where a member seems to begin."""
    while len(block := os.pread(file, SEARCH_BYTES, begin)) >= len(GZIP_MAGIC):
        place = block.find(GZIP_MAGIC)
        while place >= 0:
            if _inflates(os.pread(file, TRIAL_BYTES, begin + place)):
                return begin + place
            place = block.find(GZIP_MAGIC, place + 1)
        begin += len(block) - len(GZIP_MAGIC) + 1
    return None


def _inflates(data: bytes) -> bool:
    """Whether ``data`` begins like a member: it inflates, and the checksum fits where the member ends within it."""
    if len(data) < 18 or data[3] & 0xE0:
        return False
    inflate = zlib.decompressobj(31)
    try:
        while data and not inflate.eof:
            inflate.decompress(data, 1 << 20)
            data = inflate.unconsumed_tail
    except zlib.error:
        return False
    return True


def parquet_row_groups(path: Path) -> list[int]:
    """The place of each row group (`row_group_places`); an empty list when the file cannot be read."""
    try:
        with pq.ParquetFile(path) as file:
            places = row_group_places(file.metadata, path.stat().st_size)
    except (pa.ArrowException, OSError, ValueError):
        return []
    return places if places == sorted(places) else []


def row_group_places(metadata: pq.FileMetaData, size: int) -> list[int]:
    """Where each row group would begin in a file of ``size`` bytes if all compressed equally well.

    The footer has the exact place of each column, but asking pyarrow for a column of a corrupt footer crashes the
    process.
    """
    sizes = [metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups)]
    total = max(sum(sizes), 1)
    return [size * before // total for before in accumulate(sizes[:-1], initial=0)][: len(sizes)]


def arrow_batches(path: Path) -> list[int]:
    """Where each record batch begins; an empty list when a column has dictionaries, which batches share."""
    try:
        messages = list(arrow_messages(path))
    except (ValueError, OSError):
        return []
    if any(kind == "dictionary" for _, _, kind in messages):
        return []
    return [begin for begin, _, kind in messages if kind == "batch"]


ARROW_FILE_MAGIC = b"ARROW1"
MESSAGE_KINDS = {1: "schema", 2: "dictionary", 3: "batch"}


def arrow_messages(path: Path) -> Iterator[tuple[int, int, str]]:
    """Begin, end and kind of each message of an Arrow stream or file; the last kind is "end".

    A ValueError says why the file is not an Arrow file, is cut short, or goes on after its end.
    """
    with _opened(path) as file:
        size = os.fstat(file).st_size
        at, stop = 0, size
        is_file = os.pread(file, 6, 0) == ARROW_FILE_MAGIC
        if is_file:
            tail = os.pread(file, 10, max(0, size - 10))
            if tail[4:] != ARROW_FILE_MAGIC or size < 22:
                raise ValueError("must end in its footer; it is cut short")
            footer = struct.unpack_from("<i", tail)[0]
            at, stop = 8, size - 10 - footer
            if footer < 0 or stop < at:
                raise ValueError("must end in its footer; got a broken one")
        while True:
            head = os.pread(file, 8, at)
            if at == stop and is_file:  # a file may omit the end marker, because it has a footer
                break
            if len(head) < 8 or head[:4] != b"\xff\xff\xff\xff":
                raise ValueError(f"must hold whole Arrow messages up to its end marker; got none at byte {at}")
            length = struct.unpack_from("<i", head, 4)[0]
            if length == 0:
                if at + 8 != stop and not is_file:
                    raise ValueError(f"must end at its end marker; it goes on at byte {at + 8}")
                break
            whole = 0 < length <= stop - at - 8
            kind, body = _message(os.pread(file, length, at + 8)) if whole else ("one cut short", 0)
            after = at + 8 + length + body
            if kind not in MESSAGE_KINDS.values() or after > stop:
                got = "one cut short" if after > stop else kind
                raise ValueError(f"must hold whole Arrow messages; got {got} at byte {at}")
            yield at, after, kind
            at = after
        yield at, size, "end"


def _message(metadata: bytes) -> tuple[str, int]:
    """Kind and body length of a message, a flatbuffer table of version, kind, header and body length."""
    try:
        (table,) = struct.unpack_from("<I", metadata)
        vtable = table - struct.unpack_from("<i", metadata, table)[0]
        if vtable < 0:
            return "a broken one", 0
        slots = struct.unpack_from("<H", metadata, vtable)[0]
        kind = body = 0
        if slots > 6 and (place := struct.unpack_from("<H", metadata, vtable + 6)[0]):
            kind = metadata[table + place]
        if slots > 10 and (place := struct.unpack_from("<H", metadata, vtable + 10)[0]):
            (body,) = struct.unpack_from("<q", metadata, table + place)
    except (struct.error, IndexError):
        return "a broken one", 0
    return (MESSAGE_KINDS.get(kind, "one of another kind"), body) if body >= 0 else ("a broken one", 0)

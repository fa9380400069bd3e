"""Where files may be cut without reading them: zstd frames, gzip members, Parquet row groups. `ipc` has Arrow batches.

Sources: RFC 8878 (zstd frames and blocks), RFC 1952 (gzip), the SAM specification (BGZF). Where a file is not in its
format, the list ends. The rest of the file belongs to the last unit, and reading that unit raises the error.
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


def zstd_is_whole(path: Path, begin: int, end: int) -> bool:
    """Whether bytes [begin, end) are whole frames, as far as their headers say."""
    with _opened(path) as file:
        at: int | None = begin
        while at is not None and at < end:
            at = _frame_end(file, at)
        return at == end


def zstd_window(path: Path, begin: int, end: int) -> int:
    """The largest window of the frames that begin in [begin, end), in bytes."""
    largest = 0
    for at in zstd_frames(path):
        if begin <= at < end:
            with _opened(path) as file:
                largest = max(largest, _window(os.pread(file, 14, at)))
    return largest


def _window(header: bytes) -> int:
    """What a frame's decoder must keep: RFC 8878, section 3.1.1.1.2."""
    if len(header) < 14 or struct.unpack_from("<I", header)[0] != ZSTD_MAGIC:
        return 0
    descriptor = header[4]
    if not descriptor >> 5 & 1:
        base = 1 << (10 + (header[5] >> 3))
        return base + (base >> 3) * (header[5] & 7)
    at, size = 5 + (0, 1, 2, 4)[descriptor & 3], (1, 2, 4, 8)[descriptor >> 6]
    return int.from_bytes(header[at : at + size], "little") + (256 if size == 2 else 0)


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

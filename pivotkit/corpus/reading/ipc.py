"""Where the messages of an Arrow stream and the batches of an Arrow file lie (the Arrow columnar format, IPC).

A stream is a row of messages, each behind its length. Since Arrow 0.15 four bytes FF stand before the length; before,
they did not. A file is what the footer at its end says.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FILE_MAGIC = b"ARROW1"
CONTINUATION = b"\xff\xff\xff\xff"
MESSAGE_KINDS = {1: "schema", 2: "dictionary", 3: "batch"}
BLOCK = struct.Struct("<qi4xq")  # of a footer: offset, length of the metadata, length of the body


def is_arrow_file(path: Path) -> bool:
    """Whether a file is in the file format, not a stream."""
    with path.open("rb", buffering=0) as file:
        return file.read(len(FILE_MAGIC)) == FILE_MAGIC


def arrow_batches(path: Path) -> list[int]:
    """Where each record batch begins; an empty list when batches share dictionaries, or begin in another order."""
    try:
        if is_arrow_file(path):
            begins, _, dictionaries = arrow_blocks(path)
        else:
            messages = list(arrow_messages(path))
            begins = [begin for begin, _, kind in messages if kind == "batch"]
            dictionaries = sum(kind == "dictionary" for _, _, kind in messages)
    except (ValueError, OSError):
        return []
    return begins if not dictionaries and begins == sorted(set(begins)) else []


class Blocks(NamedTuple):
    """Where the batches of an Arrow file begin, as its footer lists them; their bytes; how many dictionaries it has."""

    batches: list[int]
    sizes: list[int]
    dictionaries: int


def arrow_blocks(path: Path) -> Blocks:
    """What the footer of an Arrow file lists; a ValueError says what is wrong with it."""
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        tail = os.pread(file.fileno(), 10, max(0, size - 10))
        if tail[4:] != FILE_MAGIC or size < 22:
            raise ValueError("must end in its footer; it is cut short")
        (length,) = struct.unpack_from("<i", tail)
        begin = size - 10 - length
        if length < 8 or begin < 8:
            raise ValueError("must end in its footer; got a broken one")
        footer = os.pread(file.fileno(), length, begin)
    try:
        table = _Table(footer, struct.unpack_from("<I", footer)[0])
        lists = [table.structs(slot, BLOCK) for slot in (3, 2)]  # version, schema, dictionaries, record batches
    except (struct.error, IndexError):
        raise ValueError("must end in its footer; got a broken one") from None
    for offset, metadata, body in lists[0] + lists[1]:
        if offset < 8 or metadata < 0 or body < 0 or offset + metadata + body > begin:
            raise ValueError(f"must have its batches before its footer; got one at byte {offset}")
    sizes = [metadata + body for _, metadata, body in lists[0]]
    return Blocks([offset for offset, _, _ in lists[0]], sizes, len(lists[1]))


def arrow_messages(path: Path) -> Iterator[tuple[int, int, str]]:
    """Begin, end and kind of each message of an Arrow stream; the last kind is "end".

    A ValueError says why the file is not an Arrow stream, is cut short, or goes on after its end.
    """
    with path.open("rb", buffering=0) as raw:
        file = raw.fileno()
        size = os.fstat(file).st_size
        at, is_legacy = 0, os.pread(file, 4, 0) != CONTINUATION
        prefix = b"" if is_legacy else CONTINUATION
        while True:
            head = os.pread(file, len(prefix) + 4, at)
            if len(head) < len(prefix) + 4 or not head.startswith(prefix):
                raise ValueError(f"must hold whole Arrow messages up to its end marker; got none at byte {at}")
            (length,) = struct.unpack_from("<i", head, len(prefix))
            begin = at + len(head)
            if length == 0 and at > 0:
                if begin != size:
                    raise ValueError(f"must end at its end marker; it goes on at byte {begin}")
                break
            whole = 0 < length <= size - begin
            kind, body = _message(os.pread(file, length, begin)) if whole else ("one cut short", 0)
            after = begin + length + body
            if kind not in MESSAGE_KINDS.values() or after > size:
                got = "one cut short" if after > size else kind
                raise ValueError(f"must hold whole Arrow messages; got {got} at byte {at}")
            yield at, after, kind
            at = after
        yield at, size, "end"


def _message(metadata: bytes) -> tuple[str, int]:
    """Kind and body length of a message, a flatbuffer table of version, kind, header and body length."""
    try:
        table = _Table(metadata, struct.unpack_from("<I", metadata)[0])
        kind, body = table.number(1, "<B"), table.number(3, "<q")
    except (struct.error, IndexError):
        return "a broken one", 0
    return (MESSAGE_KINDS.get(kind, "one of another kind"), body) if body >= 0 else ("a broken one", 0)


class _Table:
    """A table of a flatbuffer: its fields by slot, zero or empty where a field is absent."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - struct.unpack_from("<i", data, at)[0]
        if self._fields < 0:
            raise IndexError
        self._end = struct.unpack_from("<H", data, self._fields)[0]

    def _place(self, slot: int) -> int:
        at = 4 + 2 * slot
        offset = struct.unpack_from("<H", self._data, self._fields + at)[0] if at + 2 <= self._end else 0
        return self._at + offset if offset else 0

    def number(self, slot: int, layout: str) -> int:
        place = self._place(slot)
        return int(struct.unpack_from(layout, self._data, place)[0]) if place else 0

    def structs(self, slot: int, layout: struct.Struct) -> list[tuple[int, ...]]:
        place = self._place(slot)
        if not place:
            return []
        begin = place + struct.unpack_from("<I", self._data, place)[0]
        count = struct.unpack_from("<I", self._data, begin)[0]
        if begin + 4 + count * layout.size > len(self._data):
            raise IndexError
        return [layout.unpack_from(self._data, begin + 4 + item * layout.size) for item in range(count)]

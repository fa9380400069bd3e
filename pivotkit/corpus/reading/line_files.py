"""Files of lines, plain or compressed: the lines of a unit, read in blocks of whole lines."""

from __future__ import annotations

from collections.abc import Iterator

from pivotkit.corpus.reading.budget import LongLine
from pivotkit.corpus.reading.corpus_files import format_of
from pivotkit.corpus.reading.streams import BrokenStream, ByteRange
from pivotkit.corpus.reading.units import Unit

NEWLINE = b"\n"


class UnitLines:
    """The lines that belong to ``unit``, as blocks of whole lines: ``(buffer, size)``, each valid until the next.

    A unit that begins inside a file skips the bytes up to the first newline. Every unit but the last reads beyond its
    end to the end of its last line, even when none of that line's bytes are inside the unit. Memory: one line and two
    reads.
    """

    def __init__(self, unit: Unit, read_bytes: int, longest: int, allowed: int | None = None) -> None:
        self._unit = unit
        self._read_bytes = read_bytes
        self._longest = longest
        self._allowed = longest if allowed is None else allowed
        self._buffer = bytearray(2 * read_bytes)
        self.done = 0  # bytes of the unit's file that were read
        self._used = 0  # bytes of a line whose end was not read yet

    def __iter__(self) -> Iterator[tuple[bytearray, int]]:
        unit = self._unit
        compression = format_of(unit.path).compression
        if unit.size == 0 and compression is not None:
            raise BrokenStream(f"must be a {compression} stream; got an empty file", "byte 0")
        inside = unit.begin == 0  # whether the bytes at hand belong to a line of this unit
        with ByteRange(unit, unit.begin, unit.stop) as stream:
            while count := self._fill(stream):
                end = self._used + count
                self.done = stream.read_bytes
                if not inside:
                    newline = self._buffer.find(NEWLINE, 0, end)
                    if newline < 0:
                        continue
                    inside = True
                    end = self._drop(newline + 1, end)
                    self._used, count = 0, end
                newline = self._buffer.rfind(NEWLINE, self._used, end)
                if newline >= 0:
                    yield self._buffer, newline + 1
                    end = self._drop(newline + 1, end)
                self._used = end
                self._check_length(stream)
        if not inside:
            return
        if unit.stop < unit.size:
            with ByteRange(unit, unit.stop, unit.size) as stream:
                while count := self._fill(stream):
                    newline = self._buffer.find(NEWLINE, self._used, self._used + count)
                    if newline >= 0:
                        yield self._buffer, newline + 1
                        return
                    self._used += count
                    self._check_length(stream)
        if self._used:
            yield self._buffer, self._used

    def _fill(self, stream: ByteRange) -> int:
        if self._used + self._read_bytes > len(self._buffer):
            larger = bytearray(2 * len(self._buffer))  # a new buffer, because the caller may still use the old one
            larger[: self._used] = self._buffer[: self._used]
            self._buffer = larger
        with memoryview(self._buffer) as view, view[self._used : self._used + self._read_bytes] as target:
            return stream.read_into(target)

    def _drop(self, begin: int, end: int) -> int:
        """Move the bytes from ``begin`` on to the front; return how many there are."""
        self._buffer[: end - begin] = self._buffer[begin:end]
        return end - begin

    def _check_length(self, stream: ByteRange) -> None:
        size = self._used
        if size > self._allowed:  # measure the line, and keep none of it
            with memoryview(self._buffer) as view, view[: self._read_bytes] as target:
                while size <= self._longest and (count := stream.read_into(target)):
                    newline = self._buffer.find(NEWLINE, 0, count)
                    size += count if newline < 0 else newline
                    if newline >= 0:
                        break
            if size <= self._longest:
                raise LongLine(size)
        if size > self._longest:
            raise BrokenStream(f"must be at most {self._longest} bytes; got more")


def lines_before(unit: Unit, read_bytes: int) -> int | None:
    """How many lines of the file are before the first line of ``unit``; None when they cannot be read."""
    if unit.begin == 0:
        return 0
    count, buffer = 1, bytearray(read_bytes)  # 1 for the line that `unit` skips, whose newline is not before `begin`
    try:
        with ByteRange(unit, 0, unit.begin) as stream, memoryview(buffer) as view:
            while size := stream.read_into(view):
                count += buffer.count(NEWLINE, 0, size)
    except BrokenStream:
        return None
    return count

"""The bytes of a range of a file, decompressed: plain, gzip (RFC 1952) or zstd (RFC 8878)."""

from __future__ import annotations

import io
import os
import zlib
from pathlib import Path
from typing import IO, Protocol, cast

import zstandard

from pivotkit.corpus.reading.boundaries import zstd_is_whole, zstd_window
from pivotkit.corpus.reading.budget import parse_bytes
from pivotkit.corpus.reading.corpus_files import format_of
from pivotkit.corpus.reading.units import Unit

PACKED_BYTES = 1 << 16  # compressed bytes per read
WINDOW_OPTION = "PIVOTKIT_ZSTD_WINDOW"
WINDOW_BYTES = 128 << 20  # what zstd itself allows unless told otherwise
LARGEST_WINDOW = 1 << 31  # libzstd has no larger one


class BrokenStream(Exception):
    """The bytes end too early or cannot be read; ``place`` is set where a line number does not say where."""

    def __init__(self, problem: str, place: str | None = None) -> None:
        super().__init__(problem)
        self.place = place


class _Stream(Protocol):
    def readinto(self, target: memoryview) -> int | None: ...


class _Span(io.RawIOBase):
    """Bytes [begin, end) of a file."""

    def __init__(self, path: Path, begin: int, end: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._file.seek(begin)
        self._left = end - begin
        self.read_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]
        count = self._file.readinto(memoryview(target)[: self._left]) or 0
        self._left -= count
        self.read_bytes += count
        return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class _Gzip:
    """Members one behind another. Zeros may stand behind each, as behind a file that was padded to whole blocks.

    With ``careful``, an error comes only after all that was inflated before the byte that is wrong.
    """

    def __init__(self, source: _Span, careful: bool) -> None:
        self._source, self._careful = source, careful
        self._step = PACKED_BYTES
        self._data = b""
        self._is_first = True
        self._inflate = zlib.decompressobj(31)
        self._inside = True  # a file begins with a member

    def readinto(self, target: memoryview) -> int:
        while True:
            if not self._data:
                self._data = self._source.read(PACKED_BYTES) or b""
            if not self._inside:
                at_end = not self._data
                self._data = self._data.lstrip(b"\0")
                if at_end:
                    return 0
                if not self._data:
                    continue
                self._inflate, self._inside = zlib.decompressobj(31), True
            is_last = not self._data
            out = self._decompress(len(target))
            if self._inflate.eof:
                self._inside = False
            elif is_last and not out:
                raise OSError("Truncated compressed stream")
            if out:
                target[: len(out)] = out
                return len(out)

    def _decompress(self, room: int) -> bytes:
        before = self._inflate.copy() if self._careful and self._step > 1 else None
        given, rest = self._data[: self._step], self._data[self._step :]
        try:
            out = self._inflate.decompress(given, room)
        except zlib.error:
            if before is None:
                raise
            self._inflate, self._step = before, 1
            return self._decompress(room)
        self._data = (self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail) + rest
        return out


class ByteRange:
    """Bytes [begin, end) of a unit's file, decompressed; a compressed range must consist of whole frames or members."""

    def __init__(self, unit: Unit, begin: int, end: int) -> None:
        self._unit, self._begin, self._end = unit, begin, end
        self._compression = format_of(unit.path).compression
        self._given = 0  # bytes
        self._fault: BrokenStream | None = None
        self._open(careful=False)

    def _open(self, careful: bool) -> None:
        try:
            self._span = _Span(self._unit.path, self._begin, self._end)
        except OSError as error:
            raise self._broken(error) from None
        self._stream: _Stream = self._span
        if self._compression == "gzip":
            self._stream = _Gzip(self._span, careful)
        elif self._compression == "zstd":
            decompressor = zstandard.ZstdDecompressor(max_window_size=window_limit())
            source = cast("IO[bytes]", self._span)
            self._stream = decompressor.stream_reader(source, read_size=PACKED_BYTES, read_across_frames=True)

    def __enter__(self) -> ByteRange:
        return self

    def __exit__(self, *_: object) -> None:
        self._span.close()

    @property
    def read_bytes(self) -> int:
        """Bytes of the file that were read."""
        return self._span.read_bytes

    def read_into(self, target: memoryview) -> int:
        """Fill ``target`` as far as there are bytes. BrokenStream comes only after all bytes before the break."""
        if self._fault is not None:
            raise self._fault
        try:
            count = self._stream.readinto(target) or 0
            if count == 0 and self._compression == "zstd" and len(target):
                self._check_whole()
        except (OSError, zlib.error, zstandard.ZstdError) as error:
            self._fault = self._broken(error)
            count = self._salvage(target)
            if count == 0:
                raise self._fault from None
        self._given += count
        return count

    def _check_whole(self) -> None:
        """The decompressor takes an end within a frame for the end of all."""
        if not zstd_is_whole(self._unit.path, self._begin, self._end):
            raise OSError("Truncated compressed stream")

    def _salvage(self, target: memoryview) -> int:
        """Recover the bytes that a failed read had decoded: read the stream again, zstd's last bytes one by one."""
        self._span.close()
        count = passed = 0
        try:
            self._open(careful=True)
            while passed < self._given and (step := self._stream.readinto(target[: self._given - passed])):
                passed += step
            room = 1 if self._compression == "zstd" else len(target)
            while count < len(target) and (step := self._stream.readinto(target[count : count + room])):
                count += step
        except (OSError, zlib.error, zstandard.ZstdError, BrokenStream):
            pass
        return count if passed == self._given else 0

    def _broken(self, error: Exception) -> BrokenStream:
        until = "its end" if self._end == self._unit.size else f"byte {self._end}, where a unit of it ends"
        why = str(error)
        if self._compression == "zstd" and "too much memory" in why:
            window = zstd_window(self._unit.path, self._begin, self._end)
            why = f"it has a zstd window of {window} bytes, and {WINDOW_OPTION} allows {window_limit()}"
            if window <= LARGEST_WINDOW:
                why += (
                    f"; {WINDOW_OPTION}={-(-window >> 20)}MiB in the environment allows this one, at that much memory"
                )
        return BrokenStream(f"must be readable to {until}; {why}")


def window_limit() -> int:
    """The largest zstd window that is read, in bytes: ``PIVOTKIT_ZSTD_WINDOW`` in the environment, or 128 MiB."""
    limit = parse_bytes(os.environ.get(WINDOW_OPTION) or WINDOW_BYTES, "read_texts", WINDOW_OPTION)
    if limit > LARGEST_WINDOW:
        raise ValueError(f"read_texts: {WINDOW_OPTION} must be at most 2GiB; got {os.environ[WINDOW_OPTION]!r}")
    return limit

"""Documents as packed text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pivotkit.corpus.reading.amounts import amount

UNKNOWN = "und"


@dataclass
class TextBlock:
    """N documents of one unit, in its order; text i is ``data[offsets[i] : offsets[i + 1]]``.

    Attributes
    ----------
    data : uint8
        The texts in UTF-8, back to back.
    offsets : int64 (N + 1)
        From 0 to the length of ``data``.
    ids : pyarrow.LargeStringArray (N)
        Null for a document without an id of its own.
    langs : pyarrow.DictionaryArray of string, indices int32 (N)
        "und" where the language is not known.
    rows : int64 (N)
        The line or row of each document, from 0 at the unit's first.
    skipped : int
        Documents left out since the block before.
    end : int
        Lines or rows of the unit that were read, up to the end of the block and perhaps beyond.
    is_broken : bool
        Whether the stream broke off behind the block, so that the rest of the unit is skipped.
    done : int
        Bytes of the unit that were read, up to the end of the block and perhaps beyond; 0 where that is not known.
    """

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    ids: pa.Array
    langs: pa.DictionaryArray
    rows: npt.NDArray[np.int64]
    skipped: int = 0
    end: int = 0
    is_broken: bool = False
    done: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"TextBlock({amount(len(self), 'document')}, {amount(len(self.data), 'byte')}, {self.skipped:,} skipped)"

    def texts(self, begin: int = 0, end: int | None = None) -> list[str]:
        """The texts [begin, end) as Python strings; all by default."""
        view, last = self.data.data, len(self) if end is None else end
        return [str(view[first:stop], "utf-8") for first, stop in pairwise(self.offsets[begin : last + 1].tolist())]

    def behind(self, begin: int) -> TextBlock:
        """The block without its first ``begin`` documents; it shares the arrays."""
        offsets = self.offsets[begin:]
        parts = self.data[offsets[0] :], offsets - offsets[0], self.ids[begin:], self.langs[begin:], self.rows[begin:]
        return TextBlock(*parts, self.skipped, self.end, self.is_broken)

    @classmethod
    def of(cls, taken: tuple[Any, ...], skipped: int, end: int, is_broken: bool = False, done: int = 0) -> TextBlock:
        """A block from the arrays of `_C.DocumentBlock.take`."""
        data, offsets, rows, ids, langs = taken
        return cls(data, offsets, _strings(*ids), languages(_strings(*langs)), rows, skipped, end, is_broken, done)

    @classmethod
    def empty(cls, skipped: int, end: int, is_broken: bool = False) -> TextBlock:
        """A block without documents."""
        none, nothing = pa.array([], pa.large_string()), np.zeros(0, np.int64)
        data, offsets = np.zeros(0, np.uint8), np.zeros(1, np.int64)
        return cls(data, offsets, none, languages(none), nothing, skipped, end, is_broken)

    @classmethod
    def of_texts(cls, texts: list[str], tags: list[str | None], first: int, size: int) -> Iterator[TextBlock]:
        """Blocks of about ``size`` bytes of documents without ids; ``tags`` are their languages, ``first`` a row."""
        packed, rows = pa.array(texts, pa.large_string()), np.arange(first, first + len(texts))
        nothing, langs = pa.nulls(len(texts), pa.large_string()), languages(pa.array(tags, pa.large_string()))
        return cls.slices(packed, nothing, langs, rows, size)

    @classmethod
    def slices(
        cls, texts: pa.Array, ids: pa.Array, langs: pa.DictionaryArray, rows: npt.NDArray[np.int64], size: int
    ) -> Iterator[TextBlock]:
        """Blocks of about ``size`` bytes that share the buffers of ``texts``, which has no nulls."""
        _, ends, buffer = texts.buffers()
        kind = np.int64 if pa.types.is_large_string(texts.type) else np.int32
        if len(texts) == 0:
            return
        offsets = np.frombuffer(ends, kind)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64, copy=False)
        data = np.zeros(0, np.uint8) if buffer is None else np.frombuffer(buffer, np.uint8)
        begin = 0
        while begin < len(texts):
            end = max(begin + 1, int(np.searchsorted(offsets, offsets[begin] + size, "right")) - 1)
            first, last = int(offsets[begin]), int(offsets[end])
            part = offsets[begin : end + 1]
            count = end - begin
            yield cls(
                data[first:last],
                part - first if first else part,
                ids.slice(begin, count),
                langs.slice(begin, count),
                rows[begin:end],
            )
            begin = end


def _strings(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], valid: npt.NDArray[np.uint8], absent: int
) -> pa.Array:
    buffers = [pa.py_buffer(valid) if absent else None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, buffers, null_count=absent)


def languages(tags: pa.Array) -> pa.DictionaryArray:
    """Language tags without surrounding white space; "und" for null, the empty string and "unknown"."""
    encoded = tags.dictionary_encode()
    codes: dict[str, int] = {}
    table = [codes.setdefault(_language(tag), len(codes)) for tag in [*encoded.dictionary.to_pylist(), None]]
    places = encoded.indices.fill_null(len(table) - 1).to_numpy(zero_copy_only=False)
    indices = pa.array(np.array(table, np.int32)[places])
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(codes), pa.string()))


def _language(tag: str | None) -> str:
    tag = "" if tag is None else tag.strip()
    return UNKNOWN if tag.casefold() in ("", "unknown") else tag

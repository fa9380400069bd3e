"""Documents on their way from a corpus to a shard, some at a time: their texts, or their ids."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ids: TypeAlias = NDArray[Any]
Lengths: TypeAlias = NDArray[np.int64]

# Beside the columns of the selection, what the rows of provenance say of where a document came from and went to.
FILE = pa.field("file", pa.string())
SHARD = pa.field("shard", pa.string())
LINE = pa.field("line", pa.int64())
FIRST = pa.field("first", pa.int64())
LENGTH = pa.field("length", pa.int64())
OFFSET = pa.field("offset", pa.int64())
CUT = pa.field("cut", pa.bool_())
WRITTEN = tuple(field.name for field in (FILE, SHARD, LINE, FIRST, LENGTH, OFFSET, CUT))


@dataclass(frozen=True)
class Texts:
    """Documents as text.

    Attributes
    ----------
    rows : pyarrow.Table
        The selection's row of each, and ``file``.
    ids, texts, langs : list of str
    """

    rows: pa.Table
    ids: list[str]
    texts: list[str]
    langs: list[str]

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, part: slice) -> Texts:
        rows = self.rows.slice(part.start or 0, len(range(len(self))[part]))
        return Texts(rows, self.ids[part], self.texts[part], self.langs[part])

    def sizes(self) -> Lengths:
        """Bytes of each text in UTF-8."""
        return np.fromiter((len(text.encode()) for text in self.texts), np.int64, len(self))


@dataclass(frozen=True)
class Tokens:
    """Documents as ids: ``ids[ends[d - 1]:ends[d]]``.

    Attributes
    ----------
    rows : pyarrow.Table
        The selection's row of each, and ``file``.
    ids : (tokens,) integers
    ends : int64 (documents,)
    offset : int, default 0
        How many ids of the first document stand in an earlier shard.
    added : bool (documents,), optional
        Whether the last id is an ``eos`` that the corpus does not have there.
    """

    rows: pa.Table
    ids: Ids
    ends: Lengths
    offset: int = 0
    added: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, part: slice) -> Tokens:
        begin, stop, _ = part.indices(len(self))
        first = int(self.ends[begin - 1]) if begin else 0
        last = int(self.ends[stop - 1]) if stop > begin else first
        ends = self.ends[begin:stop] - first
        offset = self.offset if begin == 0 else 0
        added = None if self.added is None else self.added[begin:stop]
        return Tokens(self.rows.slice(begin, stop - begin), self.ids[first:last], ends, offset, added)

    def sizes(self) -> Lengths:
        """Ids of each document."""
        return np.diff(self.ends, prepend=0)

    @property
    def begins(self) -> Lengths:
        return self.ends - self.sizes()

    def head(self, tokens: int) -> Tokens:
        """The first ``tokens`` ids; the last document may be cut."""
        part = self[: int(np.searchsorted(self.ends, tokens)) + 1]
        added = part.added
        if added is not None and part.ends[-1] > tokens:
            added = np.append(added[:-1], False)
        return replace(part, ids=part.ids[:tokens], ends=np.minimum(part.ends, tokens), added=added)

    def behind(self, tokens: int) -> Tokens:
        """What `head` leaves: a document that it cuts goes on here. Each document has an id."""
        done = int(np.searchsorted(self.ends, tokens, side="right"))
        cut = tokens - (int(self.ends[done - 1]) if done else 0) if done < len(self) else 0
        rest = self[done:]
        return replace(rest, ids=rest.ids[cut:], ends=rest.ends - cut, offset=rest.offset + cut)

    def followed_by(self, other: Tokens) -> Tokens:
        """Both, one behind the other; ``other`` begins with the beginning of a document."""
        rows = pa.concat_tables([self.rows, other.rows])
        ends = np.concatenate([self.ends, other.ends + len(self.ids)])
        added = None
        if self.added is not None and other.added is not None:
            added = np.concatenate([self.added, other.added])
        return Tokens(rows, np.concatenate([self.ids, other.ids]), ends, self.offset, added)


def ended(documents: Tokens, eos: int) -> Tokens:
    """The documents with ``eos`` behind those that do not end with it."""
    lengths = documents.sizes()
    lacks = lengths == 0
    lacks[~lacks] = documents.ids[documents.ends[~lacks] - 1] != eos
    ids = np.insert(documents.ids, documents.ends[lacks], eos) if lacks.any() else documents.ids
    return replace(documents, ids=ids, ends=documents.ends + np.cumsum(lacks), added=lacks)

"""Documents into shards: where one ends and the next begins, and the row of provenance of each document."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from pivotkit.selection.writing.begun_folder import BegunFolder
from pivotkit.selection.writing.documents import FIRST, LENGTH, LINE, OFFSET, SHARD, Texts, Tokens
from pivotkit.selection.writing.formats import Layout


class ShardWriter:
    """Shards one behind another; each ends with the document that makes it reach ``limit``.

    Where documents are cut into instances, a shard has ``limit`` ids, and a document may go on in the next.

    Parameters
    ----------
    begun : BegunFolder
    layout : Layout
    schema : pyarrow.Schema
        The columns of the documents' rows.
    limit : int
        Ids of a shard, or of text bytes.
    bos : int, optional
        A document that does not begin with it begins a shard: behind another one it would be a part of that.
    instance : int, optional
        Ids of a training instance.
    """

    def __init__(
        self, begun: BegunFolder, layout: Layout, schema: pa.Schema, limit: int, bos: int | None = None,
        instance: int | None = None,
    ) -> None:  # fmt: skip
        self._begun, self._layout, self._bos = begun, layout, bos
        self._limit = limit if instance is None else max(limit // instance, 1) * instance
        self._instance = instance
        for field in self._places():
            schema = schema.append(field)
        self.schema = schema
        self._open = contextlib.ExitStack()
        self._shard: Any = None
        self._rows: Any = None
        self._told: dict[str, int] = {}
        self._size = 0
        self._offset = 0

    @property
    def resumed(self) -> dict[str, int]:
        """How many ``documents`` need not come again, and the ``offset`` of the next in ids."""
        shards = self._begun.shards
        return {
            "documents": sum(shard["ended"] for shard in shards),
            "offset": shards[-1]["offset"] if shards else 0,
        }

    def add(self, documents: Texts | Tokens, cut: int = 0) -> None:
        """Write documents; of the last one only the first ``cut`` ids come, where that is not 0."""
        if isinstance(documents, Texts):
            self._add_texts(documents)
        elif self._instance is None:
            self._add_documents(documents)
        else:
            self._add_instances(documents, cut)

    def close(self, state: Mapping[str, Any] | None = None) -> None:
        """Finish the shard that is being written, and keep with it the ``state`` that the caller needs to go on."""
        if self._shard is None:
            return
        name = self._shard.files[0]
        with self._begun.naming(name):
            self._shard.close()
            self._rows.close()
            self._open.close()
        about = {"file": name, **self._told, "offset": self._offset, "state": dict(state or {})}
        self._begun.keep(about, self._shard.files)
        self._shard, self._size, self._told = None, 0, {}

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._shard is not None:  # it is not whole, and the error that is on its way says why
            for file in (self._shard, self._open):
                with contextlib.suppress(Exception):
                    file.close()

    def _add_texts(self, documents: Texts) -> None:
        ends = np.cumsum(documents.sizes())
        for begin, stop in self._cuts(ends):
            part = documents[begin:stop]
            places = {LINE: np.arange(len(part)) + self._told.get("documents", 0)}
            self._write(part, int(ends[stop - 1]) - (int(ends[begin - 1]) if begin else 0), len(part), places)

    def _add_documents(self, documents: Tokens) -> None:
        apart = np.zeros(0, np.int64)
        if self._bos is not None:
            apart = np.flatnonzero(documents.ids[documents.begins] != self._bos)
        for begin, stop in self._cuts(documents.ends, apart):
            part = documents[begin:stop]
            self._write(part, len(part.ids), len(part), self._token_places(part))

    def _add_instances(self, documents: Tokens, cut: int) -> None:
        while len(documents):
            if self._size >= self._limit:
                self.close()
            room = self._limit - self._size
            part = documents if len(documents.ids) <= room else documents.head(room)
            documents = documents.behind(len(part.ids))
            self._offset = documents.offset if len(documents) else cut
            self._write(part, len(part.ids), len(part) - (self._offset > 0), self._token_places(part))

    def _token_places(self, part: Tokens) -> dict[pa.Field, Any]:
        places: dict[pa.Field, Any] = {FIRST: part.begins + self._size, LENGTH: part.sizes()}
        if self._instance is not None:
            places[OFFSET] = np.zeros(len(part), np.int64)
            places[OFFSET][:1] = part.offset
        return places

    def _cuts(self, ends: Any, apart: Any = ()) -> Iterator[tuple[int, int]]:
        """Documents [begin, stop) that go into one shard; one of ``apart`` begins it."""
        at, alone = 0, list(apart)
        while at < len(ends):
            while alone and alone[0] < at:
                alone.pop(0)
            if self._size >= self._limit or (alone and alone[0] == at and self._size):
                self.close()
            done = int(ends[at - 1]) if at else 0
            to = min(int(np.searchsorted(ends, done + self._limit - self._size)) + 1, len(ends))
            if behind := [place for place in alone[:2] if place > at]:
                to = min(to, behind[0])
            yield at, to
            at = to
        if self._size >= self._limit:
            self.close()

    def _write(self, part: Any, size: int, ended: int, places: dict[pa.Field, Any]) -> None:
        number = len(self._begun.shards)
        if self._shard is None:
            with self._begun.naming(f"part-{number:05}"):
                self._shard = self._layout.shard(self._begun.folder, number)
                sink = self._open.enter_context(self._begun.rows_path(number).open("wb"))
                self._rows = pa.ipc.new_stream(sink, self.schema)
        name = self._shard.files[0]
        rows = part.rows.append_column(SHARD, pa.repeat(pa.scalar(name, pa.string()), len(part)))
        for field, values in places.items():
            rows = rows.append_column(field, pa.array(values, field.type))
        with self._begun.naming(name):
            self._shard.add(part)
            self._rows.write_table(rows.cast(self.schema))
        self._size += size
        told = {"documents": len(part), "ended": ended}
        if isinstance(part, Tokens):
            told |= {"tokens": size, "eos_added": 0 if part.added is None else int(part.added.sum())}
        for key, number in told.items():
            self._told[key] = self._told.get(key, 0) + number

    def _places(self) -> list[pa.Field]:
        if self._layout.dtype is None:
            return [SHARD, LINE]
        return [SHARD, FIRST, LENGTH] + ([OFFSET] if self._instance is not None else [])


class Instances:
    """Holds documents back that may stand in an instance that never becomes whole.

    Whole documents go on as soon as all of their ids are in whole instances; the last one is cut at the end.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._held: Tokens | None = None
        self._at = 0  # ids that went on, modulo the length
        self.cut = 0  # ids of the last document that went on, where it is cut

    def each(self, documents: Iterable[Tokens]) -> Iterator[Tokens]:
        """The documents that go on, and at the end what of the last fills an instance."""
        for batch in documents:
            if (ready := self._add(batch)) is not None:
                yield ready
        if (ready := self._finish()) is not None:
            yield ready

    @property
    def left_out(self) -> int:
        """How many ids are held back."""
        return 0 if self._held is None else len(self._held.ids)

    def _add(self, documents: Tokens) -> Tokens | None:
        """The documents that may go on."""
        held = documents if self._held is None else self._held.followed_by(documents)
        safe = (self._at + len(held.ids)) // self._length * self._length - self._at
        count = int(np.searchsorted(held.ends, safe, side="right"))
        if not count:
            self._held = held
            return None
        self._held = held[count:] if count < len(held) else None
        ready = held[:count]
        self._at = (self._at + len(ready.ids)) % self._length
        return ready

    def _finish(self) -> Tokens | None:
        """What of the last documents fills the last instance."""
        room = (self._at + self.left_out) // self._length * self._length - self._at
        if self._held is None or room <= 0:
            return None
        last, rest = self._held.head(room), self._held.behind(room)
        self._held, self.cut = (rest if len(rest) else None), rest.offset
        return last


def cut_first(documents: Iterator[Tokens], offset: int) -> Iterator[Tokens]:
    """Documents without the first ``offset`` ids, which an earlier shard has."""
    for batch in documents:
        yield batch.behind(offset) if offset else batch
        offset = 0

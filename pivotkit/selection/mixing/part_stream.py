"""The documents of one part in training order: shuffled by a seed, epoch after epoch, from any place on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pivotkit.corpus.reading.units import Unit
from pivotkit.selection.mixing.part_source import PartSource
from pivotkit.selection.writing.documents import Ids, Tokens, ended
from pivotkit.selection.writing.job import check_inside
from pivotkit.selection.writing.wanted import remaining

POOL_TOKENS = 1 << 22  # ids among whose documents the order is random


@dataclass(frozen=True)
class Place:
    """Where a stream is: the pool that its documents come from, and the next of them.

    Attributes
    ----------
    epoch : int
    pool : int
        The number of the pool in the epoch.
    unit, skip : int
        The unit in which the pool begins, in the order of the epoch, and how many of its documents come before.
    at : int
        How many documents of the pool are done.
    offset : int
        How many ids of the next document are done.
    """

    epoch: int = 0
    pool: int = 0
    unit: int = 0
    skip: int = 0
    at: int = 0
    offset: int = 0


class Pool(NamedTuple):
    """Documents in a random order."""

    documents: Tokens
    order: Any
    next_unit: int
    next_skip: int


class Piece(NamedTuple):
    """Some ids of a document: its place in a pool says which document."""

    ids: Ids
    pool: Pool
    document: int
    epoch: int
    offset: int


class PartStream:
    """The documents of a part, one at a time.

    Files are read in stretches, whose order is random; within about 2^22 ids that are read one behind another the order
    of documents is random, too. Both depend on the seed, the part's name and the epoch.

    Attributes
    ----------
    place : Place
        Where the next document is; given again, the stream goes on there.
    """

    def __init__(
        self, name: str, source: PartSource, units: list[Unit], *, seed: int, max_epochs: int, eos: int | None,
        is_olmo: bool, place: dict[str, int] | None = None,
    ) -> None:  # fmt: skip
        self._name, self._source, self._units = name, source, units
        self._max_epochs, self._eos, self._is_olmo = max_epochs, eos, is_olmo
        self._seed = [seed, int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")]
        self.place = Place(**(place or {}))
        self._batches: Iterator[tuple[int, int, Tokens]] | None = None
        self._pool: Pool | None = None

    @property
    def files(self) -> list[Unit]:
        """The files of the part, each once."""
        return list(dict.fromkeys(unit.file for unit in self._units))

    def state(self) -> dict[str, int]:
        """What `place` is made of."""
        return asdict(self.place)

    def length(self) -> int:
        """How many ids the next document has, or what is left of it."""
        pool = self._filled()
        document = int(pool.order[self.place.at])
        begin = int(pool.documents.ends[document - 1]) if document else 0
        return int(pool.documents.ends[document]) - begin - self.place.offset

    def take(self, most: int | None = None) -> Piece:
        """The next document, or at most so many of its ids."""
        pool = self._filled()
        document = int(pool.order[self.place.at])
        begin = (int(pool.documents.ends[document - 1]) if document else 0) + self.place.offset
        end = int(pool.documents.ends[document])
        piece = pool.documents.ids[begin : end if most is None else min(end, begin + most)]
        found = Piece(piece, pool, document, self.place.epoch, self.place.offset)
        if begin + len(piece) == end:
            self.place = replace(self.place, at=self.place.at + 1, offset=0)
        else:
            self.place = replace(self.place, offset=self.place.offset + len(piece))
        return found

    def _filled(self) -> Pool:
        """The pool of the next document."""
        while self._pool is None or self.place.at == len(self._pool.order):
            if self._pool is not None:
                unit, skip = self._pool.next_unit, self._pool.next_skip
                self.place = Place(self.place.epoch, self.place.pool + 1, unit, skip)
            self._pool = self._read()
            if self._pool is None:
                self._begin_epoch()
        return self._pool

    def _begin_epoch(self) -> None:
        if self.place.pool == 0:
            raise ValueError(f"mix: parts must hold documents; part {self._name!r} holds none")
        if self.place.epoch + 1 >= self._max_epochs:
            rule = "hold its weight of the budget, or max_epochs be larger"
            raise ValueError(
                f"mix: part {self._name!r} must {rule}; it ended behind {self.place.epoch + 1} epochs of its documents"
            )
        self.place, self._batches = Place(self.place.epoch + 1), None

    def _read(self) -> Pool | None:
        """The next pool; None at the end of an epoch."""
        if self._batches is None:
            self._batches = self._read_units(self.place.unit, self.place.skip)
        parts: list[Tokens] = []
        size, unit, skip = 0, self.place.unit, self.place.skip
        for number, done, batch in self._batches:
            parts.append(batch)
            unit, skip, size = number, done, size + len(batch.ids)
            if size >= POOL_TOKENS:
                break
        if not parts:
            return None
        lengths = np.cumsum([0, *(len(part.ids) for part in parts[:-1])])
        ends = np.concatenate([part.ends + before for part, before in zip(parts, lengths, strict=True)])
        rows = pa.concat_tables([part.rows for part in parts]).combine_chunks()
        ids = np.concatenate([part.ids for part in parts])
        random = np.random.default_rng([*self._seed, self.place.epoch, 1, self.place.pool])
        added = None if self._eos is None else np.concatenate([part.added for part in parts if part.added is not None])
        return Pool(Tokens(rows, ids, ends, added=added), random.permutation(len(ends)), unit, skip)

    def _read_units(self, first: int, skip: int) -> Iterator[tuple[int, int, Tokens]]:
        """Batches of the units from the ``first`` on, with the unit's place and its documents up to the batch's end."""
        order = np.random.default_rng([*self._seed, self.place.epoch, 0]).permutation(len(self._units))
        for number in range(first, len(order)):
            unit, done = self._units[order[number]], skip
            for batch in remaining(self._source.documents(unit), skip):
                done += len(batch)
                if self._is_olmo and not self._source.ends_documents:
                    check_inside(unit, batch, int(self._eos or 0))
                if len(batch):
                    yield number, done, batch if self._eos is None else ended(batch, self._eos)
            skip = 0

"""One call of `mix`: parts in turns through shards to a manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pivotkit.corpus.reading.units import Unit
from pivotkit.errors import CorpusError
from pivotkit.progress import progress
from pivotkit.selection.mixing.interleave import Turns
from pivotkit.selection.mixing.part_source import ROWS, PartSource
from pivotkit.selection.mixing.part_stream import PartStream, Piece
from pivotkit.selection.writing.begun_folder import BegunFolder
from pivotkit.selection.writing.documents import OFFSET, Tokens
from pivotkit.selection.writing.formats import Layout
from pivotkit.selection.writing.job import command, versions, written
from pivotkit.selection.writing.shard_writer import ShardWriter

FLUSH_TOKENS = 1 << 18  # ids that are written at a time
PLACES = pa.schema([("part", pa.string()), ("epoch", pa.int64())])
UNLIMITED = 1 << 62


@dataclass(frozen=True)
class MixJob:
    """What a call of `mix` asks for, checked."""

    sources: Mapping[str, PartSource]
    weights: Mapping[str, float]
    budget: int
    layout: Layout
    vocab_size: int
    eos: int | None
    bos: int | None
    seed: int
    max_epochs: int
    instance: int | None
    limit: int

    def plan(self) -> dict[str, Any]:
        """What would be written of each part, and about how many bytes."""
        assert self.layout.dtype is not None
        whole = sum(self.weights.values())
        parts: dict[str, Any] = {}
        for name, source in self.sources.items():
            wanted, available = round(self.budget * self.weights[name] / whole), source.total()
            parts[name] = {"share": self.weights[name] / whole, "tokens": wanted, "available": available}
            parts[name]["epochs"] = None if not available else wanted / available
        return {
            "budget_tokens": self.budget, "format": self.layout.format,
            "bytes": self.budget * self.layout.dtype.itemsize, "parts": parts,
        }  # fmt: skip

    def check_supply(self) -> None:
        """Refuse parts that are too small; of text it is found out as it is read."""
        short = []
        for name, told in self.plan()["parts"].items():
            if told["available"] is not None and told["tokens"] > told["available"] * self.max_epochs:
                need = -(-told["tokens"] // max(told["available"], 1))
                short.append(f"part {name!r} has {told['available']} tokens of {told['tokens']} (max_epochs={need})")
        if short:
            rule = f"hold its weight of the budget in max_epochs={self.max_epochs}"
            raise ValueError(f"mix: each of parts must {rule}; got {', '.join(short)}")

    def run(self, out: Path) -> dict[str, Any]:
        """Write the folder, or go on with what an earlier call left, and return its manifest."""
        units = {name: source.units() for name, source in self.sources.items()}
        call = {
            "units": {name: [unit.name for unit in some] for name, some in units.items()}, **self._asked(),
            "shards": self.limit, "versions": versions(),
        }  # fmt: skip
        begun = BegunFolder("mix", out, call)
        with begun.opened() as finished:
            if finished is not None:
                begun.settle()
                return finished
            fields = [*PLACES, *ROWS, *([OFFSET] if self.instance is not None else [])]
            with ShardWriter(begun, self.layout, pa.schema(fields), UNLIMITED) as writer:
                run = _Run(self, units, writer, begun.shards[-1]["state"] if begun.shards else None)
                run.write()
            return begun.finish(self._manifest(begun, run), writer.schema, {})

    def _asked(self) -> dict[str, Any]:
        assert self.layout.dtype is not None
        return {
            "format": self.layout.format, "dtype": self.layout.dtype.name, "vocab_size": self.vocab_size,
            "eos": self.eos, "bos": self.bos, "tokenizer": self.layout.tokenizer, "instance_tokens": self.instance,
            "budget_tokens": self.budget, "seed": self.seed, "max_epochs": self.max_epochs,
            "weights": dict(self.weights),
        }  # fmt: skip

    def _manifest(self, begun: BegunFolder, run: _Run) -> dict[str, Any]:
        parts = self.plan()["parts"]
        for name, told in parts.items():
            place = run.streams[name].place
            told |= {"tokens": run.turns.written[name], "documents": run.documents[name], "epochs": place.epoch + 1}
        units = [(name, unit) for name, stream in run.streams.items() for unit in stream.files]
        return {
            **self._asked(),
            "parts": parts,
            "corpus": [{"part": name, "path": str(unit.path), "size": unit.size} for name, unit in units],
            "selected": written(begun.shards, True),
            "versions": versions(),
            "command": command(),
        }


class _Lengths(dict[str, int]):
    """The lengths of the next documents, asked for only of parts whose turn it may be: another may be at its end."""

    def __init__(self, streams: Mapping[str, PartStream]) -> None:
        super().__init__()
        self._streams = streams

    def __missing__(self, name: str) -> int:
        self[name] = self._streams[name].length()
        return self[name]


@dataclass
class _Run:
    """The parts' streams, what was written of each, and the pieces that wait to be written."""

    job: MixJob
    units: Mapping[str, list[Unit]]
    writer: ShardWriter
    state: Mapping[str, Any] | None
    waiting: list[tuple[str, Piece]] = field(default_factory=list)
    size: int = 0  # ids of the shard

    def __post_init__(self) -> None:
        job, state = self.job, self.state or {"written": {}, "places": {}, "documents": {}}
        self.turns = Turns(job.weights, state["written"])
        self.documents: dict[str, int] = {name: state["documents"].get(name, 0) for name in job.sources}
        self.streams = {
            name: PartStream(
                name, source, self.units[name], seed=job.seed, max_epochs=job.max_epochs, eos=job.eos,
                is_olmo=job.layout.format == "olmo", place=state["places"].get(name),
            )
            for name, source in job.sources.items()
        }  # fmt: skip

    def write(self) -> None:
        """Write documents or instances until the budget is reached."""
        waiting = 0
        with progress("Mixing", self.job.budget) as tell:
            while self.turns.total < self.job.budget:
                for name, piece in self._next():
                    self.waiting.append((name, piece))
                    waiting += len(piece.ids)
                    self.size += len(piece.ids)
                if self.size >= self.job.limit or waiting >= FLUSH_TOKENS:
                    self._flush()
                    tell(self.turns.total)
                    waiting = 0
                if self.size >= self.job.limit:
                    self._close()
            self._flush()
            self._close()

    def _next(self) -> Iterator[tuple[str, Piece]]:
        """The pieces of the next document or instance."""
        length = self.job.instance
        if length is None:
            name = self.turns.next(_Lengths(self.streams))
            self.documents[name] += 1
            yield name, self._checked(name, self.streams[name].take())
            return
        name, left = self.turns.next(dict.fromkeys(self.streams, length)), length
        while left:
            piece = self.streams[name].take(left)
            self.documents[name] += piece.offset == 0
            left -= len(piece.ids)
            if len(piece.ids):
                yield name, self._checked(name, piece)

    def _checked(self, name: str, piece: Piece) -> Piece:
        bos = self.job.bos
        if bos is not None and piece.offset == 0 and len(piece.ids) and piece.ids[0] != bos:
            file = piece.pool.documents.rows["file"][piece.document].as_py()
            raise CorpusError(file, f"part {name}", f"must hold documents that begin with bos, {bos}; got another")
        return piece

    def _close(self) -> None:
        places = {name: stream.state() for name, stream in self.streams.items()}
        written = dict(self.turns.written)
        self.writer.close({"written": written, "places": places, "documents": dict(self.documents)})
        self.size = 0

    def _flush(self) -> None:
        """Write the pieces that wait."""
        if not self.waiting:
            return
        pools: dict[int, list[int]] = {}
        for place, (_, piece) in enumerate(self.waiting):
            pools.setdefault(id(piece.pool), []).append(place)
        tables, order = [], []
        for places in pools.values():
            documents = [self.waiting[place][1].document for place in places]
            tables.append(self.waiting[places[0]][1].pool.documents.rows.take(pa.array(documents, pa.int64())))
            order += places
        rows = pa.concat_tables(tables).take(pa.array(np.argsort(order)))
        told: list[Any] = [pa.array([name for name, _ in self.waiting], pa.string())]
        told.append(pa.array([piece.epoch for _, piece in self.waiting], pa.int64()))
        table = pa.table([*told, *rows.columns], names=[*PLACES.names, *ROWS.names])
        if self.job.instance is not None:
            table = table.append_column(OFFSET, pa.array([piece.offset for _, piece in self.waiting], pa.int64()))
        ends = np.cumsum([len(piece.ids) for _, piece in self.waiting])
        added = np.array([_ends_with_added(piece) for _, piece in self.waiting], np.bool_)
        documents_of = Tokens(table, np.concatenate([piece.ids for _, piece in self.waiting]), ends)
        self.writer.add(replace(documents_of, added=added))
        self.waiting = []


def _ends_with_added(piece: Piece) -> bool:
    documents = piece.pool.documents
    if documents.added is None or not documents.added[piece.document]:
        return False
    begin = int(documents.ends[piece.document - 1]) if piece.document else 0
    return begin + piece.offset + len(piece.ids) == int(documents.ends[piece.document])

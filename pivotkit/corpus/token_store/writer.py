"""The files of one unit of a token store, written so that a stopped run goes on inside the unit.

Ids are appended to one file. After every `PIECE_BYTES` of text, what else is known of the documents goes to a numbered
piece beside it, which appears whole and has a digest of all ids so far. What is behind the last piece is not trusted.
At the end the file of ids takes its place, and the other files are made of the pieces.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pivotkit.artifacts import atomic_path, file_digest, read_table, sweep, table_metadata, value_digest, write_table
from pivotkit.corpus.reading.documents import TextBlock, Unit
from pivotkit.corpus.token_store.parts import Part, write_parts
from pivotkit.corpus.token_store.store import ID, unit_path
from pivotkit.errors import InputError

PIECE_BYTES = 64 << 20  # text per piece: about what a kill may cost
READ_BYTES = 1 << 20
BEGUN = ".begun"
SCHEMA = pa.schema({"row": pa.int64(), "id": pa.string(), "lang": pa.string(), "tokens": pa.int64()})


class UnitWriter:
    """Writes one unit; begins behind the documents that an earlier run has written.

    Attributes
    ----------
    documents : int
        How many are written.
    """

    def __init__(self, folder: Path, unit: Unit) -> None:
        self._folder, self._unit = folder, unit
        self._place = begun_folder(folder, unit)
        self._pieces: list[pa.Table] = []
        self._pending: list[pa.Table] = []
        self._pending_bytes = 0
        self._digest = hashlib.sha256()
        self._parts: list[Part] = []
        self._skipped = self._tokens = 0
        self.documents = 0
        self._place.mkdir(exist_ok=True)
        sweep(self._place)
        written = unit_path(folder, unit, ".u32")
        if not self._ids.exists() and written.exists() and (self._place / "0.parquet").exists():
            written.replace(self._ids)  # a run was killed at its end
        self._file = self._ids.open("r+b" if self._ids.exists() else "w+b")
        self._resume()

    @property
    def _ids(self) -> Path:
        return self._place / "ids"

    @property
    def last(self) -> Part | None:
        """The part that was begun last."""
        return self._parts[-1] if self._parts else None

    def close(self) -> None:
        """Stop before the end; pieces stay for another run."""
        self._file.close()
        if not self._pieces:
            shutil.rmtree(self._place, ignore_errors=True)

    def add(
        self,
        part: Part,
        skipped: int,
        block: TextBlock,
        ids: npt.NDArray[np.uint32],
        lengths: npt.NDArray[np.int64],
    ) -> None:
        """Append documents as `read_parts` gives them, their ids back to back and how many each has."""
        if self.last != part:
            self._parts.append(part)
        self._skipped = skipped
        raw = ids.astype(ID, copy=False).data.cast("B")
        self._file.write(raw)
        self._digest.update(raw)
        self._tokens += len(ids)
        self._pending.append(_described(self._unit, part, block, lengths))
        self.documents += len(block)
        self._pending_bytes += len(block.data)
        if self._pending_bytes >= PIECE_BYTES:
            self._keep()

    def finish(self) -> None:
        """Put the files in their places; the Parquet file, whose presence says that the others are whole, is last."""
        flat, ends, listed, parts = (
            unit_path(self._folder, self._unit, suffix)
            for suffix in (".u32", ".offsets.npy", ".parquet", ".parts.parquet")
        )
        documents = pa.concat_tables([SCHEMA.empty_table(), *self._pieces, *self._pending]).combine_chunks()
        self._flush()
        self._file.close()
        listed.unlink(missing_ok=True)
        self._ids.replace(flat)
        with atomic_path(ends) as path, path.open("wb") as file:
            np.save(file, np.concatenate([np.zeros(1, np.int64), np.cumsum(documents["tokens"].to_numpy())]))
        write_parts(self._parts, parts)
        digests = {".u32": self._digest.hexdigest(), ".offsets.npy": file_digest(ends)}
        about = {"unit": self._unit.name, "skipped": self._skipped, "digests": digests}
        write_table(documents.select(["row", "id", "lang"]), listed, about)
        shutil.rmtree(self._place, ignore_errors=True)

    def _flush(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def _keep(self) -> None:
        """Make a piece of what is pending."""
        self._flush()
        piece = pa.concat_tables(self._pending)
        parts = [list(part) for part in self._parts]
        about = {"tokens": self._tokens, "skipped": self._skipped, "parts": parts}
        sealed = {**about, "digest": value_digest([self._digest.hexdigest(), about])}
        write_table(piece, self._place / f"{len(self._pieces)}.parquet", sealed)
        self._pieces.append(piece)
        self._pending, self._pending_bytes = [], 0

    def _resume(self) -> None:
        """Take the pieces that are as they were written, up to the first that is not, and drop what is behind them."""
        while (piece := self._read_piece()) is not None:
            about = table_metadata(piece)
            self._parts = [Part(*places) for places in about["parts"]]
            self._tokens, self._skipped = about["tokens"], about["skipped"]
            self.documents += len(piece)
            self._pieces.append(piece.replace_schema_metadata(None))
        self._file.truncate(self._tokens * ID.itemsize)
        self._file.seek(self._tokens * ID.itemsize)
        for path in self._place.glob("*.parquet"):
            if int(path.stem) >= len(self._pieces):
                path.unlink()

    def _read_piece(self) -> pa.Table | None:
        """The next piece, if it and its ids are as they were written."""
        try:
            piece = read_table(self._place / f"{len(self._pieces)}.parquet")
            about = table_metadata(piece)
            sealed, digest = about.pop("digest"), self._digest.copy()
            wanted = about["tokens"] * ID.itemsize
            while at := min(READ_BYTES, wanted - self._file.tell()):
                if not (block := self._file.read(at)):
                    return None
                digest.update(block)
            if not piece.schema.equals(SCHEMA) or sealed != value_digest([digest.hexdigest(), about]):
                return None
        except (OSError, InputError, pa.ArrowException, ValueError, KeyError, TypeError, AttributeError):
            return None
        self._digest = digest
        return piece


def begun_folder(folder: Path, unit: Unit) -> Path:
    """Where a unit lies until it is finished."""
    return folder / "units" / f".{unit.name}{BEGUN}"


def _described(unit: Unit, part: Part, block: TextBlock, lengths: npt.NDArray[np.int64]) -> pa.Table:
    """The row, id and language of each document in the whole file, and how many tokens it has."""
    rows = block.rows + part.row
    ids = block.ids
    if ids.null_count:
        named = zip(ids.to_pylist(), rows.tolist(), strict=True)
        ids = pa.array([f"{unit.path.name}:{row + 1}" if own is None else own for own, row in named], pa.string())
    columns: list[Any] = [rows, ids.cast(pa.string()), block.langs.cast(pa.string()), lengths]
    return pa.table(dict(zip(SCHEMA.names, columns, strict=True)), schema=SCHEMA)

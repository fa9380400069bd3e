"""Scores of documents as shards that are read again and again: a table in memory, or files of a folder."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pivotkit.artifacts import require_columns, table_metadata
from pivotkit.corpus.reading.units import Unit
from pivotkit.errors import InputError
from pivotkit.progress import track
from pivotkit.selection.choosing.groups import in_order
from pivotkit.selection.scoring.score_folder import HEADER, finished_files

ROWS = 1 << 16  # documents at a time
THREADS = 2
AHEAD = 4  # batches that are read before they are needed
SUFFIXES = (".arrow", ".parquet")

T = TypeVar("T")


class TableShard:
    """Scores in memory, sorted by unit and row."""

    path: Path | None = None

    def __init__(self, table: pa.Table) -> None:
        self._table = in_order(table).combine_chunks()
        self.schema: pa.Schema = table.schema

    def batches(self, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        table = self._table if columns is None else self._table.select(columns)
        yield from table.to_batches(max_chunksize=ROWS)


class FileShard:
    """Scores in an Arrow or Parquet file, which must stay as it is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = Unit.of(path)
        try:
            self.schema: pa.Schema = pq.read_schema(path) if self._is_parquet else self._arrow().schema
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._broken(error) from None

    def batches(self, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        """The rows, at most `ROWS` at a time; CorpusError when the file is not as it was."""
        self._file.check()
        read = self._from_parquet(columns) if self._is_parquet else self._from_arrow(columns)
        while True:
            try:
                batch = next(read, None)
            except (pa.ArrowException, OSError, ValueError) as error:
                self._file.check()
                raise self._broken(error) from None
            if batch is None:
                break
            for begin in range(0, len(batch), ROWS):
                yield batch.slice(begin, ROWS)
        self._file.check()

    @property
    def _is_parquet(self) -> bool:
        return self.path.suffix == ".parquet"

    def _broken(self, error: Exception) -> InputError:
        kind = "a Parquet file" if self._is_parquet else "an Arrow file"
        return InputError(self.path, "", f"must be {kind}, whole; {error}")

    def _arrow(self, fields: list[int] | None = None) -> pa.RecordBatchFileReader:
        """A reader of a file that is read and not mapped: what is mapped would count as this process's memory."""
        options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=fields)
        return pa.ipc.open_file(pa.OSFile(str(self.path)), options=options)

    def _from_arrow(self, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        reader = self._arrow(None if columns is None else [self.schema.get_field_index(name) for name in columns])
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)

    def _from_parquet(self, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(self.path, page_checksum_verification=True) as file:
            yield from file.iter_batches(ROWS, columns=columns, use_threads=False)


class ScoreShards:
    """All scores, in shards that have the same columns.

    Attributes
    ----------
    schema : pyarrow.Schema
    files : dict of str to str
        The name of the file of each unit, where the scores tell it.
    behaviors : set of str
        The digests of the behaviors by which documents were scored, where the scores tell them.
    """

    def __init__(self, shards: Sequence[TableShard | FileShard], columns: Sequence[str]) -> None:
        self._shards = shards
        self.schema = shards[0].schema
        self.files: dict[str, str] = {}
        self.behaviors = set[str]()
        for shard in shards:
            if not shard.schema.equals(self.schema):
                columns_told = ", ".join(f"{field.name} {field.type}" for field in self.schema)
                raise InputError(str(shard.path), "", f"must have the columns {columns_told}; got others")
            told = table_metadata(shard.schema.empty_table())
            self.files |= told.get("files", {})
            if "behaviors" in told:
                self.behaviors.add(told["behaviors"]["digest"])
        require_columns("select", "documents", self.schema.empty_table(), columns)

    @property
    def place(self) -> Path | str:
        """Where the scores lie, for messages."""
        path = self._shards[0].path
        return "documents" if path is None else path if len(self._shards) == 1 else path.parent

    @classmethod
    def of(cls, documents: pa.Table | str | Path, columns: Sequence[str]) -> ScoreShards:
        """The shards of a table with these columns, of a file, or of a folder.

        A folder of `score_documents` must be finished, and has a file for each unit of the corpus. Of any other folder
        all files of `SUFFIXES` are taken.
        """
        if isinstance(documents, pa.Table):
            require_columns("select", "documents", documents, columns)
            return cls([TableShard(documents)], columns)
        path = Path(documents)
        if not path.is_dir():
            files = [path]
        elif (path / HEADER).exists():
            files = finished_files(path)
        else:
            files = [file for file in path.iterdir() if file.suffix in SUFFIXES and not file.name.startswith(".")]
        if not files:
            raise InputError(path, "", f"must hold files of {' or '.join(SUFFIXES)}; found none")
        return cls([FileShard(file) for file in sorted(files)], columns)

    def each(
        self, columns: Sequence[str] | None, function: Callable[[pa.RecordBatch], T], told: str
    ) -> Iterator[tuple[Path | None, T]]:
        """``function`` of each batch, called in threads; results come in order, with the path of their file."""
        with ThreadPoolExecutor(THREADS) as pool:
            waiting: deque[tuple[Path | None, Future[T]]] = deque()
            try:
                for shard in track(self._shards, told):
                    for batch in shard.batches(columns):
                        waiting.append((shard.path, pool.submit(function, batch)))
                        if len(waiting) > AHEAD:
                            path, result = waiting.popleft()
                            yield path, result.result()
                while waiting:
                    path, result = waiting.popleft()
                    yield path, result.result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def runs(texts: pa.Array) -> list[tuple[str, int, int]]:
    """Stretches [begin, end) of equal texts.

    >>> runs(pa.array(["a", "a", "b"]))
    [('a', 0, 2), ('b', 2, 3)]
    """
    encoded = pc.run_end_encode(texts, run_end_type=pa.int64())
    ends: list[Any] = encoded.run_ends.to_pylist()
    return list(zip(encoded.values.to_pylist(), [0, *ends[:-1]] if ends else [], ends, strict=True))

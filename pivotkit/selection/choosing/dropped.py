"""Documents that are never taken, by their unit and row."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pivotkit.arguments import check_kind, check_path
from pivotkit.artifacts import require_columns
from pivotkit.errors import InputError
from pivotkit.selection.choosing.groups import plain_text
from pivotkit.selection.choosing.score_shards import runs

COLUMNS = ["unit", "row"]


class Dropped:
    """The rows of each unit that are never taken: 8 bytes for each in memory."""

    def __init__(self, rows: dict[str, NDArray[np.int64]]) -> None:
        self._rows = rows

    @classmethod
    def of(cls, drop: pa.Table | str | PathLike[str] | None) -> Dropped:
        check_kind("select", "drop", drop, pa.Table | str | PathLike, "a pyarrow.Table or a path", none=True)
        if drop is None:
            return cls({})
        if isinstance(drop, pa.Table):
            tables = [drop]
        else:
            check_path("select", "drop", drop)
            tables = [_read(path) for path in _files(Path(drop))]
        found: dict[str, list[NDArray[np.int64]]] = {}
        for table in tables:
            require_columns("select", "drop", table, COLUMNS)
            _collect(table.select(COLUMNS).combine_chunks(), found)
        return cls({unit: np.unique(np.concatenate(rows)) for unit, rows in found.items()})

    def __bool__(self) -> bool:
        return bool(self._rows)

    def mask(self, batch: pa.RecordBatch) -> NDArray[np.bool_]:
        """Which documents of the batch are dropped."""
        rows = np.asarray(batch["row"].fill_null(-1).to_numpy(zero_copy_only=False))
        mask = np.zeros(len(batch), np.bool_)
        for unit, begin, end in runs(plain_text(batch["unit"])):
            if unit in self._rows:
                listed, mine = self._rows[unit], rows[begin:end]
                places = np.minimum(np.searchsorted(listed, mine), len(listed) - 1)
                mask[begin:end] = listed[places] == mine
        return mask

    def check(self, found: dict[str, int]) -> None:
        """Refuse documents that the scores do not have; ``found`` counts those of each unit that they have."""
        listed = {unit: len(rows) for unit, rows in self._rows.items()}
        absent = {unit: count - found.get(unit, 0) for unit, count in listed.items() if count > found.get(unit, 0)}
        if absent:
            first, told = min(absent), f"{sum(absent.values())} of {sum(listed.values())}"
            raise ValueError(
                f"select: drop must hold documents of the scores; got {told} that are not, in unit {first}"
            )


def _files(path: Path) -> list[Path]:
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise InputError(path, "", "must hold at least one .parquet file; found none")
    return files


def _read(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            known = [name for name in COLUMNS if name in file.schema_arrow.names]
            return file.read(columns=known)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(path, "", f"must be a Parquet file, whole; {error}") from None


def _collect(table: pa.Table, found: dict[str, list[NDArray[np.int64]]]) -> None:
    nulls = table["unit"].null_count + table["row"].null_count
    if nulls:
        raise ValueError(f"select: drop must have a unit and a row in every row; got {nulls} nulls")
    rows = np.asarray(table["row"].to_numpy(), np.int64)
    units = plain_text(table["unit"].combine_chunks()).dictionary_encode() if len(table) else None
    if units is None:
        return
    codes = np.asarray(units.indices)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(units.dictionary)))
    for unit, part in zip(units.dictionary.to_pylist(), np.split(rows[order], ends[:-1]), strict=True):
        found.setdefault(unit, []).append(part)

"""Scores of documents, and the files that they may lie in."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def made_scores(documents: Sequence[Any]) -> pa.Table:
    """Documents of (unit, tokens, score, language, translation pairs, id), in an order that no file may have.

    What else their rows have follows from these numbers.
    """
    mixed = [(document[5] * 7 + document[1] * 3 + place) % 12 for place, document in enumerate(documents)]
    pivots = [min(number, document[1]) for number, document in zip(mixed, documents, strict=True)]
    return pa.table(
        {
            "unit": pa.array([f"u{document[0]}" for document in documents], pa.string()),
            "row": pa.array(range(len(documents))[::-1], pa.int64()),
            "id": pa.array([f"d{document[5]}" for document in documents], pa.string()),
            "tokens": pa.array([document[1] for document in documents], pa.int32()),
            "score": pa.array([document[2] for document in documents], pa.float64()),
            "lang": pa.array([document[3] for document in documents], pa.string()),
            "translation_pairs": pa.array([document[4] for document in documents], pa.int32()),
            "pivots": pa.array(pivots, pa.int32()),
            "distinct": pa.array([number // 3 for number in pivots], pa.int32()),
            "weighted": pa.array([number % 5 / 7 for number in mixed], pa.float64()),
            "pair": pa.array([[None, "a-b", "b-c", "c-a"][number % 4] for number in mixed], pa.string()),
            "source": pa.array([f"s{number % 3}" for number in mixed], pa.string()),
            "behavior_pivots": pa.array([number // 2 for number in pivots], pa.int32()),
            "behavior_pairs": pa.array([number % 3 for number in mixed], pa.int32()),
        }
    )


def write_shards(
    scores: pa.Table, folder: Path, cuts: Collection[int] = (), parquet: bool = False, batch: int = 3
) -> Path:
    """Each unit in one file, its rows in order; units whose numbers are in ``cuts`` begin a file."""
    folder.mkdir()
    units = sorted(set(scores["unit"].to_pylist()), reverse=True)
    groups: list[list[str]] = [[]]
    for number, unit in enumerate(units):
        if number in cuts:
            groups.append([])
        groups[-1].append(unit)
    for number, group in enumerate(group for group in groups if group):
        tables = [scores.filter(pc.equal(scores["unit"], unit)).sort_by("row") for unit in group]
        table = pa.concat_tables(tables).combine_chunks()
        if parquet:
            pq.write_table(table, folder / f"{number}.parquet", row_group_size=batch)
        else:
            with pa.ipc.new_file(folder / f"{number}.arrow", table.schema) as writer:
                writer.write_table(table, max_chunksize=batch)
    return folder

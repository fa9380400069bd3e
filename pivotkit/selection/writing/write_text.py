"""Writes the texts of selected documents as JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import zstandard

from pivotkit.artifacts import atomic_path, file_digest, with_metadata, write_json
from pivotkit.corpus.reading.documents import Corpus, Unit, read_documents, work_units
from pivotkit.progress import track
from pivotkit.selection.choosing.selection_folder import RowWriter, Selection
from pivotkit.selection.writing.wanted import WantedRows, check_ids, corpus_entries, used_units

LEVEL = 6  # compression level of zstd


def write_texts(selection: Selection, corpus: Corpus, out: Path, on_error: str) -> dict[str, Any]:
    """`write_selection` for text."""
    used = used_units(selection, work_units(corpus))
    (out / "manifest.json").unlink(missing_ok=True)
    schema = with_metadata(
        selection.schema.append(pa.field("file", pa.string())).empty_table(), selection.summary
    ).schema
    lines = 0
    with (
        atomic_path(out / "selected.jsonl.zst") as path,
        path.open("wb") as file,
        zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).stream_writer(file, closefd=False) as stream,
        RowWriter(out / "provenance.parquet", schema) as provenance,
    ):
        for unit in track(used, "Writing documents"):
            for rows, texts in _documents(unit, WantedRows(selection, unit), on_error):
                for text in texts:
                    stream.write(text)
                names = pa.repeat(pa.scalar(unit.path.name, pa.string()), len(rows))
                provenance.add(rows.append_column("file", names))
                lines += len(rows)
    manifest = {
        **selection.summary,
        "corpus": corpus_entries(selection, used),
        "selected": {
            "lines": lines,
            "bytes": (out / "selected.jsonl.zst").stat().st_size,
            "sha256": file_digest(out / "selected.jsonl.zst"),
        },
    }
    write_json(manifest, out / "manifest.json")
    return manifest


def _documents(unit: Unit, wanted: WantedRows, on_error: str) -> Iterator[tuple[pa.Table, list[bytes]]]:
    """The wanted rows of a unit, some at a time, and the line of each."""
    for batch in read_documents(unit, on_error):
        if not wanted.left:
            return
        if not batch.rows:
            continue
        rows = wanted.below(batch.rows[-1] + 1)
        places = np.searchsorted(batch.rows, rows["row"].to_numpy())
        for row, place, identity in zip(rows["row"].to_pylist(), places.tolist(), rows["id"].to_pylist(), strict=True):
            if batch.rows[place] != row:
                wanted.refuse(row, identity)
        check_ids(unit, rows, pa.array([batch.ids[place] for place in places], pa.string()))
        yield (
            rows,
            [
                orjson.dumps(
                    {"id": batch.ids[place], "text": batch.texts[place], "lang": batch.langs[place]},
                    option=orjson.OPT_APPEND_NEWLINE,
                )
                for place in places.tolist()
            ],
        )
    for row in wanted.below(np.iinfo(np.int64).max).to_pylist():
        wanted.refuse(row["row"], row["id"])

"""Documents drawn from each arm of a run: its selection, and the controls beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pivotkit.artifacts import read_table, require_columns
from pivotkit.corpus.reading.documents import read_documents
from pivotkit.errors import InputError

DRAWN = 10
PROVENANCE = "provenance.parquet"
LINES = ("*.jsonl.zst", "*.jsonl.gz", "*.jsonl")


@dataclass(frozen=True)
class Arm:
    """An arm of a run.

    Attributes
    ----------
    name : str
        Of its folder.
    documents, tokens : int
        How many it holds.
    rows : list of dict
        The drawn documents: their rows in the provenance, and ``text``, None where the arm has no texts.
    """

    name: str
    documents: int
    tokens: int
    rows: list[dict[str, Any]]


def drawn_arms(run: Path, seed: int = 0) -> list[Arm]:
    """`DRAWN` documents of each arm of a run folder, drawn by ``seed``, in the order of the arm.

    Cost: reads the provenance of each arm, and its texts up to the last one that is drawn.
    """
    folders = [run / "selection", *sorted((run / "controls").glob("*"))]
    return [_drawn(folder, seed) for folder in folders if (folder / PROVENANCE).is_file()]


def _drawn(folder: Path, seed: int) -> Arm:
    table = read_table(folder / PROVENANCE)
    try:
        require_columns("report", "provenance", table, ("id", "tokens"))
    except (TypeError, ValueError) as error:
        raise InputError(folder / PROVENANCE, "", str(error).partition(": ")[2]) from None
    count = min(DRAWN, table.num_rows)
    places = np.sort(np.random.default_rng(seed).choice(max(table.num_rows, 1), count, replace=False))
    kept = [name for name in ("id", "lang", "tokens", "pivots", "score") if name in table.column_names]
    rows = table.select(kept).take(pa.array(places, pa.int64())).to_pylist()
    texts = _texts(folder, {row["id"] for row in rows})
    whole = table["tokens"].to_pylist()
    taken = table["take"].to_pylist() if "take" in table.column_names else whole  # null: all of a document
    tokens = sum(all_of if some is None else some for some, all_of in zip(taken, whole, strict=True))
    return Arm(folder.name, table.num_rows, tokens, [row | {"text": texts.get(row["id"])} for row in rows])


def _texts(folder: Path, wanted: set[str]) -> dict[str, str]:
    """The texts of the documents with these ids."""
    found: dict[str, str] = {}
    for file in sorted(path for pattern in LINES for path in folder.glob(pattern)):
        for batch in read_documents(file):
            for identity, text in zip(batch.ids, batch.texts, strict=True):
                if identity in wanted:
                    found.setdefault(identity, text)
            if len(found) == len(wanted):
                return found
    return found

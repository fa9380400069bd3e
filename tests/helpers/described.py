"""Documents with all that controls know of them, and the controls in plain Python."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from pivotkit.selection.choosing.ranking import text_hashes

SETS = ["a", "b", "p", "a+b", "a+p", "b+p", "a+b+p", "und"]
DOCUMENT = st.fixed_dictionaries(
    {
        "tokens": st.integers(0, 40),
        "score": st.integers(0, 4).map(lambda tenth: tenth / 10),
        "lang": st.sampled_from(["a", "b"]),
        "languages": st.sampled_from(SETS),
        "translation_pairs": st.integers(0, 2),
        "other_score": st.integers(0, 3).map(lambda tenth: tenth / 10),
        "control_score": st.integers(0, 3).map(lambda tenth: tenth / 10),
    }
)
TYPES = {"tokens": pa.int32(), "translation_pairs": pa.int32(), "score": pa.float64(), "other_score": pa.float64(),
         "control_score": pa.float64()}  # fmt: skip


def make_described(rows: list[dict[str, Any]], units: int = 3) -> pa.Table:
    """A few documents to a unit, each with an id; a document has a pivot for each tenth of its score."""
    names = list(rows[0])
    columns = {
        "unit": pa.array([f"u{place % units}" for place in range(len(rows))], pa.string()),
        "row": pa.array([place // units for place in range(len(rows))], pa.int64()),
        "id": pa.array([f"d{place}" for place in range(len(rows))], pa.string()),
        **{name: pa.array([row[name] for row in rows], TYPES.get(name, pa.string())) for name in names},
        "pivots": pa.array([round(row["tokens"] * row["score"]) for row in rows], pa.int32()),
    }
    return pa.table(columns)


def taken(rows: list[dict[str, Any]], budget: int, merit: Any, seed: int) -> list[str]:
    """The ids of documents taken one after the other while there are fewer tokens than the budget."""
    hashes = dict(zip([row["id"] for row in rows], text_hashes(pa.array([row["id"] for row in rows], pa.string()), seed)
                      .tolist(), strict=True))  # fmt: skip
    found, tokens = [], 0
    for row in sorted(rows, key=lambda row: (-merit(row), hashes[row["id"]], row["unit"], row["row"])):
        if tokens < budget and row["tokens"]:
            found.append(row["id"])
            tokens += row["tokens"]
    return found

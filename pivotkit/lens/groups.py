"""The groups of items that contrasts compare: those of a pair that are read behind the same pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pivotkit.lens.model.encoding import Encoded, encode_items

LEAST_ITEMS = 10  # of a group; the mean of fewer tells more of them than of the group


def grouped(rows: Sequence[dict[str, Any]], texts: Sequence[Encoded], tokenizer: Any) -> list[dict[str, Any]]:
    """The rows of the items' table, each with the ``group`` of items that its contrast compares it with.

    The items of a pair are read behind different pieces where their targets begin with a bare space, a part of a
    character or a single letter. A mean over several such positions would tell positions from each other, not items.
    """
    names = [" ".join(map(str, tokenizer.convert_ids_to_tokens(list(text.appended)))) for text in texts]
    return [
        {**row, "group": f"{row['pair']} after {name}" if name else row["pair"]}
        for row, name in zip(rows, names, strict=True)
    ]


def contrast_groups(items: pa.Table, tokenizer: Any) -> dict[str, Any]:
    """Which groups of the items have a contrast, and why others have none (`about`)."""
    rows = items.select(["pair"]).to_pylist()
    texts = encode_items(tokenizer, items)
    return about(Counter(row["group"] for row in grouped(rows, texts, tokenizer)))


def about(counts: Mapping[str, int]) -> dict[str, Any]:
    """Which groups of so many items have a contrast, and why others have none, for the metadata of a trace."""
    few = {group: counts[group] for group in sorted(counts) if counts[group] < LEAST_ITEMS}
    return {
        "least_items": LEAST_ITEMS,
        "items": {group: counts[group] for group in sorted(counts) if group not in few},
        "absent": {group: f"{count} item{'s' * (count != 1)}; a contrast needs at least {LEAST_ITEMS}"
                   for group, count in few.items()},
    }  # fmt: skip

"""A million rows in shards of any order are selected from as a sort in memory does it, by every rule."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from selection_oracle import sorted_in_memory

from pivotkit.selection import select

SIZE, SHARDS = 1_000_000, 5


@pytest.fixture(scope="module")
def scores():
    random = np.random.default_rng(1)
    tokens = random.integers(0, 900, SIZE).astype(np.int32)
    pivots = random.binomial(tokens, random.beta(2, 6, SIZE)).astype(np.int32)
    langs = np.array(["en", "fr", "zh", "en+fr", "xx"], object)[random.choice(5, SIZE, p=[0.5, 0.3, 0.1, 0.09, 0.01])]
    pairs = np.array(["a-b", "b-a", "c-a", None], object)[random.choice(4, SIZE, p=[0.6, 0.2, 0.05, 0.15])]
    shuffled = random.permutation(SIZE)
    return pa.table({
        "unit": [f"u{place % SHARDS}" for place in shuffled.tolist()], "row": shuffled // SHARDS,
        "id": [f"d{place % 900_000}" for place in range(SIZE)], "tokens": tokens, "pivots": pivots,
        "score": pivots / np.maximum(tokens, 1), "lang": langs.tolist(), "distinct": np.minimum(pivots, 40).astype(np.int32),
        "weighted": random.random(SIZE), "pair": pairs.tolist(), "translation_pairs": (pivots % 7).astype(np.int32),
        "source": pa.array(random.zipf(1.5, SIZE) % 300, pa.int64()),
        "behavior_pivots": pivots // 3, "behavior_pairs": (pivots % 5).astype(np.int32),
    })  # fmt: skip


@pytest.fixture(scope="module")
def shards(scores, tmp_path_factory):
    """Files whose names are in another order than their units."""
    folder = tmp_path_factory.mktemp("shards")
    for number in range(SHARDS):
        part = scores.filter(pa.compute.equal(scores["unit"], f"u{number}")).sort_by("row")
        pq.write_table(part, folder / f"{(number * 3) % SHARDS}.parquet")
    return folder


BEHAVIORS = pa.table(
    {"item": [0, 1, 2], "rule": ["strict"] * 3, "behavior": ["pivot", "co-occurrence", "other"]}
)  # fmt: skip
QUOTAS = {"en": 0.4, "fr": 0.3, "zh": 0.2, "en+fr": 0.1}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rule": "share", "quotas": QUOTAS, "exact": True},
        {"rule": "distinct", "quotas": QUOTAS},
        {"rule": "weighted", "temperature": 0.5, "quotas": QUOTAS, "seed": 7},
        {"rule": "pairs", "quotas": QUOTAS, "exact": True},
        {"rule": "parallel", "cap_by": "source", "cap": 0.02},
        {"rule": "random", "quotas": QUOTAS, "cap_by": "source", "cap": 0.05},
        {"rule": "pairs", "temperature": 2.0, "cap_by": "source", "cap": 600_000, "quotas": QUOTAS, "exact": True},
        {"quotas": {"256-511": 0.5, "512-1023": 0.5}, "quota_by": "length", "temperature": 0.1},
        {"rule": "behavior", "quotas": QUOTAS, "cap_by": "source", "cap": 0.05, "exact": True},
    ],
    ids=lambda options: " ".join(f"{name}={value}" for name, value in options.items() if name != "quotas") or "score",
)
def test_rows_are_those_of_a_sort_in_memory(scores, shards, options):
    options = options | ({"behaviors": BEHAVIORS} if options.get("rule") == "behavior" else {})
    expected = sorted_in_memory(scores, budget_tokens=20_000_000, **options)
    assert len(expected) > 30_000
    assert select(shards, budget_tokens=20_000_000, **options).equals(expected)

"""Counts by stratum, against dense products."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pivotkit import _C
from pivotkit.corpus.tables.context_table import NAMES, open_context

STRATA, WORDS = 3, 4


def packed(rows: list[list[int]], dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return np.array([item for row in rows for item in row], dtype), offsets


def dense(paths: list[str], rows: int, columns: int, folder: Path) -> Any:
    folder.mkdir()
    indptr, tokens, df = (str(folder / f"{name}.npy") for name in NAMES)
    _C.merge_to_csr(paths, rows, columns, 1 << 20, 1, tokens, df, indptr)
    return open_context(folder, rows, columns).toarray()


DOCUMENTS = st.lists(
    st.tuples(
        st.integers(0, STRATA - 1),
        st.lists(st.integers(0, WORDS - 1), unique=True),
        st.lists(st.integers(0, 9), max_size=30),
    ),
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(DOCUMENTS, min_size=1, max_size=3), wide=st.booleans(), vocabulary=st.sampled_from([0, 10]))
def test_tables_are_products_and_add_up(tmp_path_factory: Any, parts: list[Any], wide: bool, vocabulary: int) -> None:
    """In one counter, and in files of parts of the documents."""
    folder = tmp_path_factory.mktemp("strata")
    counter = _C.StratumCounter(STRATA, vocabulary, WORDS)
    paths = []
    expected = np.zeros((STRATA, vocabulary + WORDS + 1), np.int64)
    for number, documents in enumerate(parts):
        words, offsets = packed([words for _, words, _ in documents], np.int32)
        tokens, ends = packed([ids for _, _, ids in documents], np.uint32 if wide else np.uint16)
        strata = np.array([stratum for stratum, _, _ in documents], np.int32)
        counter.add(offsets, words, strata, *((tokens, ends) if vocabulary else ()))
        assert counter.documents == len(documents)
        for stratum, some, ids in documents:
            if vocabulary:
                expected[stratum, np.unique(ids).astype(int)] += 1
            expected[stratum, vocabulary + np.array(some, int)] += 1
            expected[stratum, -1] += 1
        paths.append(str(folder / f"{number}.strata"))
        counter.write(paths[-1])
        counter.clear()
    assert np.array_equal(dense(paths, STRATA, vocabulary + WORDS + 1, folder / "sum"), expected)
    assert counter.background.tolist() == expected[:, :vocabulary].sum(0).tolist()


def test_more_documents_of_a_stratum_than_16_bits_can_number(tmp_path: Path) -> None:
    documents, vocabulary = 150_000, 20
    tokens = (np.arange(2 * documents) % 7).astype(np.uint16)
    strata = (np.arange(documents) % 50 == 0).astype(np.int32)
    counter = _C.StratumCounter(2, vocabulary, 1)
    offsets = np.zeros(documents + 1, np.int64)
    counter.add(offsets, np.zeros(0, np.int32), strata, tokens, np.arange(0, 2 * documents + 1, 2))
    counter.write(str(tmp_path / "a.strata"))
    table = dense([str(tmp_path / "a.strata")], 2, vocabulary + 2, tmp_path / "sum")
    bags = np.zeros((documents, vocabulary), np.int64)
    bags[np.repeat(np.arange(documents), 2), tokens] = 1
    assert np.array_equal(table[:, :vocabulary], np.eye(2, dtype=int)[strata].T @ bags)
    assert table[:, -1].tolist() == [147_000, 3000]
    assert counter.background.tolist() == bags.sum(0).tolist()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"strata": [0, 3]}, IndexError, r"strata must be in \[0, 3\); got 3"),
        ({"strata": [0, -1]}, IndexError, r"strata must be in \[0, 3\); got -1"),
        ({"strata": [0]}, ValueError, "strata must be of 2 documents; got 1"),
        ({"words": [0, 4]}, IndexError, r"words must be word ids in \[0, 4\); got 4"),
        ({"tokens": [1, 10]}, IndexError, r"tokens must be ids in \[0, 10\); got 10 at 1"),
        ({"ends": [0, 1, 2, 2]}, ValueError, "token_offsets must describe 2 documents; got 3"),
    ],
)
def test_bad_documents_are_refused_and_nothing_is_counted(change: dict[str, Any], error: Any, message: str) -> None:
    counter = _C.StratumCounter(STRATA, 10, WORDS)
    good = {"offsets": [0, 1, 2], "words": [0, 1], "strata": [0, 1], "tokens": [1, 2], "ends": [0, 1, 2]}
    given_ = {**good, **change}
    kinds = {"offsets": np.int64, "words": np.int32, "strata": np.int32, "tokens": np.uint16, "ends": np.int64}
    arrays = [np.array(given_[name], kind) for name, kind in kinds.items()]
    with pytest.raises(error, match=message):
        counter.add(*arrays)
    assert counter.documents == 0
    assert not counter.background.any()


def test_sizes_that_no_table_can_have_are_refused() -> None:
    for sizes in ((0, 1, 1), (1 << 31, 1, 1)):
        with pytest.raises(ValueError, match=r"StratumCounter: strata must be in \[1, 2\^31\)"):
            _C.StratumCounter(*sizes)
    with pytest.raises(ValueError, match=r"vocabulary and words must be below 2\^31 together"):
        _C.StratumCounter(1, 1 << 30, 1 << 30)

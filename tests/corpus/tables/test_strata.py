"""Counts by stratum: which stratum a document is in, and what is expected of independent words and tokens."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from pivotkit.corpus.tables.strata import StratumCounts, StratumList

EDGES = st.lists(st.integers(1, 30), unique=True, max_size=4).map(sorted).map(tuple)


@given(
    edges=st.lists(EDGES, min_size=1, max_size=4),
    documents=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), max_size=20),
)
def test_a_document_is_in_the_class_of_its_set_and_length(edges: Any, documents: Any) -> None:
    sets = [(f"l{number}",) for number in range(6)]
    strata = StratumList((*sets[: len(edges) - 1], None), tuple(edges))
    ids, lengths = (np.array([document[side] for document in documents], np.int64) for side in (0, 1))
    own = [min(some, len(edges) - 1) for some in ids]
    before = np.cumsum([0, *(len(some) + 1 for some in edges)])
    expected = [before[place] + bisect_right(edges[place], size) for place, size in zip(own, lengths, strict=True)]
    assert strata.assign(strata.places(sets), ids, lengths).tolist() == expected
    assert strata.of_sets()[expected].tolist() == own
    assert StratumList.from_json(strata.to_json()) == strata


def counts_of(sizes: list[list[int]], df: Any = None, background: Any = None) -> StratumCounts:
    """Counts whose sets have strata of these many documents."""
    total = [size for some in sizes for size in some]
    df = np.zeros((len(total), 1), np.int64) if df is None else df
    background = np.zeros((len(total), 0), np.int64) if background is None else background
    listed = StratumList(
        (*((f"l{number}",) for number in range(len(sizes) - 1)), None),
        tuple(tuple(range(1, len(some))) for some in sizes),
    )
    return StratumCounts(listed, background.shape[1], csr_array(np.column_stack([background, df, total])))


def test_strata_are_joined_until_a_cell_has_150_documents() -> None:
    assert counts_of([[150, 200], [100, 60, 149], [150, 100, 60], [10, 20], [1]]).groups().tolist() == [
        *(1, 2),
        *(3, 3, 3),  # a rest joins the cell before it
        *(4, 5, 5),
        *(0, 0),  # rare sets together, the others among them
        0,
    ]


@given(st.lists(st.lists(st.integers(0, 400), min_size=1, max_size=6), min_size=1, max_size=4))
def test_cells_are_of_one_set_and_large_enough(sizes: list[list[int]]) -> None:
    counts = counts_of(sizes)
    groups, sets, documents = counts.groups(), counts.strata.of_sets(), counts.documents
    for group in set(groups.tolist()) - {0}:
        assert len(set(sets[groups == group])) == 1
        assert documents[groups == group].sum() >= 150
    for place, some in enumerate(sizes):
        assert ((groups[sets == place] == 0) == (sum(some) < 150)).all()


def test_what_is_expected_is_summed_over_cells() -> None:
    rng = np.random.default_rng(0)
    sizes = [[200, 180, 90], [300, 20], [40]]
    total = np.concatenate(sizes)
    df, background = rng.integers(0, total[:, None], (6, 3)), rng.integers(0, total[:, None], (6, 5))
    counts = counts_of(sizes, df, background)
    cells = [[0], [1, 2], [3, 4], [5]]
    for word in range(3):
        expected = sum(df[cell, word].sum() * background[cell].sum(0) / total[cell].sum() for cell in cells)
        assert np.allclose(counts.expected(word), expected, rtol=1e-13)
    assert np.array_equal(counts.df, df.T)
    assert np.array_equal(counts.background.toarray(), background)
    assert repr(counts) == "StratumCounts(6 strata, 3 words)"
    both = counts + counts
    assert np.array_equal(both.documents, 2 * total)

"""The native scorer of documents and the search for a token, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivotkit import _C

V = 7
parts = st.lists(st.lists(st.lists(st.integers(0, V - 1), max_size=9), min_size=1, max_size=4), min_size=1, max_size=3)
dtypes = st.sampled_from([np.uint16, np.uint32])


def add(scorer, texts, dtype, continued=False):
    ids = np.array([token for text in texts for token in text], dtype)
    return scorer.add(ids, np.cumsum([0, *map(len, texts)]), continued)


@given(parts, st.sets(st.integers(0, V - 1)), dtypes, st.sampled_from(["share", "weighted", "distinct"]))
def test_documents_cut_anywhere_score_as_whole_ones(calls, pivots, dtype, kind):
    is_pivot = np.isin(np.arange(V), list(pivots))
    weights = np.linspace(-1, 1e6, V, dtype=np.float32)
    arguments = (is_pivot, weights if kind == "weighted" else None, kind == "distinct")
    cut, whole = _C.DocumentScorer(*arguments), _C.DocumentScorer(*arguments)
    last: list[int] = []  # of the document that goes on
    for number, texts in enumerate(calls):
        found = add(cut, texts, dtype, continued=number > 0)
        joined = [last + texts[0], *texts[1:]]
        for one, other in zip(found, add(whole, joined, dtype), strict=True):
            assert one.tolist() == other.tolist()
        tokens, members, scores = (array.tolist() for array in found)
        assert tokens == [len(text) for text in joined]
        assert members == [sum(token in pivots for token in text) for text in joined]
        for text, score in zip(joined, scores, strict=True):
            if kind == "distinct":
                assert score == len(set(text) & pivots)
            elif kind == "share":
                assert score == (sum(token in pivots for token in text) / len(text) if text else 0)
            else:
                assert score == pytest.approx(np.mean(weights[text], dtype=np.float64) if text else 0)
        last = joined[-1]


@given(st.lists(st.integers(0, 3), max_size=300), dtypes)
def test_places_of_a_token(ids, dtype):
    array = np.array(ids, dtype)
    assert _C.token_places(array, 3).tolist() == [place for place, token in enumerate(ids) if token == 3]
    sparse = np.zeros(1000, dtype)
    sparse[ids[:5]] = 9
    assert _C.token_places(sparse, 9).tolist() == sorted(set(ids[:5]))


def test_an_id_outside_the_vocabulary_is_refused_before_anything_is_added():
    scorer = _C.DocumentScorer(np.array([True, True]))
    with pytest.raises(IndexError, match=r"DocumentScorer: tokens must be ids in \[0, 2\); got 2 at 1"):
        add(scorer, [[1, 2]], np.uint32)
    assert add(scorer, [[1]], np.uint32)[0].tolist() == [1]


def test_weights_must_fit():
    with pytest.raises(ValueError, match="DocumentScorer: weights must be 2, one a token; got 1"):
        _C.DocumentScorer(np.array([True, True]), np.ones(1, np.float32))
    with pytest.raises(ValueError, match="DocumentScorer: weights must be left out for distinct pivots; got some"):
        _C.DocumentScorer(np.array([True]), np.ones(1, np.float32), True)


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="add: tokens must be uint16 or uint32; got int64"):
        _C.DocumentScorer(np.array([True])).add(np.zeros(1, np.int64), np.array([0, 1]))
    with pytest.raises(TypeError):
        _C.token_places(np.zeros(1, np.int64), 0)

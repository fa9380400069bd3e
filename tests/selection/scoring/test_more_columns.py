"""Columns beside the score are the scores of their names, and the pairs of the pivots by a count of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_formats import made_store

from pivotkit.selection import score_documents

V = 10
documents = st.lists(st.lists(st.integers(0, V - 1), max_size=9), max_size=8)
pivot_rows = st.lists(
    st.tuples(st.integers(0, V - 1), st.sampled_from(["a-b", "b-a", "c-b"]), st.floats(0, 9)), min_size=1, max_size=12
)


def pivot_table(rows):
    tokens, pairs, scores = zip(*rows, strict=True)
    return pa.table({"token_id": pa.array(tokens, pa.int32()), "pair": pairs, "score": scores})


def pair_of(row, document, rows):
    """The pair with most of the document's pivots, by the definition, and how many pairs have any."""
    served = {token: {pair for one, pair, _ in rows if one == token} for token, _, _ in rows}
    names = sorted({pair for _, pair, _ in rows})
    counts = [sum(1 / len(served[token]) for token in document if pair in served.get(token, ())) for pair in names]
    most = [name for name, count in zip(names, counts, strict=True) if count and abs(count - max(counts)) < 1e-6]
    return most, sum(count > 0 for count in counts), most[row % len(most)] if most else None


@given(documents, pivot_rows, st.integers(1, 20))
def test_columns_are_the_scores_of_their_names(tmp_path_factory, texts, rows, block):
    store, pivots = made_store(tmp_path_factory.mktemp("store"), texts, vocab_size=V), pivot_table(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pivotkit.selection.scoring.scored_rows.BLOCK_TOKENS", block)
        found = score_documents(store, pivots, columns=["pairs", "weighted", "distinct"])
    assert found.column_names[7:] == ["distinct", "weighted", "pair", "pairs"]
    assert found.select(range(7)).equals(score_documents(store, pivots))
    for name in ("distinct", "weighted"):
        alone = score_documents(store, pivots, score=name)["score"].to_pylist()
        assert found[name].to_pylist() == alone
    totals = np.bincount([token for token, _, _ in rows], weights=[score for _, _, score in rows], minlength=V)
    assert found["weighted"].equals(score_documents(store, pivots, score="weighted", weights=totals)["score"])


@given(documents, pivot_rows)
def test_a_document_is_of_the_pair_that_has_most_of_its_pivots(tmp_path_factory, texts, rows):
    store = made_store(tmp_path_factory.mktemp("store"), texts, vocab_size=V)
    found = score_documents(store, pivot_table(rows), columns=["pairs"]).to_pylist()
    for row, text in zip(found, texts, strict=True):
        most, covered, chosen = pair_of(row["row"], text, rows)
        assert row["pairs"] == covered
        assert row["pair"] in most if most else row["pair"] is None
        if len({pair for _, pair, _ in rows}) < 3:  # 1 and 1/2 are exact: where pairs are equal, sums are too
            assert row["pair"] == chosen


class TestRefusals:
    @pytest.fixture
    def store(self, tmp_path):
        return made_store(tmp_path, [[1], [2]], vocab_size=V)

    def test_another_column_is_named(self, store):
        with pytest.raises(ValueError, match="score_documents: columns must be one of distinct, weighted, pairs, file"):
            score_documents(store, [1], columns=["language"])

    def test_weights_need_a_table_with_scores(self, store):
        with pytest.raises(ValueError, match="score_documents: weights must be given for the score 'weighted'"):
            score_documents(store, [1], columns=["weighted"])

    @pytest.mark.parametrize("pivots", [[1], pa.table({"token_id": [1]})])
    def test_pairs_need_a_table_that_tells_them(self, store, pivots):
        with pytest.raises(
            ValueError, match="columns must not hold 'pairs' unless pivots is a table with the column pair"
        ):
            score_documents(store, pivots, columns=["pairs"])

    def test_each_pivot_must_have_a_pair(self, store):
        pivots = pa.table({"token_id": [1, 2], "pair": ["a-b", None]})
        with pytest.raises(ValueError, match="score_documents: pivots must have a pair in every row; got 1 nulls"):
            score_documents(store, pivots, columns=["pairs"])

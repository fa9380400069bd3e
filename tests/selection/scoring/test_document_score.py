"""Kinds of score against NumPy, over documents cut into blocks anywhere."""

from __future__ import annotations

import re

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_formats import made_store, write_olmo

from pivotkit.artifacts import table_metadata
from pivotkit.corpus import TokenFiles
from pivotkit.errors import CorpusError
from pivotkit.selection.scoring.scores import score_documents

V = 12
documents = st.lists(st.lists(st.integers(0, V - 1), max_size=9), max_size=8)
pivot_sets = st.sets(st.integers(0, V - 1), min_size=1)
weight_lists = st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=V, max_size=V)


def weight_sum(weights):
    """Four sums in float64, each in order, of every fourth weight."""
    sums = [np.cumsum(np.append(np.zeros(1), weights[lane::4]))[-1] for lane in range(4)]
    return (sums[0] + sums[1]) + (sums[2] + sums[3])


def scored(factory, texts, pivots, block, **options):
    store = made_store(factory.mktemp("store"), texts, vocab_size=V)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pivotkit.selection.scoring.scored_rows.BLOCK_TOKENS", block)
        return score_documents(store, sorted(pivots), **options)


@given(documents, pivot_sets, weight_lists, st.integers(1, 20))
def test_weighted_scores_are_four_sums_in_the_order_of_the_tokens(tmp_path_factory, texts, pivots, weights, block):
    kept = np.array([weight if token in pivots else 0 for token, weight in enumerate(weights)], np.float32)
    found = scored(tmp_path_factory, texts, pivots, block, score="weighted", weights=np.array(weights))
    expected = [weight_sum(kept[text]) / len(text) if text else 0.0 for text in texts]
    assert found["score"].to_pylist() == expected
    assert found["pivots"].to_pylist() == [sum(token in pivots for token in text) for text in texts]
    by_token = scored(tmp_path_factory, texts, pivots, block, score="weighted", weights=dict(enumerate(weights)))
    assert by_token.drop_columns("unit").equals(found.drop_columns("unit"))


@given(documents, pivot_sets, st.integers(1, 20))
def test_distinct_pivots_are_counted_once_a_document(tmp_path_factory, texts, pivots, block):
    found = scored(tmp_path_factory, texts, pivots, block, score="distinct")
    assert found["score"].to_pylist() == [len(set(text) & pivots) for text in texts]
    assert found["pivots"].to_pylist() == [sum(token in pivots for token in text) for text in texts]


@given(documents, pivot_sets)
def test_weights_of_one_give_the_share(tmp_path_factory, texts, pivots):
    weighted = scored(tmp_path_factory, texts, pivots, 5, score="weighted", weights=np.ones(V))
    share = scored(tmp_path_factory, texts, pivots, 7)
    assert weighted.drop_columns("unit").equals(share.drop_columns("unit"))


def test_metadata_name_every_score_but_the_share(tmp_path_factory):
    assert table_metadata(scored(tmp_path_factory, [[1]], {1}, 9, score="distinct"))["score"] == "distinct"
    assert "score" not in table_metadata(scored(tmp_path_factory, [[1]], {1}, 9))


def test_many_documents_in_many_files_are_rows_in_order(tmp_path):
    random = np.random.default_rng(0)
    for name in "ab":
        np.append(random.integers(0, 50, 400_000), 0).astype("<u4").tofile(tmp_path / f"{name}.npy")
    files = TokenFiles(tmp_path, vocab_size=50, eos=0, dtype="uint32")
    weights = random.random(50, np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pivotkit.selection.scoring.scored_rows.BLOCK_TOKENS", 3001)
        patch.setattr("pivotkit.selection.scoring.scored_rows.ROWS", 100)
        tables = {
            "share": score_documents(files, range(9)),
            "weighted": score_documents(files, range(50), score="weighted", weights=weights),
            "distinct": score_documents(files, range(9), score="distinct"),
        }
    at = 0
    for unit in files.work_units():
        ids = np.fromfile(unit.path, "<u4")
        ends = np.flatnonzero(ids == 0) + 1
        for row, text in enumerate(np.split(ids, ends[:-1])):
            want = {
                "share": (text < 9).mean(),
                "weighted": weight_sum(weights[text]) / len(text),
                "distinct": len(np.unique(text[text < 9])),
            }
            if row % 97 == 0:
                for name, table in tables.items():
                    one = table.slice(at + row, 1).to_pylist()[0]
                    assert (one["unit"], one["row"], one["tokens"]) == (unit.name, row, len(text))
                    assert one["score"] == want[name]
        at += len(ends)
    assert {len(table) for table in tables.values()} == {at}


@numba.njit
def heaviest(ids, weights):
    return weights[ids].max()


class TestFunctions:
    @given(documents, pivot_sets, weight_lists, st.integers(1, 20))
    def test_a_function_sees_whole_documents_and_the_weights_of_pivots(self, tmp_path_factory, texts, pivots, w, block):
        kept = [np.float32(weight) if token in pivots else 0.0 for token, weight in enumerate(w)]
        found = scored(tmp_path_factory, texts, pivots, block, score=heaviest, weights=w)
        assert found["score"].to_pylist() == [max(kept[token] for token in text) if text else 0.0 for text in texts]
        assert found["pivots"].to_pylist() == [sum(token in pivots for token in text) for text in texts]

    def test_plain_python_is_compiled_and_gets_ones(self, tmp_path):
        write_olmo(tmp_path / "a.npy", [[1, 2, 2, 0], [3, 0]])
        files = TokenFiles(tmp_path / "a.npy", vocab_size=4, eos=0)

        def longest_run(ids, weights):
            longest = run = 0
            for token in ids:
                run = run + 1 if weights[token] else 0
                longest = max(longest, run)
            return longest

        found = score_documents(files, [1, 2], score=longest_run)
        assert found["score"].to_pylist() == [3.0, 0.0]
        assert table_metadata(found)["score"] == "function"

    @pytest.mark.parametrize(
        ("function", "told"),
        [
            (lambda ids: 1.0, "Cannot bind"), (lambda ids, weights: None, "No implementation"),
            (lambda ids, weights: 1j, "No implementation"), (lambda ids, weights: re.sub, "Unknown attribute"),
            (numba.njit("float64(float64)")(lambda ids: 1.0), ""),
        ],
    )  # fmt: skip
    def test_a_function_of_another_signature_is_refused_before_anything_is_read(self, tmp_path, function, told):
        write_olmo(tmp_path / "a.npy", [[1, 9, 0]])  # would be a CorpusError
        files = TokenFiles(tmp_path / "a.npy", vocab_size=4, eos=0)
        rule = "score_documents: score must be a function of (ids, weights) to a float that Numba compiles; got another"
        with pytest.raises(TypeError, match=re.escape(rule) + f": {told}"):
            score_documents(files, [1], score=function, out=tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_a_function_that_raises_is_named(self, tmp_path):
        write_olmo(tmp_path / "a.npy", [[1, 0]])
        files = TokenFiles(tmp_path / "a.npy", vocab_size=4, eos=0)
        with pytest.raises(ValueError, match=r"score_documents: score must not raise; got ZeroDivisionError"):
            score_documents(files, [1], score=lambda ids, weights: 1 / (ids[0] - 1))


class TestRefusals:
    @pytest.fixture
    def files(self, tmp_path):
        return TokenFiles(write_olmo(tmp_path / "a.npy", [[1, 0]]), vocab_size=4, eos=0)

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"score": "mean"}, "ValueError: score must be one of share, weighted, distinct, or a function; got 'mean'"),
            ({"score": 3}, "TypeError: score must be one of share, weighted, distinct, or a function; got int"),
            ({"score": max}, "TypeError: score must be one of share, weighted, distinct, or a function; got "
                             "builtin_function_or_method"),
            ({"weights": [1.0] * 4}, "ValueError: weights must be None for the score 'share'; got list"),
            ({"score": "distinct", "weights": {1: 1}},
             "ValueError: weights must be None for the score 'distinct'; got dict"),
            ({"score": "weighted"}, "ValueError: weights must be given for the score 'weighted'; got None"),
        ],
    )  # fmt: skip
    def test_a_score_and_its_weights_go_together(self, files, options, error):
        assert refusal(files, **options) == error

    @pytest.mark.parametrize(
        ("weights", "error"),
        [
            (np.ones(3), "ValueError: weights must have the shape (4,); got (3,)"),
            (np.ones((2, 2)), "ValueError: weights must have the shape (4,); got (2, 2)"),
            (np.array([0, 1, np.nan, 0]), "ValueError: weights must be finite in float32; got nan for token 2"),
            ([0, -np.inf, 0, 0], "ValueError: weights must be finite in float32; got -inf for token 1"),
            ({1: 1e39}, "ValueError: weights must be finite in float32; got 1e+39 for token 1"),
            ({1: np.nan}, "ValueError: weights must be finite in float32; got nan for token 1"),
            ({2: 1.0}, "ValueError: weights must hold every pivot; got none for 1"),
            ({1: "a"}, "TypeError: weights must be numbers by token; got str"),
            ({1: True}, "TypeError: weights must be numbers by token; got bool"),
            ({1: 10**400}, "ValueError: weights must be finite in float32; got inf for token 1"),
            (np.ones(4, bool), "TypeError: weights must be a mapping of token to weight, or numbers; got bool (4,)"),
            (np.array(["a"] * 4), "TypeError: weights must be a mapping of token to weight, or numbers; got <U1 (4,)"),
            ("abcd", "TypeError: weights must be a mapping of token to weight, or numbers; got str"),
            (3.0, "TypeError: weights must be a mapping of token to weight, or numbers; got float"),
            ([[1], [1, 2]], "TypeError: weights must be a mapping of token to weight, or numbers; got list"),
        ],
    )  # fmt: skip
    def test_weights_must_be_finite_numbers_one_a_token(self, files, weights, error):
        assert refusal(files, score="weighted", weights=weights) == error

    def test_a_document_has_at_most_as_many_tokens_as_a_column_can_say(self, files, monkeypatch):
        monkeypatch.setattr("pivotkit.selection.scoring.scored_rows.MOST_TOKENS", 1)
        with pytest.raises(CorpusError, match=r"a\.npy: must hold documents of at most 1 tokens; got a longer one"):
            score_documents(files, [1])


def refusal(files, **options):
    with pytest.raises((TypeError, ValueError)) as caught:
        score_documents(files, [1], **options)
    return f"{type(caught.value).__name__}: {str(caught.value).removeprefix('score_documents: ')}"

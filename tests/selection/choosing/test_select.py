"""Selections keep their budget and quotas, whatever the order of the documents."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivotkit.artifacts import table_metadata
from pivotkit.selection import select
from pivotkit.selection.choosing.rules import RULES

DOCUMENT = st.tuples(st.integers(0, 30), st.integers(0, 3), st.sampled_from(["en", "fr", "zh"]), st.integers(0, 2))
documents_lists = st.lists(DOCUMENT, min_size=1, max_size=40)


def make_documents(rows):
    """Documents of (tokens, score in tenths, language, translation pairs), a few to a unit."""
    return pa.table(
        {
            "unit": pa.array([f"u{place % 3}" for place in range(len(rows))], pa.string()),
            "row": pa.array([place // 3 for place in range(len(rows))], pa.int64()),
            "id": pa.array([f"d{place}" for place in range(len(rows))], pa.string()),
            "tokens": pa.array([row[0] for row in rows], pa.int32()),
            "score": pa.array([row[1] / 10 for row in rows], pa.float64()),
            "lang": pa.array([row[2] for row in rows], pa.string()),
            "translation_pairs": pa.array([row[3] for row in rows], pa.int32()),
            "pivots": pa.array([row[1] for row in rows], pa.int32()),
            "distinct": pa.array([row[3] for row in rows], pa.int32()),
            "weighted": pa.array([row[1] / 7 for row in rows], pa.float64()),
            "pair": pa.array([[None, "a-b", "b-a"][row[3]] for row in rows], pa.string()),
            "behavior_pivots": pa.array([row[1] for row in rows], pa.int32()),
            "behavior_pairs": pa.array([row[3] for row in rows], pa.int32()),
        }
    )


BEHAVIORS = pa.table({"item": [0, 1, 2], "rule": ["strict"] * 3, "behavior": ["pivot", "co-occurrence", "other"]})


def quotas_of(documents):
    languages = sorted(set(documents["lang"].to_pylist()))
    return {language: 1 / len(languages) for language in languages}


@given(
    documents_lists, st.integers(1, 200),
    st.sampled_from([rule for rule in RULES if rule not in ("pairs", "behavior")]), st.booleans(),
)  # fmt: skip
def test_no_language_exceeds_its_budget_by_more_than_one_document(rows, budget, rule, quotas):
    documents = make_documents(rows)
    shares = quotas_of(documents) if quotas else None
    chosen = select(documents, budget_tokens=budget, quotas=shares, rule=rule, allow_shortfall=True)
    summary = table_metadata(chosen)
    assert sum(quota["budget"] for quota in summary["quotas"].values()) == budget
    assert summary["tokens"] == sum(chosen["tokens"].to_pylist())
    for name, quota in summary["quotas"].items():
        mine = [row for row in chosen.to_pylist() if not quotas or row["lang"] == name]
        assert quota["tokens"] == sum(row["tokens"] for row in mine)
        assert quota["documents"] == len(mine)
        if mine:
            assert quota["tokens"] - quota["budget"] < max(row["tokens"] for row in mine)
        assert quota["missing"] == max(quota["budget"] - quota["tokens"], 0)
        if quota["missing"]:
            assert quota["tokens"] == quota["available"]


@given(documents_lists, st.integers(1, 200), st.sampled_from(RULES), st.randoms(use_true_random=False))
def test_the_order_of_the_documents_does_not_matter(rows, budget, rule, random):
    documents = make_documents(rows)
    shuffled = documents.take(random.sample(range(len(rows)), len(rows)))
    arguments = {"budget_tokens": budget, "rule": rule, "allow_shortfall": True}
    arguments["behaviors"] = BEHAVIORS if rule == "behavior" else None
    assert select(shuffled, **arguments).equals(select(documents, **arguments))


@given(documents_lists, st.integers(1, 100), st.sampled_from(["score", "parallel"]))
def test_nothing_better_is_left_behind(rows, budget, rule):
    documents = make_documents(rows)
    chosen = select(documents, budget_tokens=budget, rule=rule, allow_shortfall=True)
    column = {"score": "score", "parallel": "translation_pairs"}[rule]
    ids = set(chosen["id"].to_pylist())
    left = [row[column] for row in documents.to_pylist() if row["id"] not in ids and row["tokens"]]
    assert not left or not ids or max(left) <= min(chosen[column].to_pylist())


@given(documents_lists, st.integers(1, 60))
def test_a_larger_budget_keeps_what_a_smaller_one_took(rows, budget):
    documents = make_documents(rows)
    small = select(documents, budget_tokens=budget, allow_shortfall=True)["id"].to_pylist()
    large = select(documents, budget_tokens=2 * budget, allow_shortfall=True)["id"].to_pylist()
    assert set(small) <= set(large)


def test_without_quotas_the_majority_language_is_chosen_and_with_quotas_it_is_not():
    rows = [(10, 3, "en", 0)] * 30 + [(10, 1, "fr", 0)] * 20 + [(10, 0, "fr", 0)] * 20
    documents = make_documents(rows)
    alone = table_metadata(select(documents, budget_tokens=200))
    assert alone["tokens_by_language"] == {"en": 200}
    quotas = {"en": 0.25, "fr": 0.75}
    chosen = select(documents, budget_tokens=200, quotas=quotas)
    assert table_metadata(chosen)["tokens_by_language"] == {"en": 50, "fr": 150}
    french = [row["score"] for row in chosen.to_pylist() if row["lang"] == "fr"]
    assert set(french) == {0.1}


def test_random_under_quotas_matches_the_languages_and_not_the_scores():
    rows = [(10, place % 4, language, 0) for language in ("en", "fr") for place in range(400)]
    documents, quotas = make_documents(rows), {"en": 0.5, "fr": 0.5}
    random = select(documents, budget_tokens=2000, quotas=quotas, rule="random")
    pivot = select(documents, budget_tokens=2000, quotas=quotas)
    assert table_metadata(random)["tokens_by_language"] == table_metadata(pivot)["tokens_by_language"]
    assert np.mean(pivot["score"].to_numpy()) == pytest.approx(0.3)
    assert np.mean(random["score"].to_numpy()) == pytest.approx(0.15, abs=0.03)


def test_parallel_ranks_by_translation_pairs():
    documents = make_documents([(10, 3, "en", 0), (10, 0, "en", 2), (10, 0, "en", 1)])
    assert select(documents, budget_tokens=20, rule="parallel")["id"].to_pylist() == ["d1", "d2"]


def test_ties_are_broken_by_id_and_seed_alone():
    documents = make_documents([(1, 1, "en", 0)] * 300)
    chosen = [set(select(documents, budget_tokens=100, seed=seed)["id"].to_pylist()) for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    elsewhere = documents.set_column(0, "unit", pa.array([f"other {unit}" for unit in documents["unit"].to_pylist()]))
    assert set(select(elsewhere, budget_tokens=100)["id"].to_pylist()) == chosen[0]


def test_the_hash_is_the_same_on_every_machine():
    documents = make_documents([(1, 1, "en", 0)] * 12)
    assert select(documents, budget_tokens=4, seed=7)["id"].to_pylist() == ["d0", "d10", "d2", "d5"]


def test_documents_without_tokens_are_never_taken():
    documents = make_documents([(0, 3, "en", 0), (5, 1, "en", 0)])
    assert select(documents, budget_tokens=5)["id"].to_pylist() == ["d1"]


def test_documents_with_the_same_id_are_different_documents():
    documents = make_documents([(5, 1, "en", 0)] * 4).set_column(2, "id", pa.array(["same"] * 4))
    assert select(documents, budget_tokens=20).num_rows == 4


def test_a_shortfall_is_an_error_unless_allowed():
    documents, quotas = make_documents([(10, 1, "en", 0)] * 5 + [(10, 1, "fr", 0)]), {"en": 0.5, "fr": 0.5}
    with pytest.raises(ValueError, match=r"select: documents must fill every quota, .*; missing are 15 tokens of fr"):
        select(documents, budget_tokens=50, quotas=quotas)
    chosen = select(documents, budget_tokens=50, quotas=quotas, allow_shortfall=True)
    french = table_metadata(chosen)["quotas"]["fr"]
    assert french == {"budget": 25, "tokens": 10, "documents": 1, "available": 10, "missing": 15}


class TestRefusals:
    documents = make_documents([(10, 1, "en", 0), (10, 1, "fr", 0)])

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                {"quotas": {"en": 0.5, "xx": 0.5}},
                r"quotas must name values of lang that documents have \(en: 1, fr: 1\); got xx",
            ),
            ({"quotas": {"en": 0.5, "fr": 0.4}}, "quotas must be positive shares that sum to 1"),
            ({"quotas": {"en": 1.5, "fr": -0.5}}, "quotas must be positive shares that sum to 1"),
            ({"quotas": {}}, "quotas must be positive shares that sum to 1"),
            (
                {"rule": "best"},
                "rule must be one of score, share, distinct, weighted, pairs, parallel, random, behavior, or a function; got 'best'",
            ),
            ({"budget_tokens": 0}, "budget_tokens must be at least 1; got 0"),
        ],
    )
    def test_arguments_out_of_range_are_named(self, arguments, message):
        with pytest.raises(ValueError, match=f"select: {message}"):
            select(self.documents, **{"budget_tokens": 10, **arguments})

    def test_parallel_needs_translation_pairs(self):
        with pytest.raises(ValueError, match=r"select: documents must have the columns .*; got none named translation"):
            select(self.documents.drop_columns(["translation_pairs"]), budget_tokens=10, rule="parallel")

    def test_a_document_twice_is_refused(self):
        twice = pa.concat_tables([self.documents, self.documents.slice(1)])
        with pytest.raises(
            ValueError, match="select: documents must hold each document once; got row 0 of unit u1 twice"
        ):
            select(twice, budget_tokens=10)

    def test_scores_must_be_numbers(self):
        broken = self.documents.set_column(4, "score", pa.array([0.1, float("nan")]))
        with pytest.raises(ValueError, match="select: documents must have a score each; got NaN"):
            select(broken, budget_tokens=10)

    @pytest.mark.parametrize("name", ["id", "lang"])
    def test_documents_of_token_files_need_ids_and_for_quotas_languages(self, name):
        documents = make_documents([(5, 1, "en", 0), (5, 2, "en", 0)])
        place = documents.column_names.index(name)
        documents = documents.set_column(place, name, pa.nulls(2, pa.string()))
        with pytest.raises(ValueError, match=f"select: documents must have {name} in every row; got 2 nulls"):
            select(documents, budget_tokens=5, quotas={"en": 1.0})
        if name == "lang":
            assert table_metadata(select(documents, budget_tokens=5))["tokens_by_language"] == {"und": 5}

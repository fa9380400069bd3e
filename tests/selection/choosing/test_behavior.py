"""What the behavior of items asks for is what they are given: documents rich in their pivots, or with both their words."""

from __future__ import annotations

import pyarrow as pa
import pytest
from score_shards import made_scores, write_shards

from pivotkit.artifacts import table_metadata
from pivotkit.selection import select
from pivotkit.selection.choosing.ranking import seed_of


def shown(*behaviors, rule="strict"):
    """The table of `classify` for items with these behaviors."""
    return pa.table({"item": range(len(behaviors)), "rule": [rule] * len(behaviors), "behavior": behaviors})


def made(pivots, pairs, **columns):
    """Documents of 10 tokens each, half of them en."""
    size = len(pivots)
    table = {
        "unit": ["u"] * size, "row": range(size), "id": [f"d{place}" for place in range(size)],
        "tokens": pa.array([10] * size, pa.int32()), "lang": ["en", "fr"] * (size // 2),
        "behavior_pivots": pa.array(pivots, pa.int32()), "behavior_pairs": pa.array(pairs, pa.int32()),
    }  # fmt: skip
    return pa.table(table | columns)


def taken(documents, behaviors, **options):
    return select(documents, rule="behavior", behaviors=behaviors, **options)


class TestParts:
    scores = made_scores([(place % 3, 1 + place % 9, 0.0, "en", 0, place) for place in range(300)])

    def test_pivot_items_are_given_documents_rich_in_their_pivots(self):
        chosen = taken(self.scores, shown("pivot", "pivot", "excluded"), budget_tokens=100)
        rule = select(
            self.scores, budget_tokens=100, rule=lambda behavior_pivots, tokens: behavior_pivots / tokens
        )  # fmt: skip
        assert chosen.equals(rule)

    def test_co_occurrence_items_are_given_documents_with_both_their_words(self):
        chosen = taken(self.scores, shown("co-occurrence", "excluded"), budget_tokens=100, seed=3)
        seed = seed_of("behavior_pairs", 3)
        rule = select(self.scores, budget_tokens=100, rule=lambda behavior_pairs: behavior_pairs, seed=seed)
        assert chosen.equals(rule)

    @pytest.mark.parametrize("behavior", ["other", "copy", "a behavior to come"])
    def test_items_that_are_not_solved_are_given_half_of_each(self, behavior):
        parts = table_metadata(taken(self.scores, shown(behavior), budget_tokens=101, exact=True))["parts"]
        assert {name: part["tokens"] for name, part in parts.items()} == {"behavior_pivots": 50, "behavior_pairs": 51}

    def test_a_budget_is_parted_by_the_number_of_items(self):
        behaviors = shown("pivot", "pivot", "co-occurrence", "other", "excluded", "excluded")
        summary = table_metadata(taken(self.scores, behaviors, budget_tokens=400, exact=True))
        assert summary["behaviors"] == {"pivot": 2, "co-occurrence": 1, "unsolved": 1, "excluded": 2}
        assert {name: (part["items"], part["tokens"]) for name, part in summary["parts"].items()} == {
            "behavior_pivots": (3, 250),
            "behavior_pairs": (2, 150),
        }
        assert summary["tokens"] == 400
        assert summary["quotas"]["all"]["missing"] == 0

    def test_a_part_that_no_item_asks_for_needs_no_column(self):
        documents = made([1, 2], [0, 0])
        pivots = taken(documents.drop_columns(["behavior_pairs"]), shown("pivot"), budget_tokens=10)
        assert pivots["id"].to_pylist() == ["d1"]
        assert list(table_metadata(pivots)["parts"]) == ["behavior_pivots"]
        with pytest.raises(ValueError, match=r"documents must have the columns .*; got none named behavior_pairs"):
            taken(documents.drop_columns(["behavior_pairs"]), shown("other"), budget_tokens=10)
        with pytest.raises(ValueError, match=r"documents must have the columns .*; got none named behavior_pivots"):
            taken(documents.drop_columns(["behavior_pivots"]), shown("pivot"), budget_tokens=10)

    def test_other_rules_of_behavior_are_not_read(self):
        both = pa.concat_tables([shown("pivot"), shown("co-occurrence", "co-occurrence", rule="paper")])
        assert taken(self.scores, both, budget_tokens=50).equals(taken(self.scores, shown("pivot"), budget_tokens=50))


class TestDocuments:
    def test_a_document_that_has_both_is_taken_once(self):
        documents = made([9, 8, 1, 1], [5, 4, 1, 0])
        chosen = taken(documents, shown("pivot", "co-occurrence"), budget_tokens=20)
        assert chosen["id"].to_pylist() == ["d0", "d1"]
        parts = table_metadata(chosen)["parts"]
        assert parts["behavior_pivots"]["quotas"]["all"]["available"] == 40
        assert parts["behavior_pairs"]["quotas"]["all"]["available"] == 20  # what the first part left

    def test_each_quota_is_parted(self):
        documents = made([9, 9, 1, 0, 0, 0], [1, 1, 0, 0, 3, 3])
        quotas = {"en": 0.5, "fr": 0.5}
        chosen = taken(documents, shown("pivot", "co-occurrence"), budget_tokens=40, quotas=quotas)
        assert chosen["id"].to_pylist() == ["d0", "d1", "d4", "d5"]

    def test_documents_that_have_nothing_of_a_part_are_not_taken_in_it(self):
        documents = made([9, 9, 1, 0, 0, 0], [0, 0, 0, 0, 0, 3])
        options = {"budget_tokens": 60, "quotas": {"en": 0.5, "fr": 0.5}}
        with pytest.raises(ValueError, match="select: documents must fill every quota") as caught:
            taken(documents, shown("pivot", "co-occurrence"), **options)
        assert str(caught.value).partition("missing are ")[2] == (
            "5 tokens of fr in the part by behavior_pivots (it has 10 of 15), "
            "15 tokens of en in the part by behavior_pairs (it has 0 of 15), "
            "5 tokens of fr in the part by behavior_pairs (it has 10 of 15)"
        )
        chosen = taken(documents, shown("pivot", "co-occurrence"), **options, allow_shortfall=True)
        assert chosen["id"].to_pylist() == ["d0", "d1", "d2", "d5"]
        assert {name: quota["missing"] for name, quota in table_metadata(chosen)["quotas"].items()} == {
            "en": 15,
            "fr": 10,
        }

    def test_each_part_has_a_cap_of_its_own(self):
        documents = made([9] * 40, [1] * 40, source=["big"] * 30 + ["small"] * 10)
        chosen = taken(documents, shown("other"), budget_tokens=200, cap_by="source", cap=0.5)
        assert chosen["source"].to_pylist() == ["big"] * 10 + ["small"] * 10
        assert table_metadata(chosen)["capped"] == ["big", "small"]

    def test_a_draw_of_what_is_left_does_not_follow_the_first_draw(self):
        """Where the first part took nearly all the early hashes, the second still draws both halves alike."""
        size = 4000
        documents = made([1 + 9 * (place % 2) for place in range(size)], [1] * size)
        chosen = taken(documents, shown("other"), budget_tokens=20 * size // 4, temperature=1.0)
        first = taken(documents, shown("pivot"), budget_tokens=10 * size // 4, temperature=1.0)
        ids = set(first["id"].to_pylist())
        assert ids <= set(chosen["id"].to_pylist())
        second = [place for place in chosen["row"].to_pylist() if f"d{place}" not in ids]
        left = [place for place in range(size) if f"d{place}" not in ids]
        share, expected = (sum(place % 2 for place in places) / len(places) for places in (second, left))
        assert abs(share - expected) < 4 * (0.25 / len(second)) ** 0.5

    def test_the_scores_must_be_of_the_same_behaviors(self, tmp_path):
        told = {"behaviors": {"digest": "another"}}
        documents = made([1, 2], [1, 1])
        marked = documents.replace_schema_metadata({b"pivotkit": str(told).replace("'", '"').encode()})
        for given in (marked, write_shards(marked, tmp_path / "shards", parquet=True)):
            with pytest.raises(ValueError, match="behaviors must be those by which documents were scored; got others"):
                taken(given, shown("pivot"), budget_tokens=10)


class TestRefusals:
    @pytest.mark.parametrize(("behaviors", "error", "told"), [
        (None, ValueError, "behaviors must be given for 'behavior'; got None"),
        ([1], TypeError, "behaviors must be a pyarrow.Table or None; got list"),
        (shown("excluded", "excluded"), ValueError, "behaviors must hold an item that is not excluded; got 2 that are"),
        (shown("pivot", rule="paper"), ValueError, "behaviors must hold rows of the rule 'strict'; got none in 1"),
        (shown("pivot").slice(1), ValueError, "behaviors must hold rows of the rule 'strict'; got none in 0"),
        (shown("pivot", None), ValueError, "behaviors must have an item and a behavior in every row; got 1 nulls"),
        (pa.concat_tables([shown("pivot")] * 2), ValueError, "behaviors must hold each item once .*; got 1 rows more"),
        (shown("pivot").drop_columns(["rule"]), ValueError, "behaviors must have the columns item, .*; got none named rule"),
        (shown(1), TypeError, "behaviors must have text in the column behavior; got int64"),
    ])  # fmt: skip
    def test_behaviors_that_ask_for_nothing_are_refused(self, behaviors, error, told):
        with pytest.raises(error, match=f"select: {told}"):
            taken(made([1, 2], [1, 1]), behaviors, budget_tokens=10)

    def test_other_rules_take_no_behaviors(self):
        with pytest.raises(ValueError, match="select: behaviors must be None unless rule is 'behavior'; got Table"):
            select(made([1, 2], [1, 1]), budget_tokens=10, rule="random", behaviors=shown("pivot"))

    def test_a_column_must_have_numbers_in_every_row(self):
        with pytest.raises(ValueError, match="must have a behavior_pairs each; got NaN or null for 1 of 2"):
            taken(made([1, 2], [1, None]), shown("other"), budget_tokens=10)
        with pytest.raises(TypeError, match="must have numbers in the column behavior_pairs; got string"):
            taken(made([1, 2], [1, 1], behavior_pairs=["a", "b"]), shown("other"), budget_tokens=10)

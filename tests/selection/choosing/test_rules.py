"""What ranks documents: rules, noise, caps and quotas of any column; what cannot be done is refused with the numbers."""

from __future__ import annotations

import numba
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from score_shards import made_scores, write_shards
from selection_oracle import sorted_in_memory

from pivotkit.artifacts import table_metadata
from pivotkit.errors import InputError
from pivotkit.selection import select


def made(size=200, **columns):
    """Documents of one unit with 10 tokens each, and what else is given."""
    table = {
        "unit": ["u"] * size, "row": range(size), "id": [f"d{place}" for place in range(size)],
        "tokens": pa.array([10] * size, pa.int32()), "score": [1.0] * size, "lang": ["en"] * size,
    }  # fmt: skip
    return pa.table(table | columns)


class TestFunctions:
    scores = made_scores([(place % 3, 1 + place % 9, place % 5 / 10, "en", place % 2, place) for place in range(90)])

    @pytest.mark.parametrize("compiled", [False, True])
    def test_a_function_ranks_by_the_columns_that_it_names(self, compiled):
        def rule(pivots, tokens, weighted):
            return pivots / tokens + 2 * weighted

        values = self.scores["pivots"].to_numpy() / self.scores["tokens"].to_numpy()
        values = values + 2 * self.scores["weighted"].to_numpy()
        ranked = self.scores.set_column(4, "score", pa.array(values))
        expected = sorted_in_memory(ranked, budget_tokens=80)
        chosen = select(self.scores, budget_tokens=80, rule=numba.njit(rule) if compiled else rule)
        assert chosen["id"].equals(expected["id"])
        assert table_metadata(chosen)["rule"] == "function"

    def test_a_function_is_not_asked_about_documents_without_tokens(self):
        scores = made(3, tokens=pa.array([0, 10, 10], pa.int32()))
        assert select(scores, budget_tokens=20, rule=lambda tokens: 1 / tokens)["row"].to_pylist() == [1, 2]

    @pytest.mark.parametrize(("rule", "error", "told"), [
        (lambda pivots, missing: pivots, ValueError, "documents must have the columns .*; got none named missing"),
        (lambda: 1.0, ValueError, "rule must have parameters that are named as columns"),
        (lambda *pivots: 1.0, ValueError, "rule must have parameters that are named as columns"),
        (lambda lang: 1.0, TypeError, "documents must have numbers in the column lang; got string"),
        (lambda pivots: None, TypeError, "rule must be a function of numbers to a number that Numba compiles"),
        (lambda pivots: np.nan, ValueError, "documents must have a number of rule each; got NaN or null for 90 of 90"),
        (3, TypeError, "rule must be one of score, .*, or a function; got int"),
    ])  # fmt: skip
    def test_a_function_that_ranks_nothing_is_refused(self, rule, error, told):
        with pytest.raises(error, match=f"select: {told}"):
            select(self.scores, budget_tokens=80, rule=rule)


class TestTemperature:
    def test_documents_are_drawn_in_proportion_to_their_scores(self):
        """The first draw of each of 3000 quotas: shares against probabilities, within 4 standard errors."""
        groups, probabilities = 3000, np.array([1, 2, 4, 9]) / 16
        names = [f"g{place // 4}" for place in range(4 * groups)]
        scores = made(4 * groups, score=[1.0, 2.0, 4.0, 9.0] * groups, group=names)
        for temperature in (1.0, 2.0):
            wanted = probabilities ** (1 / temperature) / (probabilities ** (1 / temperature)).sum()
            quotas = dict.fromkeys(names, 1 / groups)
            options = {"budget_tokens": 10 * groups, "quotas": quotas, "quota_by": "group", "temperature": temperature}
            first = select(scores, **options)
            assert len(first) == groups
            found = np.bincount(first["row"].to_numpy() % 4, minlength=4) / groups
            assert (abs(found - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / groups)).all()

    def test_much_noise_is_the_random_rule_of_the_seed_and_little_is_none(self):
        scores = made(score=np.arange(1.0, 201.0))
        options = {"budget_tokens": 500, "seed": 3}
        hot, cold = (select(scores, temperature=temperature, **options) for temperature in (1e300, 1e-12))
        assert hot["id"].equals(select(scores, rule="random", **options)["id"])
        assert cold["id"].equals(select(scores, **options)["id"])

    def test_documents_of_score_0_come_last(self):
        scores = made(score=[0.0] * 100 + [1e-300] * 100)
        chosen = select(scores, budget_tokens=1010, temperature=5.0)
        assert chosen["score"].to_pylist().count(0.0) == 1

    def test_what_has_no_logarithm_is_refused(self):
        scores = made(score=[-1.0] * 3 + [1.0] * 197)
        with pytest.raises(
            ValueError, match="documents must have a score of at least 0 with temperature; got 3 of 200 bel"
        ):
            select(scores, budget_tokens=10, temperature=0.5)
        with pytest.raises(ValueError, match="select: temperature must be at least 0; got -1"):
            select(scores, budget_tokens=10, temperature=-1)
        with pytest.raises(
            ValueError, match="select: temperature must be 0 for the rule 'random', which has no scores; got 1"
        ):
            select(scores, budget_tokens=10, temperature=1, rule="random")


class TestPairs:
    def test_no_pair_fills_the_budget(self):
        pairs = ["a-b"] * 150 + ["b-a"] * 40 + ["c-a"] * 5 + [None] * 5
        scores = made(score=np.linspace(1, 0, 200), pair=pairs)
        assert table_metadata(select(scores.drop_columns(["pair"]), budget_tokens=600))["tokens"] == 600
        summary = table_metadata(select(scores, budget_tokens=600, rule="pairs"))
        assert summary["tokens_by_pair"] == {"a-b": 280, "b-a": 280, "c-a": 50}  # of 275, 275 and all 50
        exact = table_metadata(select(scores, budget_tokens=600, rule="pairs", exact=True))
        assert exact["tokens_by_pair"] == {"a-b": 275, "b-a": 275, "c-a": 50}
        with pytest.raises(ValueError, match=r"missing are 50 tokens of all \(it has 1950 of 2000\)"):
            select(scores, budget_tokens=2000, rule="pairs")

    def test_without_pairs_nothing_can_be_taken(self):
        with pytest.raises(ValueError, match=r"missing are 10 tokens of all \(it has 0 of 10\)"):
            select(made(pair=pa.nulls(200, pa.string())), budget_tokens=10, rule="pairs")
        with pytest.raises(ValueError, match=r"documents must have the columns .*; got none named pair"):
            select(made(), budget_tokens=10, rule="pairs")


class TestCaps:
    def test_no_source_has_more_than_its_share(self):
        scores = made(score=np.linspace(1, 0, 200), source=["big"] * 150 + ["small"] * 50)
        summary = table_metadata(select(scores, budget_tokens=600, cap_by="source", cap=0.5))
        chosen = select(scores, budget_tokens=600, cap_by="source", cap=0.5)
        assert chosen["source"].to_pylist() == ["big"] * 30 + ["small"] * 30
        assert summary["capped"] == ["big", "small"]
        assert summary["quotas"]["all"]["available"] == 600
        assert select(scores, budget_tokens=600, cap_by="source", cap=300).equals(chosen)

    def test_a_cap_that_nobody_reaches_changes_nothing(self):
        scores = made(score=np.linspace(1, 0, 200), source=["a", "b"] * 100)
        chosen = select(scores, budget_tokens=100, cap_by="source", cap=1.0)
        assert chosen.equals(select(scores, budget_tokens=100))

    @pytest.mark.parametrize(("options", "error", "told"), [
        ({"cap": 0.5}, ValueError, "cap must be None without cap_by; got 0.5"),
        ({"cap_by": "source"}, ValueError, "cap_by must be None without cap; got 'source'"),
        ({"cap_by": "source", "cap": 0}, ValueError, "cap must be a share above 0, or tokens up to budget_tokens, 600; got 0"),
        ({"cap_by": "source", "cap": 601}, ValueError, "cap must be a share above 0, or tokens up to budget_tokens, 600; got 6"),
        ({"cap_by": "place", "cap": 1}, ValueError, r"cap_by must be .* column of documents \(unit, .*\); got 'place'"),
        ({"cap_by": "score", "cap": 1}, TypeError, "cap_by must name a column of texts or whole numbers; got score, double"),
        ({"cap_by": "source", "cap": 0.1}, ValueError, r"missing are 480 tokens of all \(it has 120 of 600\)"),
    ])  # fmt: skip
    def test_caps_that_cannot_be_kept_are_refused(self, options, error, told):
        scores = made(source=["big"] * 150 + ["small"] * 50)
        with pytest.raises(error, match=told):
            select(scores, budget_tokens=600, **options)

    def test_each_document_must_have_a_source(self):
        scores = made(source=["a"] * 197 + [None] * 3)
        with pytest.raises(ValueError, match="select: documents must have source in every row; got 3 nulls"):
            select(scores, budget_tokens=100, cap_by="source", cap=0.5)


class TestQuotas:
    scores = made(tokens=pa.array([5, 100, 1000, 30] * 50, pa.int32()), lang=["en", "fr+en", "en+fr", "fr"] * 50)

    def test_lengths_are_ranges_with_any_edges(self):
        quotas = {"20-99": 0.25, "100-999": 0.25, "1000-": 0.5}
        chosen = select(self.scores, budget_tokens=4000, quotas=quotas, quota_by="length", exact=True)
        by_length = {tokens: 0 for tokens in (30, 100, 1000)}
        for row in chosen.to_pylist():
            by_length[row["tokens"]] += row["take"]
        assert by_length == {30: 1000, 100: 1000, 1000: 2000}

    def test_sets_of_languages_have_no_order(self):
        chosen = select(self.scores, budget_tokens=60, quotas={"en+fr": 0.5, "en": 0.5}, quota_by="languages")
        assert set(chosen["lang"].to_pylist()) <= {"en", "fr+en", "en+fr"}
        found = table_metadata(chosen)["quotas"]
        assert {name: quota["available"] for name, quota in found.items()} == {"en": 250, "en+fr": 55_000}

    def test_numbers_are_named_as_they_are_written(self):
        scores = made(layer=pa.array([1, 2] * 100, pa.int8()))
        chosen = select(scores, budget_tokens=100, quotas={"1": 0.9, "2": 0.1}, quota_by="layer")
        assert chosen["layer"].to_pylist().count(2) == 1

    @pytest.mark.parametrize(("quota_by", "names", "error", "told"), [
        ("lang", ["en", "de"], ValueError, r"quotas must name values of lang that documents have \(en: 50, en\+fr: 50, .*; got de"),
        ("length", ["0-9", "5-20"], ValueError, "quotas must be ranges that do not overlap; got 0-9 and 5-20"),
        ("length", ["9-5", "10-"], ValueError, "quotas must be ranges of tokens such as 128-255 or 256-; got '9-5'"),
        ("length", ["short", "long"], ValueError, "quotas must be ranges of tokens such as 128-255 or 256-; got 'long'"),
        ("length", ["0-9", "5000-"], ValueError, "quotas must name lengths of the documents; got 5000-"),
        ("place", ["a", "b"], ValueError, "quota_by must be length, languages or a column of documents"),
        ("score", ["1", "2"], TypeError, "quota_by must name a column of texts or whole numbers; got score, double"),
    ])  # fmt: skip
    def test_quotas_of_what_is_not_there_are_refused(self, quota_by, names, error, told):
        with pytest.raises(error, match=told):
            select(self.scores, budget_tokens=60, quotas={name: 0.5 for name in sorted(names)}, quota_by=quota_by)

    def test_a_quota_that_would_get_no_token_is_refused(self):
        told = r"budget_tokens must give each quota a token, or allow_shortfall be set; got 2, of which en would get 0$"
        with pytest.raises(ValueError, match=told):
            select(self.scores, budget_tokens=2, quotas={"en": 0.1, "fr": 0.9})

    def test_what_quotas_go_by_is_said_with_quotas_alone(self):
        with pytest.raises(ValueError, match="select: quota_by must be 'lang' without quotas; got 'length'"):
            select(self.scores, budget_tokens=60, quota_by="length")


class TestExact:
    def test_the_last_document_of_each_quota_is_cut(self):
        scores = made(4, score=[4.0, 3.0, 2.0, 1.0], lang=["en", "en", "fr", "fr"])
        chosen = select(scores, budget_tokens=26, quotas={"en": 0.5, "fr": 0.5}, exact=True)
        with pytest.raises(ValueError, match="select: documents must not have the column take; got a selection whose"):
            select(chosen, budget_tokens=10)
        assert chosen["take"].to_pylist() == [10, 3, 10, 3]
        assert chosen.schema.field("take").type == pa.int32()
        summary = table_metadata(chosen)
        assert summary["tokens"] == sum(summary["tokens_by_language"].values()) == 26
        assert "take" not in select(scores, budget_tokens=26).column_names


class TestDropped:
    def test_files_and_tables_say_the_same(self, tmp_path):
        scores = made_scores([(place % 3, 2, 0.5, "en", 0, place) for place in range(60)])
        gone = scores.slice(0, 20).select(["unit", "row"])
        options = {"budget_tokens": 30, "rule": "random"}
        (tmp_path / "gone").mkdir()
        for number, part in enumerate((gone.slice(0, 7), gone.slice(5))):  # a document twice is dropped once
            pq.write_table(part.append_column("why", [["short"] * len(part)]), tmp_path / "gone" / f"{number}.parquet")
        chosen = select(scores, **options, drop=gone)
        places = [tuple(row.values()) for row in gone.to_pylist()]
        assert chosen.equals(sorted_in_memory(scores, **options, drop=places))
        assert table_metadata(chosen)["dropped"] == {"documents": 20, "tokens": 40}
        shards = write_shards(scores, tmp_path / "shards", cuts={1}, parquet=True)
        assert select(shards, **options, drop=tmp_path / "gone").equals(chosen)

    def test_documents_that_were_not_scored_cannot_be_dropped(self):
        gone = pa.table({"unit": ["u", "u", "v"], "row": [3, 999, 0]})
        with pytest.raises(
            ValueError, match="select: drop must hold documents of the scores; got 2 of 3 that are not, in unit u"
        ):
            select(made(), budget_tokens=10, drop=gone)

    def test_a_table_of_something_else_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="select: drop must have the columns unit, row; got none named row"):
            select(made(), budget_tokens=10, drop=pa.table({"unit": ["u"]}))
        with pytest.raises(ValueError, match="select: drop must have a unit and a row in every row; got 1 nulls"):
            select(made(), budget_tokens=10, drop=pa.table({"unit": ["u"], "row": pa.nulls(1, pa.int64())}))
        (tmp_path / "a.parquet").write_bytes(b"PAR1 no")
        with pytest.raises(InputError, match=r"a\.parquet: must be a Parquet file, whole"):
            select(made(), budget_tokens=10, drop=tmp_path / "a.parquet")
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputError, match=r"must hold at least one \.parquet file; found none"):
            select(made(), budget_tokens=10, drop=tmp_path / "empty")

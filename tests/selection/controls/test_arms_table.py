"""The table of arms says what each consists of and what two share, whatever form they have."""

from __future__ import annotations

import statistics

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pivotkit.artifacts import read_table, write_table
from pivotkit.selection import arms_table, select, selection_controls
from pivotkit.selection.controls import arms_table as module
from tests.helpers.described import DOCUMENT, make_described
from tests.helpers.score_shards import write_shards

documents_lists = st.lists(DOCUMENT, min_size=1, max_size=40)


def several(row):
    return "+" in row["languages"]


def share(rows, test):
    tokens = sum(row["tokens"] for row in rows)
    return sum(row["tokens"] for row in rows if test(row)) / tokens if tokens else None


@given(documents_lists, st.lists(st.sets(st.integers(0, 39)), min_size=1, max_size=4), st.integers(1, 5))
@settings(max_examples=60)
def test_the_table_is_what_plain_sums_say(rows, chosen, batch):
    documents = make_described(rows)
    arms = {}
    for place, some in enumerate(chosen):
        at = sorted(some & set(range(len(rows))))
        arms[f"arm {place}"] = documents.take(pa.array(at, pa.int64()))
    before, module.Selection.batches = module.Selection.batches, in_pieces(batch)
    try:
        table = arms_table(arms)
    finally:
        module.Selection.batches = before
    for found, (name, arm) in zip(table.to_pylist(), arms.items(), strict=True):
        own = arm.to_pylist()
        tokens = sum(row["tokens"] for row in own)
        assert (found["arm"], found["documents"], found["tokens"]) == (name, len(own), tokens)
        lengths = [row["tokens"] for row in own]
        assert found["median_length"] == (statistics.median(lengths) if lengths else None)
        assert found["mean_length"] == pytest.approx(statistics.mean(lengths)) if lengths else True
        pivots = sum(row["pivots"] for row in own)
        assert found["pivot_share"] == (pytest.approx(pivots / tokens) if tokens else None)
        is_told = any(row["languages"] != "und" for row in own)
        assert found["bilingual"] == (share(own, several) if is_told else None)
        assert found["parallel"] == share(own, lambda row: several(row) and row["translation_pairs"] > 0)
        mixed = share(own, lambda row: several(row) and not row["translation_pairs"])
        assert found["code_switched"] == (mixed if is_told else None)
        for tag, part in found["languages"]:
            assert part == share(own, lambda row, tag=tag: row["languages"] == tag)
        for other, part in found["overlap_tokens"]:
            ids = set(arms[other]["id"].to_pylist())
            assert part == share(own, lambda row, ids=ids: row["id"] in ids)
        for other, part in found["overlap_documents"]:
            ids = set(arms[other]["id"].to_pylist())
            assert part == sum(row["id"] in ids for row in own) / len(own)


def in_pieces(size):
    """`Selection.batches` of a table, in pieces of other sizes."""

    def batches(self, unit):
        part = self._table.slice(self._begins[unit], self.units[unit])
        yield from (part.slice(begin, size) for begin in range(0, len(part), size))

    return batches


def test_folders_give_the_same_table_and_it_is_kept_as_parquet(tmp_path):
    rows = [{"tokens": 10 + place % 7, "score": place % 5 / 10, "lang": "ab"[place % 2],
             "languages": ["a+p", "b", "a+b"][place % 3], "translation_pairs": place // 2 % 2,
             "other_score": 0.1, "control_score": 0.2} for place in range(60)]  # fmt: skip
    documents = make_described(rows)
    folder = write_shards(documents, tmp_path / "scores")
    selection = select(documents, budget_tokens=200)
    names = ["random", "bilingual", "anti-pivot", "parallel"]
    tables = arms_table({"selection": selection, **selection_controls(documents, selection, controls=names)})
    chosen = select(folder, budget_tokens=200, out=tmp_path / "selection")
    paths = selection_controls(folder, chosen, controls=names, out=tmp_path / "controls")
    found = arms_table({"selection": chosen, **paths})
    assert found.to_pylist() == tables.to_pylist()
    assert read_table(write_table(found, tmp_path / "arms.parquet")).to_pylist() == found.to_pylist()


def test_what_is_short_or_empty_is_told():
    rows = [{"tokens": 10, "score": 0.1, "lang": "a", "languages": "a", "translation_pairs": 0, "other_score": 0.0,
             "control_score": 0.2}] * 4  # fmt: skip
    documents = make_described(rows)
    selection = select(documents, budget_tokens=20)
    found = selection_controls(documents, selection, allow_shortfall=True)
    table = {row["arm"]: row for row in arms_table({"selection": selection, **found}).to_pylist()}
    assert table["bilingual"]["tokens"] == 0
    assert table["bilingual"]["missing_tokens"] == 20
    assert table["bilingual"]["short"] == "bilingual lacks 20 of 20 tokens (20 of 20 of a)"
    assert table["other-pivots"]["median_length"] is None
    assert table["random"]["missing_tokens"] == 0
    assert table["random"]["short"] == ""


def test_of_a_document_that_is_cut_the_part_that_is_taken_counts():
    whole = pa.table({"unit": ["u"], "row": [0], "id": ["a"], "tokens": [100], "pivots": [80], "lang": ["a"]})
    arms = {
        name: select(whole, budget_tokens=budget, rule="share", exact=True)
        for name, budget in (("cut", 20), ("whole", 100))
    }
    for order in (["cut", "whole"], ["whole", "cut"]):
        table = {row["arm"]: row for row in arms_table({name: arms[name] for name in order}).to_pylist()}
        assert table["cut"]["pivot_share"] == table["whole"]["pivot_share"] == 0.8
        assert table["cut"]["overlap_tokens"] == [("whole", 1.0)]
        assert table["whole"]["overlap_tokens"] == [("cut", 0.2)]


def test_where_no_language_is_known_nothing_is_said_of_several():
    rows = pa.table({"unit": ["u"], "row": [0], "id": ["a"], "tokens": [10], "translation_pairs": [1],
                     "lang": pa.nulls(1, pa.string())})  # fmt: skip
    (found,) = arms_table({"arm": rows}).to_pylist()
    assert (found["bilingual"], found["code_switched"], found["parallel"]) == (None, None, 1.0)


def test_no_arms_and_other_rows_are_refused():
    with pytest.raises(ValueError, match=r"^arms_table: arms must hold at least one selection; got none$"):
        arms_table({})
    with pytest.raises(ValueError, match=r"^arms_table: arms must have the columns .*; got none named tokens, lang$"):
        arms_table({"one": pa.table({"unit": ["u"], "row": [0], "id": ["a"]})})

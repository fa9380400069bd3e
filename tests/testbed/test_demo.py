"""The demo on the trained model: what was planted comes back, exactly where it can and mostly where it was learnt.

The model is trained for some minutes, unless the cache holds it.
"""

from __future__ import annotations

import re

import pytest

from pivotkit.artifacts import read_json, read_table
from pivotkit.testbed.demo import demo


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "run"
    demo(folder)
    return folder


@pytest.fixture(scope="module")
def truth(run):
    return read_json(run / "truth.json")


def test_counts_and_pivots_are_recovered_exactly(truth):
    assert truth["counts"]["checked"] == 96 * 6
    assert truth["counts"]["equal"] == truth["counts"]["checked"]
    assert truth["pivots"] == {"checked": 192, "recovered": 192}


def test_nine_tenths_of_the_held_out_concepts_are_translated(truth):
    assert truth["translated"]["held_out"] == 96
    assert truth["translated"]["correct"] >= 0.9 * 96


def test_nine_tenths_of_the_behaviors_are_as_planted(truth):
    [strict] = [rule for rule in truth["behaviors"] if rule["rule"] == "strict"]
    assert strict["checked"] == 96
    assert strict["agree"] >= 0.9 * 96


def test_co_occurrence_predicts_the_learnt_behavior(run):
    [pooled] = [
        row
        for row in read_json(run / "attribution.json")["auc"]
        if (row["rule"], row["pair"], row["predictor"]) == ("strict", "all", "log_df_both")
    ]
    assert pooled["auc"] > 0.9
    assert pooled["low"] > 0.8


def test_the_source_word_matters_to_the_score(run):
    scores = read_table(run / "scores.parquet")["score"].to_pylist()
    assert sum(score > 0.2 for score in scores) > 0.9 * len(scores)


def test_the_report_sets_planted_beside_recovered(run):
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "576" in page
    assert re.search(r"planted", page, re.IGNORECASE)

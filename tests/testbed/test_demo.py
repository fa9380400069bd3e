"""The demo on the shipped model: what was planted comes back, exactly where it can and mostly where it was learnt."""

from __future__ import annotations

import functools
import re

import pytest

import pivotkit.testbed.commands.demo as demo_module
from pivotkit.artifacts import read_json, read_table
from pivotkit.cli import main
from pivotkit.testbed import WorldConfig
from pivotkit.testbed.experiment.recorded import recorded
from pivotkit.testbed.shipped import SHIPPED


@pytest.fixture(scope="module")
def truth(demo_run):
    return read_json(demo_run / "truth.json")


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


def test_co_occurrence_predicts_the_learnt_behavior(demo_run):
    [pooled] = [
        row
        for row in read_json(demo_run / "attribution.json")["auc"]
        if (row["rule"], row["pair"], row["predictor"]) == ("strict", "all", "log_df_both")
    ]
    assert pooled["auc"] > 0.9
    assert pooled["low"] > 0.8


def test_the_source_word_matters_to_the_score(demo_run):
    scores = read_table(demo_run / "scores.parquet")["score"].to_pylist()
    assert sum(score > 0.2 for score in scores) > 0.9 * len(scores)


def test_the_report_sets_planted_beside_recovered(demo_run):
    page = (demo_run / "report.html").read_text(encoding="utf-8")
    assert "576" in page
    assert re.search(r"planted", page, re.IGNORECASE)


def test_the_report_shows_the_recorded_experiment(demo_run):
    page = (demo_run / "report.html").read_text(encoding="utf-8")
    assert 'id="experiment"' in page
    assert ("These figures were recorded" in page) == bool(recorded()["pools"])
    assert ("No seed is recorded yet" in page) != bool(recorded()["pools"])
    shown = page.count("<td>pivot-aware is above bilingual on pivot concepts</td>")
    assert shown == len(recorded()["pools"])


def test_the_demo_takes_the_shipped_model(demo_run):
    assert read_json(demo_run / "run.json")["config"]["model"] == str(SHIPPED)


@pytest.mark.parametrize(
    ("arguments", "seed", "line"),
    [
        (["--train"], 0, ""),
        (["--seed", "1"], 1, "demo: no model ships for seed 1; training one, or taking it from the cache"),
        (["--seed", "1", "--train"], 1, ""),
    ],
)
def test_another_seed_and_the_option_train_train(tmp_path, capsys, monkeypatch, arguments, seed, line):
    class Trained(ValueError):
        pass

    def refuse(world, *, seed):
        assert world.config.seed == seed
        raise Trained(f"seed {seed}")

    small = functools.partial(WorldConfig, concepts=16, held_out=8, background=20, documents=60, blocks=30)
    monkeypatch.setattr(demo_module, "WorldConfig", small)
    monkeypatch.setattr(demo_module, "train_model", refuse)
    assert main(["demo", "--out", str(tmp_path / "run"), *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == f"pivotkit: seed {seed}"
    assert " ".join(lines[:-1]) == line

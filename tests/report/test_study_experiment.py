"""The experiment's section: its figures as they were summed up, and refusals of others."""

from __future__ import annotations

import copy

import pytest
from made_experiment import made_figures

from pivotkit.artifacts import write_json
from pivotkit.errors import InputError
from pivotkit.report import write_report
from pivotkit.report.study_sections import experiment


@pytest.fixture(scope="module")
def figures():
    return made_figures()


@pytest.fixture(scope="module")
def view(figures):
    return experiment({"experiment": figures})


def test_a_run_without_the_experiment_has_no_section():
    assert experiment({"experiment": None}) is None


def test_every_pool_shows_its_statements_with_their_verdicts(figures, view):
    for pool, shown in zip(figures["pools"].values(), view["pools"], strict=True):
        assert [row["text"] for row in shown["statements"]] == [row["text"] for row in pool["statements"]]
        for row, said in zip(shown["statements"], pool["statements"], strict=True):
            assert row["difference"].startswith(f"{said['value']:+.2f} [")
            assert row["verdict"].startswith("holds") == (said["verdict"] == "holds")


def test_the_arms_stand_in_the_order_of_the_experiment(figures, view):
    for pool, shown in zip(figures["pools"].values(), view["pools"], strict=True):
        assert [row["arm"] for row in shown["arms"]] == pool["order"]
        assert shown["arms"][0]["facts"] == ["–"] * 3  # nothing was selected before


def test_the_grid_has_a_figure_of_the_gain_for_each_kind_and_a_row_for_each_share(figures, view):
    assert view["grid"]["budgets"] == [1000, 2000]
    assert [panel["title"] for panel in view["grid"]["panels"]] == [
        "pivot concepts, gain over bilingual", "direct concepts, gain over bilingual"
    ]  # fmt: skip
    for panel, kind in zip(view["grid"]["panels"], ("pivot", "direct"), strict=True):
        drawn = panel["figure"]
        for cell in figures["grid"]:
            gain = cell[kind]["gain"]
            assert f"{cell['share']:.0%}, {cell['tokens']:,} tokens: {gain['value']:+.2f} [" in drawn
    assert [(row["share"], len(row["cells"])) for row in view["grid"]["rows"]] == [(0.1, 2), (0.5, 2)]


def test_an_experiment_without_a_grid_or_a_seed_shows_what_there_is(figures):
    assert experiment({"experiment": figures | {"grid": []}})["grid"] is None
    assert experiment({"experiment": figures | {"grid": [], "pools": {}}})["pools"] == []


def test_a_value_that_is_not_known_is_a_dash(figures):
    changed = copy.deepcopy(figures)
    pool = next(iter(changed["pools"].values()))
    pool["causal"]["before"]["effect"] = {"value": None, "low": None, "high": None}
    assert experiment({"experiment": changed})["pools"][0]["causal"][0]["effect"] == "–"


@pytest.mark.parametrize("missing", ["pools", "grid", "made"])
def test_figures_of_another_form_are_refused(missing, figures):
    changed = {name: value for name, value in figures.items() if name != missing}
    with pytest.raises(InputError, match=r"experiment\.json.*must be as `pivotkit experiment` writes it"):
        experiment({"experiment": changed})


@pytest.mark.parametrize(
    ("told", "empty", "said", "unsaid"),
    [
        ({}, False, "2026-11-30, a machine.", "These figures were recorded"),
        ({"recorded": True}, False, "These figures were recorded; <code>pivotkit demo --full</code>", "No seed is"),
        ({}, True, "No seed is trained yet.", "2026-11-30"),
        ({"recorded": True}, True, "No seed is recorded yet; <code>pivotkit demo --full</code>", "were recorded"),
    ],
)
def test_the_page_says_whether_figures_were_recorded_trained_or_neither(told, empty, said, unsaid, figures, tmp_path):
    found = figures | {"made": figures["made"] | told} | ({"pools": {}, "grid": []} if empty else {})
    write_json(found, tmp_path / "experiment.json")
    section = write_report(tmp_path).read_text("utf-8").partition('<section id="experiment">')[2]
    assert said in section.partition("</section>")[0]
    assert unsaid not in section.partition("</section>")[0]

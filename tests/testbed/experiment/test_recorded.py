"""The recorded figures are whole, and agree with their own statements."""

from __future__ import annotations

import pytest
from experiment_tables import PAGE, tables, written
from made_experiment import made_figures

from pivotkit.artifacts import read_json
from pivotkit.testbed.experiment.arms import ARMS, BEFORE
from pivotkit.testbed.experiment.recorded import RECORDED, recorded
from pivotkit.testbed.experiment.setting import POOLS, SEEDS
from pivotkit.testbed.experiment.statements import LEAST_LOSS, STATEMENTS


@pytest.fixture(scope="module")
def figures():
    return recorded()


def test_made_up_figures_make_tables_of_every_pool_and_of_the_grid():
    page = tables(made_figures())
    assert page.count("| pivot-aware is above bilingual on pivot concepts |") == len(POOLS)
    assert "| 10% | " in page


def test_they_say_how_they_were_made(figures):
    assert {"command", "date", "machine", "torch"} <= set(figures["made"])
    assert figures["made"]["recorded"] is True
    assert RECORDED.stat().st_size < 200_000


@pytest.fixture(params=POOLS)
def found(request, figures):
    """The figures of each pool."""
    if request.param not in figures["pools"]:
        pytest.skip(f"no seed of the pool {request.param!r} is recorded")
    return figures["pools"][request.param] | {"name": request.param}


def test_a_pool_has_every_arm_and_only_seeds_of_its_own(found):
    assert list(found["arms"]) == sorted([BEFORE, *ARMS])
    assert set(found["seeds"]) <= set(SEEDS[found["name"]])
    assert len(found["steps"]) == 6


def test_a_difference_is_that_of_the_two_arms_it_names(found):
    for said, row in zip(STATEMENTS, found["statements"], strict=True):
        assert (row["key"], row["first"], row["second"], row["measure"]) == (
            said.key,
            said.first,
            said.second,
            said.measure,
        )
        arms = [found["arms"][arm] for arm in (said.first, said.second)]
        if said.measure == "loss":
            means = [sum(arm["loss"].values()) / 3 for arm in arms]
        else:
            means = [arm[said.measure]["value"] for arm in arms]
        assert row["value"] == pytest.approx(means[0] - means[1], abs=2e-4)
        assert row["low"] <= row["value"] <= row["high"]


def test_a_verdict_follows_from_its_interval(found):
    for row in found["statements"]:
        if row["measure"] == "loss":
            expected = "holds" if row["high"] < LEAST_LOSS else "fails" if row["low"] > LEAST_LOSS else "open"
        else:
            expected = "holds" if row["low"] > 0 else "fails" if row["high"] < 0 else "open"
        assert row["verdict"] == expected


def test_curves_begin_at_the_base_and_end_at_the_arm(found):
    for kind, curves in found["curves"].items():
        for arm, curve in curves.items():
            assert curve[0] == found["arms"][BEFORE][kind]["value"]
            assert curve[-1] == found["arms"][arm][kind]["value"]


def test_the_page_shows_the_recorded_figures(figures):
    page = PAGE.read_text("utf-8")
    assert written(page, figures) == page


def test_no_words_of_the_world_are_in_the_file():
    assert set(read_json(RECORDED)) == {"pools", "grid", "cpu_seconds", "made"}

"""The recorded figures are whole, and agree with their own statements."""

from __future__ import annotations

import pytest
from experiment_tables import PAGE, written

from pivotkit.artifacts import read_json
from pivotkit.testbed.experiment.arms import ARMS, BEFORE
from pivotkit.testbed.experiment.recorded import RECORDED, recorded
from pivotkit.testbed.experiment.setting import POOLS, SEEDS
from pivotkit.testbed.experiment.statements import LEAST_LOSS, STATEMENTS


@pytest.fixture(scope="module")
def figures():
    return recorded()


def test_they_say_how_they_were_made(figures):
    assert {"command", "date", "machine", "torch"} <= set(figures["made"])
    assert figures["made"]["recorded"] is True
    assert RECORDED.stat().st_size < 200_000


@pytest.mark.parametrize("pool", POOLS)
def test_both_pools_have_every_arm_and_only_seeds_of_their_own(pool, figures):
    found = figures["pools"][pool]
    assert list(found["arms"]) == sorted([BEFORE, *ARMS])
    assert set(found["seeds"]) <= set(SEEDS[pool])
    assert len(found["steps"]) == 6


@pytest.mark.parametrize("pool", POOLS)
def test_a_difference_is_that_of_the_two_arms_it_names(pool, figures):
    found = figures["pools"][pool]
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


@pytest.mark.parametrize("pool", POOLS)
def test_a_verdict_follows_from_its_interval(pool, figures):
    for row in figures["pools"][pool]["statements"]:
        if row["measure"] == "loss":
            expected = "holds" if row["high"] < LEAST_LOSS else "fails" if row["low"] > LEAST_LOSS else "open"
        else:
            expected = "holds" if row["low"] > 0 else "fails" if row["high"] < 0 else "open"
        assert row["verdict"] == expected


@pytest.mark.parametrize("pool", POOLS)
def test_curves_begin_at_the_base_and_end_at_the_arm(pool, figures):
    found = figures["pools"][pool]
    for kind, curves in found["curves"].items():
        for arm, curve in curves.items():
            assert curve[0] == found["arms"][BEFORE][kind]["value"]
            assert curve[-1] == found["arms"][arm][kind]["value"]


def test_the_page_shows_the_recorded_figures(figures):
    page = PAGE.read_text("utf-8")
    assert written(page, figures) == page


def test_no_words_of_the_world_are_in_the_file():
    assert set(read_json(RECORDED)) == {"pools", "grid", "cpu_seconds", "made"}

"""Differences, intervals and verdicts, beside numbers made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pivotkit.testbed.experiment import statements
from pivotkit.testbed.experiment.arms import ARMS, BEFORE
from pivotkit.testbed.experiment.statements import STATEMENTS, accuracy, interval, judged, less, per_concept

ITEMS = [
    {"pair": pair, "concept": concept, "kind": kind}
    for pair in ("a-b", "b-a")
    for concept, kind in ((0, "pivot"), (1, "pivot"), (2, "direct"), (3, "direct"))
]


def unit(correct: dict[str, str], loss: dict[str, float] | None = None, default: str = "00000000"):
    """A unit in which ``correct`` says which of the eight items an arm answers."""
    return {
        "seed": 1,
        "items": ITEMS,
        "arms": {
            arm: {
                "curve": [
                    {"step": 1, "correct": default, "loss": {"p": 9.0, "a": 9.0, "b": 9.0}},
                    {
                        "step": 2,
                        "correct": correct.get(arm, default),
                        "loss": dict.fromkeys("pab", (loss or {}).get(arm, 3.0)),
                    },
                ]
            }
            for arm in (BEFORE, *ARMS)
        },
    }


def test_a_concepts_accuracy_is_over_both_directions():
    assert accuracy(ITEMS, "10001100", "pivot") == [1.0, 0.5]
    assert accuracy(ITEMS, "10001100", "direct") == [0.0, 0.0]


def test_arms_are_read_at_a_checkpoint():
    units = [unit({"parallel": "11110000"})]
    assert per_concept(units, "parallel", "pivot") == [[0.5, 0.5]]
    assert per_concept(units, "parallel", "pivot", 0) == [[0.0, 0.0]]
    assert per_concept([unit({}, {"parallel": 2.5})], "parallel", "loss") == [[2.5]]


def test_differences_are_paired_by_concept():
    assert less([[1.0, 0.5], [0.0]], [[0.5, 0.5], [1.0]]) == [[0.5, 0.0], [-1.0]]


def test_an_interval_holds_the_mean_and_counts_the_seeds_above_zero():
    found = interval([[0.2, 0.4], [-0.1, -0.3], [0.1, 0.0]])
    assert found.value == pytest.approx(0.05)
    assert found.low < found.value < found.high
    assert (found.seeds_above, found.seeds) == (2, 3)


def test_an_interval_over_seeds_and_concepts_is_as_wide_as_theory_says():
    random = np.random.default_rng(1)
    values = random.normal(size=(200, 1)) + random.normal(size=(200, 20))
    found = interval(values.tolist())
    error = math.sqrt((1 + 1 / 20 + 1 / 20) / 200)  # of seeds, and of concepts within a seed that is drawn
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.15)


def test_seeds_with_different_numbers_of_concepts_weigh_by_their_concepts():
    assert interval([[1.0, 1.0, 1.0], [0.0]]).value == 0.75
    assert interval([[1.0], []]).seeds == 1
    assert math.isnan(interval([]).value)


def verdict(key: str, units) -> str:
    [said] = [said for said in judged(units) if said["key"] == key]
    return said["verdict"]


def test_a_statement_holds_where_the_whole_interval_is_above_zero():
    always = [unit({"pivot-aware": "11001100"}) for _ in range(4)]
    assert [verdict(key, always) for key in "acde"] == ["holds"] * 4
    assert verdict("b", always) == "open"


def test_a_statement_fails_where_the_whole_interval_is_below_zero():
    units = [unit({"bilingual": "11001100", "pivot-aware": "00110011"}) for _ in range(4)]
    assert verdict("c", units) == "fails"
    assert verdict("b", units) == "fails"


def test_a_statement_is_open_where_seeds_disagree():
    units = [unit({"pivot-aware": "11001100"}), unit({"bilingual": "11001100"})] * 2
    assert verdict("c", units) == "open"


@pytest.mark.parametrize(("loss", "expected"), [(3.0, "holds"), (2.0, "holds"), (3.04, "holds"), (3.2, "fails")])
def test_the_loss_may_rise_by_a_twentieth_of_a_nat(loss, expected):
    units = [unit({}, {"pivot-aware": loss}) for _ in range(3)]
    assert verdict("f", units) == expected
    assert statements.LEAST_LOSS == 0.05


def test_every_statement_names_arms_that_there_are():
    assert {arm for said in STATEMENTS for arm in (said.first, said.second)} <= set(ARMS)
    assert [said.key for said in STATEMENTS if said.key] == list("abcdef")
    assert len({(said.first, said.second, said.measure) for said in STATEMENTS}) == len(STATEMENTS)

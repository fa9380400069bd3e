"""Two planted models whose effects follow from their written weights, in float64 by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from causal_models import ANSWERED_AT, HELD, OWN, SHARED, pivots_of

from pivotkit.artifacts import table_metadata
from pivotkit.causal.causal_test import causal_test
from pivotkit.causal.effects import causal_effects
from pivotkit.lens.trace import trace
from pivotkit.testbed.planted import EPSILON, PIVOT_PLAN, _amplitudes, _scale

LAYERS = (3, 5, 7)


@pytest.fixture(scope="module")
def found(planted, items, word_tokenizer):
    return causal_test(planted, items, word_tokenizer, pivots_of(items, word_tokenizer, LAYERS))


@pytest.fixture(scope="module")
def read(reading, items, word_tokenizer):
    return causal_test(reading, items, word_tokenizer, pivots_of(items, word_tokenizer, (3, 5)))


def kinds_of(world, items):
    kinds = {concept.words["a"]: concept.kind for concept in world.concepts}
    return {row["item"]: kinds[dict(row["words"])["a"]] for row in items.to_pylist()}


def logprob_of_the_target(layer, amplitudes, size):
    """The pivot plan's blocks after ``layer`` from (source, pivot, target), then norm and head, in float64."""
    plan = _amplitudes(PIVOT_PLAN, size).numpy()
    source, pivot, target = amplitudes
    for (s0, p0, t0), (s1, p1, t1) in zip(plan[layer - 1 :], plan[layer:], strict=False):
        grown = source * (p1 - p0) / s0 if p1 > p0 else pivot * (p1 - p0) / p0
        written = pivot * (t1 - t0) / p0 if p0 else 0.0
        source, pivot, target = source * s1 / s0, pivot + grown, target + written
    state = np.array([source, pivot, target])
    logits = _scale(size) / math.sqrt(size) * state / math.sqrt((1 + state @ state) / size + EPSILON)
    return logits[2] - math.log(np.exp(logits).sum() + size - 3)


@pytest.mark.parametrize("control", ["own", "orthogonal", "orthogonal-equal"])
def test_pivot_items_break_as_planted_and_direct_items_do_not(found, world, items, control):
    kinds, size = kinds_of(world, items), len(world.vocabulary)
    seen = set()
    for row in found.to_pylist():
        if (row["intervention"], row["control"], row["mean"]) != ("ablate", control, False):
            continue
        kind = kinds[row["item"]]
        seen.add((kind, row["layer"]))
        if kind == "direct":
            assert abs(row["delta_logprob"]) < 1e-4
            assert row["removed"] == pytest.approx(0, abs=1e-6)
            continue
        source, pivot, target = _amplitudes(PIVOT_PLAN, size).numpy()[row["layer"] - 1]
        whole = logprob_of_the_target(row["layer"], (source, pivot, target), size)
        without = logprob_of_the_target(row["layer"], (source, 0.0, target), size)
        assert row["removed"] == pytest.approx(pivot, abs=1e-5)
        assert row["delta_logprob"] == pytest.approx(without - whole, abs=1e-4)
        if row["layer"] < 7:  # later the target is written
            assert row["delta_logprob"] < -0.5
    assert seen == {(kind, layer) for kind in ("direct", "pivot") for layer in LAYERS}


def test_a_swap_of_two_pivots_moves_the_answer_to_the_other_item(found, world, items):
    kinds, size = kinds_of(world, items), len(world.vocabulary)
    moved = 0
    for row in found.to_pylist():
        pivot_item = kinds[row["item"]] == "pivot"
        if (row["intervention"], row["control"], row["layer"]) != ("swap", "own", 5) or not pivot_item:
            continue
        source, pivot, target = _amplitudes(PIVOT_PLAN, size).numpy()[4]
        whole = logprob_of_the_target(5, (source, pivot, target), size)
        # Its own pivot leaves. Of the other's pivot this item's own answer knows only the norm and the sum.
        assert row["delta_logprob"] < -0.5
        assert row["removed"] == pytest.approx(math.sqrt(2) * pivot, abs=1e-5)
        moved += row["delta_other_logprob"] > 0.5
        assert whole < 0
    assert moved


def written(amplitudes, size):
    """The log-probability of the target of the second model: (tag, source, c, p, d) from before the answering block."""
    tag, source, c, p, d = amplitudes
    d = d + tag * c
    p = p - tag * p
    norm = math.sqrt((tag**2 + source**2 + c**2 + p**2 + d**2) / size + EPSILON)
    factor = 12.0 / math.sqrt(size) / norm
    target, other, pivot = SHARED * c + OWN * d, SHARED * c - OWN * d, SHARED * c + OWN * p
    logits = factor * np.array([target, other, pivot])
    return logits[0] - math.log(np.exp(logits).sum() + size - 3)


def test_a_mere_reading_breaks_by_its_own_direction_and_not_by_the_orthogonal_part(read, world):
    size = len(world.vocabulary)
    whole = written((1.0, 0.5, HELD, HELD, 0.0), size)
    length = math.hypot(SHARED, OWN)
    taken = (SHARED + OWN) * HELD / length
    own = written((1.0, 0.5, HELD - taken * SHARED / length, HELD - taken * OWN / length, 0.0), size)
    shared = written((1.0, 0.5, 0.0, HELD, 0.0), size)
    expected = {"own": own - whole, "shared": shared - whole, "orthogonal": 0.0, "orthogonal-equal": 0.0, "other": 0.0}
    assert expected["own"] < -3
    count = 0
    for row in read.to_pylist():
        if row["intervention"] == "ablate" and not row["mean"] and row["control"] in expected:
            assert row["delta_logprob"] == pytest.approx(expected[row["control"]], abs=1e-4), row
            count += 1
    assert count == 5 * 2 * 32
    assert ANSWERED_AT > 5


def test_the_orthogonal_control_tells_the_two_models_apart(found, read, world, items):
    kinds = kinds_of(world, items)
    pivot_rows = found.filter([kinds[item] == "pivot" for item in found["item"].to_pylist()])

    def difference(table, first, second):
        rows = causal_effects(table, by=["layer"]).to_pylist()
        [row] = [row for row in rows if (row["intervention"], row["control"], row["against"], row["mean"], row["layer"])
                 == ("ablate", first, second, False, 5)]  # fmt: skip
        return row

    for table in (pivot_rows, read):
        assert difference(table, "own", "other")["high"] < -0.5
    assert difference(pivot_rows, "orthogonal", "other")["high"] < -0.5
    assert abs(difference(read, "orthogonal", "other")["delta_logprob"]) < 1e-4
    assert difference(read, "own", "orthogonal")["high"] < -3


def test_a_patch_of_another_item_gives_its_answer(found, world, items, planted, word_tokenizer):
    """Layer 7 holds all that the later block reads, so the other item's state answers as the other item does."""
    traces = trace(planted, items, word_tokenizer, contrast=False).to_pylist()
    sure = {row["item"]: row["target_logprob"] for row in traces if row["layer"] == 8}
    patched = [
        row for row in found.to_pylist() if (row["intervention"], row["control"], row["layer"]) == ("patch", "other", 7)
    ]
    assert len(patched) == items.num_rows
    for row in patched:
        assert row["delta_logprob"] + sure[row["item"]] < math.log(0.05)
        assert row["delta_other_logprob"] > 2


def test_nothing_is_left_out_of_a_model_that_solves_all(found):
    assert table_metadata(found)["items"] == {"given": 32, "tested": 32}
    assert not [entry for entry in table_metadata(found)["left_out"] if "what" not in entry]

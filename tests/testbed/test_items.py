from __future__ import annotations

import pytest

from pivotkit.testbed import World, held_out_items


def test_every_held_out_concept_is_asked_once_in_each_direction(small_world: World) -> None:
    rows = held_out_items(small_world).to_pylist()
    held_out = {concept.index for concept in small_world.concepts if concept.held_out}
    assert sorted((row["pair"], row["concept"]) for row in rows) == sorted(
        (pair, c) for pair in ("a-b", "b-a") for c in held_out
    )
    assert [row["item"] for row in rows] == list(range(len(rows)))
    for row in rows:
        assert row["kind"] == small_world.concepts[row["concept"]].kind


def test_examples_are_other_concepts_in_the_format_of_the_lines(small_world: World) -> None:
    for row in held_out_items(small_world, pairs=("a-b",), shots=4).to_pylist():
        *examples, query = row["prompt"].split("\n")
        assert query == f"A: {row['source']} B:"
        assert len(set(examples)) == 4
        for line in examples:
            _, source, _, target = line.split(" ")
            assert source[1:] == target[1:] != str(row["concept"])


def test_examples_follow_the_seed(small_world: World) -> None:
    assert held_out_items(small_world, seed=1).equals(held_out_items(small_world, seed=1))
    assert not held_out_items(small_world, seed=1).equals(held_out_items(small_world, seed=2))


def test_too_many_shots_are_refused(small_world: World) -> None:
    with pytest.raises(ValueError, match="shots must be at least 0 and less than 8; got 8"):
        held_out_items(small_world, shots=8)

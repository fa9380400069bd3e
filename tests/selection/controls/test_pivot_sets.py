"""Sets in place of pivots are of the same size and disjoint from them; a permutation gives each another pair's."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivotkit.artifacts import table_metadata
from pivotkit.selection import control_pivots, pivot_permutation

ROW = st.tuples(st.integers(0, 5), st.integers(0, 19), st.none() | st.integers(20, 40), st.none() | st.integers(0, 19))


def make(rows):
    columns = zip(*rows, strict=True)
    names = ("item", "token_id", "control_id", "other_id")
    return pa.table({name: pa.array(column, pa.int32()) for name, column in zip(names, columns, strict=True)})


@given(st.lists(ROW, min_size=1, max_size=40), st.integers(1, 5))
def test_a_set_has_one_control_for_a_pivot_and_none_of_them(rows, number):
    pivots = make(rows)
    tokens = list(dict.fromkeys(row[1] for row in rows))[:number]
    sets = control_pivots(pivots, pa.table({"token_id": tokens}), allow_shortfall=True)
    for name, place in (("control", 2), ("other", 3)):
        found = list(zip(sets[name]["token_id"].to_pylist(), sets[name]["instead_of"].to_pylist(), strict=True))
        assert len({one for one, _ in found}) == len(found) <= len(tokens)
        assert [token for token in tokens if token in {own for _, own in found}] == [own for _, own in found]
        assert not {one for one, _ in found} & set(tokens)
        assert all(any(row[1] == own and row[place] == one for row in rows) for one, own in found)
        assert table_metadata(sets[name]) == {"wanted": len(tokens), "found": len(found)}


def test_frequency_matched_tokens_are_pivots_of_no_item():
    pivots = make([(0, 1, 2, 2), (1, 2, 30, 1), (0, 1, 31, 2)])
    sets = control_pivots(pivots, pa.table({"token_id": [1]}))
    assert sets["control"]["token_id"].to_pylist() == [31]
    assert sets["other"]["token_id"].to_pylist() == [2]


def test_a_smaller_set_is_refused_with_its_numbers():
    pivots = make([(0, 1, 20, 2), (1, 2, 21, 1)])
    rule = "pivots must have a pivot of another pair that is none of them for each of 2 chosen ones"
    with pytest.raises(ValueError, match=rf"^control_pivots: {rule}, or allow_shortfall be set; got 0$"):
        control_pivots(pivots)
    assert list(control_pivots(pivots, kinds=["control"])) == ["control"]
    with pytest.raises(ValueError, match=r"^control_pivots: pivots must hold a pivot; got none$"):
        control_pivots(pivots.slice(0, 0))


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 19)), min_size=1, max_size=40), st.integers(0, 3))
def test_a_permutation_moves_every_pivot_to_one_of_another_item(rows, seed):
    pivots = pa.table({"item": [row[0] for row in rows], "token_id": [row[1] for row in rows]})
    tokens = sorted({row[1] for row in rows})
    if len(tokens) < 2:
        with pytest.raises(ValueError, match="pivots must be two at least"):
            pivot_permutation(pivots, 25)
        return
    new = pivot_permutation(pivots, 25, seed=seed, allow_shortfall=True)
    assert sorted(new.tolist()) == list(range(25))
    assert {token for token in range(25) if new[token] != token} == set(tokens)
    shared = sum(any({(item, token), (item, int(new[token]))} <= set(rows) for item in range(7)) for token in tokens)
    if shared:
        with pytest.raises(ValueError, match=f"got {shared} of {len(tokens)} that share an item with the rest"):
            pivot_permutation(pivots, 25, seed=seed)
    else:
        assert (pivot_permutation(pivots, 25, seed=seed) == new).all()


def test_the_seed_decides():
    pivots = pa.table({"item": range(50), "token_id": range(50)})
    one, again, other = (pivot_permutation(pivots, 60, seed=seed) for seed in (0, 0, 1))
    assert (one == again).all()
    assert (one != other).any()
    chosen = pivot_permutation(pivots, 60, chosen=pa.table({"token_id": [3, 4]}))
    assert np.flatnonzero(chosen != np.arange(60)).tolist() == [3, 4]


def test_ids_beyond_the_vocabulary_are_refused():
    pivots = pa.table({"item": [0, 1], "token_id": [3, 9]})
    with pytest.raises(ValueError, match=r"^pivot_permutation: pivots must be below vocab_size, 9; got 9$"):
        pivot_permutation(pivots, 9)

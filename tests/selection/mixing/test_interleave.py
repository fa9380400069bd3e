"""Turns: every beginning holds each part by its weight."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pivotkit.selection.mixing.interleave import Turns

parts = st.integers(1, 5).flatmap(
    lambda count: st.tuples(
        st.lists(st.integers(1, 40), min_size=count, max_size=count),
        st.lists(st.lists(st.integers(1, 30), min_size=80, max_size=80), min_size=count, max_size=count),
    )
)


@given(parts)
def test_each_beginning_holds_each_part_to_within_the_longest_document(drawn):
    weights, lengths = drawn
    names = "abcde"[: len(weights)]
    turns = Turns(dict(zip(names, weights, strict=True)))
    streams = {name: list(some) for name, some in zip(names, lengths, strict=True)}
    longest, whole = max(map(max, lengths)), sum(weights)
    while all(streams.values()):
        name = turns.next({part: some[0] for part, some in streams.items()})
        streams[name].pop(0)
        for part, weight in zip(names, weights, strict=True):
            assert abs(turns.written[part] - Fraction(weight, whole) * turns.total) <= longest


@given(parts, st.integers(0, 40))
def test_turns_go_on_where_they_were(drawn, steps):
    weights, lengths = drawn
    names = "abcde"[: len(weights)]
    shares = dict(zip(names, weights, strict=True))

    def run(turns, steps, at):
        order = []
        for _ in range(steps):
            name = turns.next({part: some[at[part] % 80] for part, some in zip(names, lengths, strict=True)})
            at[name] += 1
            order.append(name)
        return order

    whole = run(Turns(shares), steps + 9, dict.fromkeys(names, 0))
    at = dict.fromkeys(names, 0)
    first = Turns(shares)
    begun = run(first, steps, at)
    assert begun + run(Turns(shares, first.written), 9, at) == whole

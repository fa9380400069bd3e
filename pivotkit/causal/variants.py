"""Every edit of one item's state that a pivot asks for: the interventions, each with all controls."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pivotkit.causal.chosen import Item, Ledger, Subject
from pivotkit.causal.controls import other_subjects, partner_of_concept, random_unit
from pivotkit.causal.directions import TokenDirections, Vector, mean_difference, split, unit
from pivotkit.causal.edits import ablation_amounts, addition_amounts, swap_amounts, swap_units
from pivotkit.lens.model.parts import with_float64

INTERVENTIONS = ("ablate", "swap", "add", "patch")

Tokens = dict[str, int]  # of controls
Units = dict[str, Vector]


@dataclass(frozen=True, repr=False)
class Edit:
    """One edited state, with what it is: `causal_test` says what the fields mean."""

    intervention: str
    direction: str | None
    control: str
    mean: bool
    removed: float
    token: int | None
    strength: float | None
    other_answer: int | None
    state: Vector

    def __repr__(self) -> str:
        return f"Edit({self.intervention}, {self.direction}, {self.control}, removed={self.removed:.3g})"


class Variants:
    """The edits of every subject.

    Parameters
    ----------
    items : sequence of N Item
    states : (L, N, D) float32 tensor
        Their states in ``layers``; edits are computed where they are.
    layers : sequence of L int
    found : sequence of Subject
    matched : mapping of (Subject, {"frequency", "matched"}) to token
        The control tokens; a subject may lack them.
    directions : mapping of {"unembedding", "lens", "means"} to TokenDirections
        Those of ``means`` serve for the families' span.
    interventions, strengths, seed
        As in `causal_test`.
    ledger : Ledger
        Takes what cannot be made.
    """

    def __init__(
        self, items: Sequence[Item], states: torch.Tensor, layers: Sequence[int], found: Sequence[Subject],
        matched: Mapping[tuple[Subject, str], int], directions: Mapping[str, TokenDirections],
        interventions: Sequence[str], strengths: Sequence[float], seed: int, ledger: Ledger,
    ) -> None:  # fmt: skip
        self._items, self._found, self._matched = items, found, matched
        self._states = states.to(with_float64(states.device))
        self._at = {layer: number for number, layer in enumerate(layers)}
        self._directions, self._interventions, self._strengths = directions, interventions, strengths
        self._seed, self._ledger = seed, ledger
        self._groups = [item.group for item in items]
        self._others = functools.cache(self._draw_others)

    def __repr__(self) -> str:
        return f"Variants(subjects={len(self._found)}, interventions={list(self._interventions)})"

    def edits(self, subject: Subject) -> Iterator[Edit]:
        """All edits of a subject; what cannot be made goes to the ledger."""
        state = self._state(subject.at, subject.layer)
        others = self._others(subject)
        if not others:
            self._leave_out(subject, "other", "no other item of the pair has another pivot and another answer")
        for kind in self._directions:
            units = self._units(subject, kind)
            if units is None:
                continue
            yield from self._along(subject, kind, units, state)
        if "patch" in self._interventions:
            yield from self._patches(subject, state)

    def _along(self, subject: Subject, kind: str, units: Units, state: Vector) -> Iterator[Edit]:
        """The edits along one kind of direction."""
        others = self._others(subject)
        answer = self._items[others[0].at].answer if others else None
        tokens = self._tokens(subject)

        def made(name: str, along: Units, amounts: Mapping[str, float], mean: bool = False,
                 strength: float | None = None) -> Iterator[Edit]:  # fmt: skip
            # A swap's first other takes part in every control; its control ``other`` is of the two more.
            beside = others[1:] if name == "swap" else others
            named = tokens | ({"other": beside[0].token} if beside else {})
            for control, amount in amounts.items():
                yield Edit(name, kind, control, mean, amount, named.get(control, named["own"]) if control != "random"
                           else None, strength, answer, state - amount * along[control])  # fmt: skip

        if "ablate" in self._interventions:
            yield from made("ablate", units, ablation_amounts(state, units))
            centre = self._mean_of_others(subject.at, subject.layer)
            if centre is None:
                self._leave_out(subject, "mean", "no other item of the pair has a state")
            else:
                yield from made("ablate", units, ablation_amounts(state - centre, units), mean=True)
        if "swap" in self._interventions and others:
            swapped = self._swap_units(subject, kind)
            if "own" in swapped:
                yield from made("swap", swapped, swap_amounts(state, swapped))
            else:
                self._leave_out(subject, f"swap {kind}", "the two pivots have one direction, or none")
        if "add" in self._interventions:
            for strength in self._strengths:
                yield from made("add", units, addition_amounts(state, units, strength), strength=strength)

    def _patches(self, subject: Subject, state: Vector) -> Iterator[Edit]:
        """The state replaced whole: by another item's, by one as far away, by that of the concept in another pair."""
        own = unit(self._directions_of_tokens().of([subject.token], subject.layer)[0])
        assert own is not None  # `_units` refuses a row of zeros

        def made(control: str, new: Vector, answer: int, token: int | None) -> Edit:
            return Edit("patch", None, control, False, float((state - new) @ own), token, None, answer, new)

        others = self._others(subject)
        if others:
            other = others[0]
            new = self._state(other.at, subject.layer)
            answer = self._items[other.at].answer
            yield made("other", new, answer, other.token)
            away = self._random(subject, "random patch")
            yield made("random", state + (new - state).norm() * away, answer, None)
        twin = partner_of_concept(subject.at, self._items, subject.layer, self._seed)
        if twin is None:
            self._leave_out(subject, "patch own", "no solved item of the concept in another pair has another answer")
        else:
            yield made("own", self._state(twin, subject.layer), self._items[twin].answer, subject.token)

    def _units(self, subject: Subject, kind: str) -> Units | None:
        """The unit vector of each control for one subject; None where its pivot has no direction."""
        others = self._others(subject)
        if kind == "means":
            found = {"own": self._mean_direction(subject)}
            found |= {"other": self._mean_direction(others[0])} if others else {}
        else:
            tokens = self._tokens(subject) | ({"other": others[0].token} if others else {})
            rows = self._directions[kind].of(list(tokens.values()), subject.layer)
            found = dict(zip(tokens, map(unit, rows), strict=True))
        units = {control: one for control, one in found.items() if one is not None}
        if "own" not in units:
            self._leave_out(subject, kind, "its pivot has no direction: no other item shows it" if kind == "means"
                            else "its pivot's row is zero")  # fmt: skip
            return None
        units["random"] = self._random(subject, "random")
        parts = self._parts(units["own"], [*self._items[subject.at].family], kind, subject.layer)
        if "orthogonal" not in parts:
            self._leave_out(subject, f"orthogonal {kind}", "the pivot's direction lies in the span of both families")
        return units | parts | ({"own-reduced": units["own"]} if "orthogonal" in parts else {})

    def _parts(self, vector: Vector, family: Sequence[int], kind: str, layer: int) -> Units:
        """The unit vectors of the parts of a direction outside and inside a span, where they have a length."""
        outside, inside = map(unit, split(vector, self._directions[kind].of(family, layer)))
        found = {} if outside is None else {"orthogonal": outside, "orthogonal-equal": outside}
        return found if inside is None else found | {"shared": inside}

    def _swap_units(self, subject: Subject, kind: str) -> Units:
        """The unit vector of each control's swap with the first of the others; of ``other`` between the two more."""
        partner, *more = self._others(subject)
        family = sorted({*self._items[subject.at].family, *self._items[partner.at].family})
        sides: list[Units] = []
        for side, own in enumerate((subject, partner)):
            if kind == "means":
                found = {"own": self._mean_direction(own)}
                found |= {"other": self._mean_direction(more[side])} if len(more) > 1 else {}
            else:
                tokens = self._tokens(own) | ({"other": more[side].token} if len(more) > 1 else {})
                found = dict(zip(tokens, map(unit, self._directions[kind].of(list(tokens.values()), own.layer)),
                                 strict=True))  # fmt: skip
            units = {control: one for control, one in found.items() if one is not None}
            if "own" in units:
                units |= self._parts(units["own"], family, kind, own.layer)
            sides.append(units)
        if len(more) < 2:
            reason = "the pair has no two more items with other pivots and answers"
            self._leave_out(subject, f"swap {kind} other", reason)
        swapped = swap_units(*sides)
        if "own" in swapped:
            swapped["random"] = self._random(subject, "random swap")
            if "orthogonal" in swapped:
                swapped["own-reduced"] = swapped["own"]
            else:
                self._leave_out(subject, f"swap {kind} orthogonal", "a pivot lies in the span of both items' families")
        return swapped

    def _tokens(self, subject: Subject) -> Tokens:
        """The tokens of a subject and of those controls that are tokens."""
        item = self._items[subject.at]
        found = {"own": subject.token, "target": item.answer, "source": item.source}
        for control in ("frequency", "matched"):
            if (subject, control) in self._matched:
                found[control] = self._matched[subject, control]
        return found

    def _mean_direction(self, subject: Subject) -> Vector | None:
        """The difference of means between items of the same concept in other pairs, or the same pivot, and the rest."""
        own = self._items[subject.at]
        same = {one.at for one in self._found if (one.layer, one.token) == (subject.layer, subject.token)}
        shows = np.array([at in same or (item.concept == own.concept and item.pair != own.pair)
                          for at, item in enumerate(self._items)])  # fmt: skip
        shows[subject.at] = False
        found = mean_difference(self._states[self._at[subject.layer]], self._groups, shows, subject.at)
        return None if found is None else unit(found)

    def _draw_others(self, subject: Subject) -> list[Subject]:
        group = self._items[subject.at].group
        alike = [one for one in self._found if (one.layer, one.kind) == (subject.layer, subject.kind)
                 and self._items[one.at].group == group]  # fmt: skip
        return other_subjects(subject, self._items, alike, self._seed)

    def _directions_of_tokens(self) -> TokenDirections:
        return next(iter(self._directions.values()))

    def _state(self, at: int, layer: int) -> Vector:
        return self._states[self._at[layer], at].double()

    def _mean_of_others(self, at: int, layer: int) -> Vector | None:
        """The mean state of the other items of the pair, solved or not."""
        others = [other for other, group in enumerate(self._groups) if group == self._groups[at] and other != at]
        return self._states[self._at[layer], others].mean(0, dtype=torch.float64) if others else None

    def _random(self, subject: Subject, use: str) -> Vector:
        size = self._states.shape[-1]
        drawn = random_unit(size, self._items[subject.at], subject.layer, self._seed, use)
        return torch.from_numpy(drawn).to(self._states.device)

    def _leave_out(self, subject: Subject, what: str, reason: str) -> None:
        self._ledger.add(self._items[subject.at], reason, subject.layer, what)

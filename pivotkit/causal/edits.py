"""What an intervention does to a state: pure functions of vectors.

Every edit but a patch moves a state along one unit vector: ``h' = h - amount * u``. An ablation's amount is the state's
own coordinate ``h @ u``, or what it has beyond a mean. A swap is the reflection that exchanges two directions.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from pivotkit.causal.directions import LEAST, Vector

#: Controls whose amount is not the state's own coordinate along their direction, and what gives it.
AS_MUCH_AS = {"random": "own", "orthogonal-equal": "own", "own-reduced": "orthogonal"}


def ablation_amounts(state: Vector, units: Mapping[str, Vector]) -> dict[str, float]:
    """How much each control's ablation takes along its unit vector.

    Parameters
    ----------
    state : (D,)
        The state, less the mean towards which it is ablated.
    units : mapping of control to unit vector
        With ``own``, and ``orthogonal`` where ``own-reduced`` is among them.

    Returns
    -------
    dict of control to float
        The state's coordinate; for ``random`` that of ``own``, for ``orthogonal-equal`` and ``own-reduced`` that of
        ``own`` and ``orthogonal`` with the sign of their own.
    """
    natural = _coordinates(state, units)
    amounts = dict(natural)
    for control, other in AS_MUCH_AS.items():
        if control in units:
            sign = 1.0 if natural[other] >= 0 else -1.0
            if control != "random":
                sign = 1.0 if natural[control] >= 0 else -1.0
            amounts[control] = sign * abs(natural[other])
    return amounts


def swap_units(first: Mapping[str, Vector], second: Mapping[str, Vector]) -> dict[str, Vector]:
    """The unit vector along which each control exchanges its two directions.

    The reflection ``h - 2 (h @ v) v`` with v along ``u1 - u2`` exchanges the coordinates of two unit vectors and
    leaves what is orthogonal to both.

    Parameters
    ----------
    first, second : mappings of control to unit vector

    Returns
    -------
    dict of control to unit vector
        Without the controls whose two directions are one.
    """
    found = {}
    for control in first:
        if control in second:
            apart = first[control] - second[control]
            length = float(apart.norm())
            if length > LEAST:
                found[control] = apart / length
    return found


def swap_amounts(state: Vector, units: Mapping[str, Vector]) -> dict[str, float]:
    """How far each control's swap moves the state along its unit vector: twice the coordinate of a reflection."""
    return {control: 2 * amount for control, amount in ablation_amounts(state, units).items()}


def addition_amounts(state: Vector, units: Mapping[str, Vector], strength: float) -> dict[str, float]:
    """How far each control's addition moves the state, negative along its unit vector.

    ``strength`` is in units of the absolute coordinate of the own pivot. The parts of its direction (``orthogonal``,
    ``shared``) are added in units of their own coordinate, and ``own-reduced`` in that of ``orthogonal``.
    """
    natural = _coordinates(state, units)
    size = {control: abs(natural["own"]) for control in units}
    for control in ("orthogonal", "shared"):
        if control in units:
            size[control] = abs(natural[control])
    if "own-reduced" in units:
        size["own-reduced"] = size["orthogonal"]
    return {control: -strength * amount for control, amount in size.items()}


def _coordinates(state: Vector, units: Mapping[str, Vector]) -> dict[str, float]:
    """The state's coordinate along each unit vector: all in one step, since a GPU is asked for them."""
    found = (torch.stack(list(units.values())) * state).sum(1).tolist()
    return dict(zip(units, found, strict=True))

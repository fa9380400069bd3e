"""The weight of a pair by its distance: integers over one denominator, so that sums of weights are exact."""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pivotkit import _C
from pivotkit.arguments import LARGEST, check_int, refuse, refuse_kind

DENOMINATOR = 1 << 20  # for weights without a natural denominator
LARGEST_SUM = 1 << 30  # the largest sum of all numerators of one table
LARGEST_WINDOW = 1 << 20

Weight = str | Callable[[int], float]


@dataclass(frozen=True)
class PairWeights:
    """Weights by distance.

    Attributes
    ----------
    name : str
        "harmonic", "flat" or "function".
    numerators : tuple[int, ...]
        One for each distance 1, 2, ... up to the window; the weight is numerator / ``denominator``.
    denominator : int
    """

    name: str
    numerators: tuple[int, ...]
    denominator: int

    def __repr__(self) -> str:
        shown, rest = self.numerators[:8], len(self.numerators) - 8
        numerators = repr(shown) if rest <= 0 else f"({', '.join(map(str, shown))}, ... {rest} more)"
        return f"PairWeights(name={self.name!r}, numerators={numerators}, denominator={self.denominator})"


def pair_weights(function: str, weight: Weight, window: int, denominator: int | None = None) -> PairWeights:
    """Tabulate ``weight`` over the distances 1 to ``window``.

    ``numerator(d) = rint(denominator * weight(d))``, ties to even. Then all fractions are reduced by their greatest
    common divisor.

    Parameters
    ----------
    function : str
        The function whose arguments these are, for error messages.
    weight : "harmonic", "flat" or function
    window : int
    denominator : int, optional
        By default 1 for "flat". For "harmonic" it is the least common multiple of the distances while that is at most
        2^20 (windows up to 16, all exact). In all other cases it is 2^20, which is off by at most 2^-21 per pair.

    Returns
    -------
    PairWeights

    Raises
    ------
    TypeError
        For a weight that is neither a name nor a function of an integer, or that Numba cannot compile.
    ValueError
        For another name; a window or denominator out of range; a weight that is negative, not finite, or would be
        rounded to 0; numerators whose sum passes 2^30; no weight above 0; a function that raises.

    Examples
    --------
    >>> pair_weights("token_graph", "harmonic", 4)
    PairWeights(name='harmonic', numerators=(12, 6, 4, 3), denominator=12)
    >>> pair_weights("token_graph", lambda distance: 2.0 ** -distance, 3)
    PairWeights(name='function', numerators=(4, 2, 1), denominator=8)
    """
    check_int(function, "window", window, -LARGEST)
    if not 1 <= window <= LARGEST_WINDOW:
        refuse(function, "window", f"be in [1, {LARGEST_WINDOW}]", window)
    if denominator is not None and not (type(denominator) is int and 1 <= denominator <= LARGEST_SUM):
        refuse(function, "denominator", f"be an int in [1, {LARGEST_SUM}]", denominator)
    if isinstance(weight, type) or not (isinstance(weight, str) or callable(weight)):
        refuse_kind(function, "weight", "be a str or a function", weight)
    name, natural = "function", DENOMINATOR
    if weight == "flat":
        name, values, natural = weight, np.ones(window), 1
    elif weight == "harmonic":
        name, values = weight, 1 / np.arange(1, window + 1)
        common = math.lcm(*range(1, min(window, 32) + 1))
        natural = common if common <= DENOMINATOR else DENOMINATOR
    elif callable(weight):
        values = _tabulate(function, weight, window)
    else:
        refuse(function, "weight", "be 'harmonic', 'flat' or a function", weight)
    denominator = natural if denominator is None else denominator
    for distance, value in enumerate(values.tolist(), 1):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{function}: weight must be finite and at least 0; got {value} at distance {distance}")
        if value > 0 and round(denominator * value) == 0:
            rule = f"be 0 or more than 1 / {2 * denominator}, half of 1 / denominator"
            raise ValueError(f"{function}: weight must {rule}; got {value} at distance {distance}")
    numerators = [round(denominator * value) for value in values.tolist()]  # ties to even, as rint
    if sum(numerators) > LARGEST_SUM:
        rule = f"have a sum of at most 2^30 / denominator, {LARGEST_SUM / denominator:g}"
        raise ValueError(f"{function}: weight must {rule}; got {float(values.sum()):g}")
    if not any(numerators):
        raise ValueError(f"{function}: weight must be above 0 at some distance; got 0 at all {window}")
    common = math.gcd(denominator, *numerators)
    return PairWeights(name, tuple(value // common for value in numerators), denominator // common)


def _tabulate(function: str, weight: Any, window: int) -> npt.NDArray[np.float64]:
    """The values of the function at 1 .. window, called as compiled C. An exception inside it is raised here."""
    compiled = weight if hasattr(weight, "address") and hasattr(weight, "ctypes") else _compile(function, weight)
    pointer = compiled.ctypes
    if pointer.restype is not ctypes.c_double or tuple(pointer.argtypes) != (ctypes.c_int64,):
        raise TypeError(f"{function}: weight must be a cfunc of the signature float64(int64); got another")
    raised: list[Any] = []  # a C function cannot raise; Numba reports to this hook and returns
    before = sys.unraisablehook
    sys.unraisablehook = raised.append
    try:
        values = _C.call_by_distance(compiled.address, window)
    finally:
        sys.unraisablehook = before
    if raised:
        error = raised[0].exc_value or raised[0].exc_type
        raise ValueError(f"{function}: weight must not raise; got {error!r}") from None
    return values


def _compile(function: str, weight: Callable[[int], float]) -> Any:
    import numba  # only when it is needed, because it takes a second to load

    if hasattr(weight, "py_func"):  # a function of njit

        def call(distance):  # type: ignore[no-untyped-def]
            return weight(distance)
    else:
        call = weight
    try:
        return numba.cfunc("float64(int64)")(call)
    except (numba.core.errors.NumbaError, TypeError) as error:
        first = str(error).strip().splitlines()[0]
        raise TypeError(f"{function}: weight must be a function that Numba can compile; got another: {first}") from None

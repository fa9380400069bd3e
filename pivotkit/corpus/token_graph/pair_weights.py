"""The weight of a pair by its distance, as integers over one denominator, so that sums of weights are exact."""

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

DENOMINATOR = 1 << 20  # of weights that have no natural one
LARGEST_SUM = 1 << 30  # of the numerators of one table
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
        That of distance 1, 2, ... up to the window; the weight is numerator / ``denominator``.
    denominator : int
    """

    name: str
    numerators: tuple[int, ...]
    denominator: int


def pair_weights(
    function: str, weight: Weight, window: int, denominator: int | None = None,
) -> PairWeights:  # fmt: skip
    """Tabulate ``weight`` over the distances 1 to ``window``; ``function`` is whose arguments they are, for messages.

    ``numerator(d) = rint(denominator * weight(d))``, ties to even; then the fraction is reduced by the greatest common
    divisor of all. Without ``denominator``: 1 for "flat", the least common multiple of the distances for "harmonic" while it
    is at most 2^20 (windows up to 16, all exact), and 2^20 for anything else (off by at most 2^-21 a pair).

    Raises
    ------
    TypeError
        A weight that is neither a name nor a function of an integer, or that Numba cannot compile.
    ValueError
        Another name; a window or denominator out of range; a weight that is not finite, negative, or so small that it would
        vanish; numerators whose sum passes 2^30; no weight above 0; a function that raises.

    Examples
    --------
    >>> pair_weights("token_graph", "harmonic", 4)
    PairWeights(name='harmonic', numerators=(12, 6, 4, 3), denominator=12)
    >>> pair_weights("token_graph", lambda distance: 2.0 ** -distance, 3)
    PairWeights(name='function', numerators=(4, 2, 1), denominator=8)
    """
    if not isinstance(window, int) or isinstance(window, bool):
        raise TypeError(f"{function}: window must be an int; got {type(window).__name__}")
    if not 1 <= window <= LARGEST_WINDOW:
        raise ValueError(f"{function}: window must be in [1, {LARGEST_WINDOW}]; got {window}")
    if denominator is not None and not (isinstance(denominator, int) and 1 <= denominator <= LARGEST_SUM):
        raise ValueError(f"{function}: denominator must be an int in [1, {LARGEST_SUM}]; got {denominator!r}")
    name, natural = "function", DENOMINATOR
    if weight == "flat":
        name, values, natural = weight, np.ones(window), 1
    elif weight == "harmonic":
        name, values = weight, 1 / np.arange(1, window + 1)
        common = math.lcm(*range(1, min(window, 32) + 1))
        natural = common if common <= DENOMINATOR else DENOMINATOR
    elif callable(weight):
        values = _tabulate(function, weight, window)
    elif isinstance(weight, str):
        raise ValueError(f"{function}: weight must be 'harmonic', 'flat' or a function; got {weight!r}")
    else:
        raise TypeError(f"{function}: weight must be a str or a function; got {type(weight).__name__}")
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
    """The function's values at 1 .. window, called as compiled C; what is raised within is raised here."""
    compiled = weight if hasattr(weight, "address") and hasattr(weight, "ctypes") else _compile(function, weight)
    pointer = compiled.ctypes
    if pointer.restype is not ctypes.c_double or tuple(pointer.argtypes) != (ctypes.c_int64,):
        raise TypeError(f"{function}: weight must be a cfunc of the signature float64(int64); got another")
    raised: list[Any] = []  # a C function cannot raise: Numba reports to this hook and returns
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
    import numba  # only when asked for: it takes a second to load

    if hasattr(weight, "py_func"):  # of njit

        def call(distance):  # type: ignore[no-untyped-def]
            return weight(distance)
    else:
        call = weight
    try:
        return numba.cfunc("float64(int64)")(call)
    except (numba.core.errors.NumbaError, TypeError) as error:
        first = str(error).strip().splitlines()[0]
        raise TypeError(f"{function}: weight must be a function that Numba can compile; {first}") from None

"""Association measures against an expected count: NumPy ufuncs over a table of counts and what chance would give.

Every measure takes five numbers, broadcast like any ufunc and computed in float64: those of
`pivotkit.pivots.association`, and ``e``, the documents that word and token would share if they had nothing to do with
each other. `Counts.expected` sums it over strata, so that neither the language nor the length of documents passes for
company.

===============  ======================================  =============================================
``lower_ratio``  log_ratio - 1 / sqrt(n11 + 1), nats     the log ratio less one standard error of the log of
                                                         n11: of equal ratios, the one of more documents
``log_ratio``    log((n11 + 1) / (e + 1)), nats          one more document on both sides, so that a rare
                                                         token is not company by a single document
``npmi``         log(n11 / e) / -log(n11 / n)            -1 when they never meet
``deviance``     2 (n11 log(n11 / e) - n11 + e), signed  the Poisson deviance; negative when they repel
``poisson``      -log P(X >= n11), X ~ Poisson(e), nats  large where chance hardly gives as many
``delta``        (n11 - e) / n1_                         the share of arXiv 2505.16385, less what chance gives
===============  ======================================  =============================================

All grow with ``n11``. All but ``lower_ratio`` and ``poisson`` are zero at ``n11 = e``: the first is zero where the
ratio is one standard error above 1, and ``poisson`` is never negative. A table that cannot be
(``n11`` above a margin, a negative number, ``n`` zero) gives NaN. Where ``e`` is 0 and ``n11`` is not, ``npmi``,
``deviance`` and ``poisson`` are infinite.

Examples
--------
>>> from pivotkit.pivots.expected_association import delta, log_ratio
>>> float(delta(5, 10, 25, 100, 2.5))
0.25
>>> log_ratio([0, 3], 10, 20, 100, 3).round(3).tolist()
[-1.386, 0.0]
"""

from __future__ import annotations

import math

import numpy as np

from pivotkit.pivots.association import measure

lower_ratio: np.ufunc
log_ratio: np.ufunc
npmi: np.ufunc
deviance: np.ufunc
poisson: np.ufunc
delta: np.ufunc

MEASURES = ("lower_ratio", "log_ratio", "npmi", "deviance", "poisson", "delta")
TAIL = 1e-17  # a term of the tail this much smaller than its sum no longer changes it


def _lower_ratio(n11: float, n1_: float, n_1: float, n: float, e: float) -> float:
    if not (0 <= n11 <= min(n1_, n_1) and max(n1_, n_1) <= n and e >= 0) or n <= 0:
        return math.nan
    return math.log((n11 + 1.0) / (e + 1.0)) - 1.0 / math.sqrt(n11 + 1.0)


def _log_ratio(n11: float, n1_: float, n_1: float, n: float, e: float) -> float:
    if not (0 <= n11 <= min(n1_, n_1) and max(n1_, n_1) <= n and e >= 0) or n <= 0:
        return math.nan
    return math.log((n11 + 1.0) / (e + 1.0))


def _npmi(n11: float, n1_: float, n_1: float, n: float, e: float) -> float:
    if not (0 <= n11 <= min(n1_, n_1) and max(n1_, n_1) <= n and e >= 0) or n <= 0:
        return math.nan
    if n11 == 0:
        return -1.0
    if n11 == n:  # in every document there is no chance to beat
        return 0.0
    return math.log(n11 / e) / -math.log(n11 / n) if e > 0 else math.inf


def _deviance(n11: float, n1_: float, n_1: float, n: float, e: float) -> float:
    if not (0 <= n11 <= min(n1_, n_1) and max(n1_, n_1) <= n and e >= 0) or n <= 0:
        return math.nan
    if n11 == 0:
        return -2.0 * e
    if e == 0:
        return math.inf
    found = max(2.0 * (n11 * math.log(n11 / e) - n11 + e), 0.0)  # rounding may give a number just below zero
    return found if n11 >= e else -found


def _poisson(n11: float, n1_: float, n_1: float, n: float, e: float) -> float:
    if not (0 <= n11 <= min(n1_, n_1) and max(n1_, n_1) <= n and e >= 0) or n <= 0:
        return math.nan
    if n11 == 0:
        return 0.0
    if e == 0:
        return math.inf
    if n11 > e:  # add the tail upwards, as a share of its first term
        total = term = 1.0
        at = n11
        while term > TAIL * total:
            at += 1.0
            term *= e / at
            total += term
        return -(n11 * math.log(e) - e - math.lgamma(n11 + 1.0) + math.log(total))
    total = 0.0  # below the mean the tail is what the lower terms leave of 1
    term, at = 1.0, n11 - 1.0
    while term > TAIL * max(total, 1.0) and at >= 0:
        total += term
        term *= at / e
        at -= 1.0
    below = math.exp((n11 - 1.0) * math.log(e) - e - math.lgamma(n11)) * total
    return -math.log1p(-min(below, 1.0 - 1e-16))


def _delta(n11: float, n1_: float, n_1: float, n: float, e: float) -> float:
    if not (0 <= n11 <= min(n1_, n_1) and max(n1_, n_1) <= n and e >= 0) or n1_ <= 0:
        return math.nan
    return (n11 - e) / n1_


_FORMULAS = {
    "lower_ratio": _lower_ratio,
    "log_ratio": _log_ratio,
    "npmi": _npmi,
    "deviance": _deviance,
    "poisson": _poisson,
    "delta": _delta,
}


def __getattr__(name: str) -> np.ufunc:
    """Compile a measure at its first use."""
    if name not in _FORMULAS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    compiled = globals()[name] = measure(_FORMULAS[name])
    return compiled

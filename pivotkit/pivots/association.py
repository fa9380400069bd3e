"""Association measures of a word and a token: NumPy ufuncs over one 2x2 table of document counts.

Every measure takes the same four counts, broadcast like any ufunc and computed in float64::

                 token    no token
    word          n11                  n1_     documents with the word
    no word
                  n_1                  n       documents with the token; all documents

==================  ==========================================================  ===========================
``pmi``             log(n11 n / (n1_ n_1)), nats                                -inf when they never meet
``npmi``            pmi / -log(n11 / n), between -1 and 1                       -1 when they never meet
``log_likelihood``  2 sum O log(O / E), Dunning's G2, signed by the direction   negative when they repel
``delta``           n11 / n1_ - n_1 / n, the share of arXiv 2505.16385          negative when they repel
==================  ==========================================================  ===========================

All are zero at independence, positive where word and token attract each other and negative where they repel each other.
If the word or the token is in every document, the table can show neither, and every measure is zero. An impossible
table (``n11`` above a margin, margins that do not fit into ``n``, a negative count, ``n`` zero) gives NaN, and so does
a measure that divides by an empty margin.

The formulas are plain Python. Numba compiles a formula at its first use (half a second to a second), so importing this
module costs nothing. `measure` compiles a formula of your own in the same way.

Examples
--------
>>> from pivotkit.pivots.association import delta, measure
>>> float(delta(5, 10, 25, 100))
0.25
>>> def dice(n11, n1_, n_1, n):
...     return 2.0 * n11 / (n1_ + n_1)
>>> measure(dice)([8, 0], 10, 20, 100).round(3).tolist()
[0.533, 0.0]
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import numpy as np

Formula = Callable[..., float]  # of four numbers, or of five with the expected count

pmi: np.ufunc
npmi: np.ufunc
log_likelihood: np.ufunc
delta: np.ufunc


def _pmi(n11: float, n1_: float, n_1: float, n: float) -> float:
    if not (0 <= n11 <= min(n1_, n_1) and n1_ + n_1 - n11 <= n) or n1_ == 0 or n_1 == 0:
        return math.nan
    if n11 == 0:
        return -math.inf
    return math.log((n11 / n1_) / (n_1 / n)) if n1_ < n and n_1 < n else 0.0


def _npmi(n11: float, n1_: float, n_1: float, n: float) -> float:
    if not (0 <= n11 <= min(n1_, n_1) and n1_ + n_1 - n11 <= n) or n1_ == 0 or n_1 == 0:
        return math.nan
    if n11 == 0:
        return -1.0
    if n1_ == n or n_1 == n:
        return 0.0
    # Word and token that occur only together have exactly 1, which rounding of the quotient would miss.
    return math.log((n11 / n1_) / (n_1 / n)) / -math.log(n11 / n) if n11 < n1_ or n11 < n_1 else 1.0


def _log_likelihood(n11: float, n1_: float, n_1: float, n: float) -> float:
    if not (0 <= n11 <= min(n1_, n_1) and n1_ + n_1 - n11 <= n) or n <= 0:
        return math.nan
    expected = n1_ * (n_1 / n)
    total = 0.0
    if n11 > 0:
        total += n11 * math.log(n11 / expected)
    if n1_ > n11:
        total += (n1_ - n11) * math.log((n1_ - n11) / (n1_ * ((n - n_1) / n)))
    if n_1 > n11:
        total += (n_1 - n11) * math.log((n_1 - n11) / ((n - n1_) * (n_1 / n)))
    neither = n - n1_ - n_1 + n11
    if neither > 0:
        total += neither * math.log(neither / ((n - n1_) * ((n - n_1) / n)))
    total = max(2.0 * total, 0.0)  # rounding may give a sum just below zero
    return total if n11 >= expected else -total


def _delta(n11: float, n1_: float, n_1: float, n: float) -> float:
    if not (0 <= n11 <= min(n1_, n_1) and n1_ + n_1 - n11 <= n) or n1_ == 0:
        return math.nan
    return n11 / n1_ - n_1 / n


_FORMULAS: dict[str, Formula] = {"pmi": _pmi, "npmi": _npmi, "log_likelihood": _log_likelihood, "delta": _delta}


def measure(formula: Formula) -> np.ufunc:
    """Compile a formula over one 2x2 table into a NumPy ufunc.

    Equivalent to ``np.vectorize(formula)``, but compiled.

    Parameters
    ----------
    formula : function of (n11, n1_, n_1, n) or of (n11, n1_, n_1, n, e)
        Plain Python that takes four float64 document counts, and a fifth one that is expected by chance
        (`pivotkit.pivots.expected_association`), and returns a float; it may use `math`. A measure that ranks pivots
        must grow with the attraction between word and token, and be positive only for attraction.

    Returns
    -------
    numpy.ufunc
        Takes as many arguments, broadcasts them and returns float64.

    Raises
    ------
    TypeError
        ``formula`` is not a function that Numba can compile.

    Notes
    -----
    Cost: about half a second to compile. The ufunc makes one pass over the arrays without temporaries.

    Examples
    --------
    >>> jaccard = measure(lambda n11, n1_, n_1, n: n11 / (n1_ + n_1 - n11))
    >>> float(jaccard(5, 10, 5, 100))
    0.5
    """
    rule = "be a function of (n11, n1_, n_1, n) or of (n11, n1_, n_1, n, e)"
    if not callable(formula):
        raise TypeError(f"measure: formula must {rule}; got {formula!r}")
    import numba

    try:
        numbers = ", ".join(["float64"] * len(inspect.signature(formula).parameters))
        compiled: np.ufunc = numba.vectorize([f"float64({numbers})"])(formula)
    except (TypeError, ValueError, numba.core.errors.NumbaError) as error:
        raise TypeError(f"measure: formula must {rule} that Numba compiles; got {formula!r}: {error}") from error
    if compiled.nin not in (4, 5):
        raise TypeError(f"measure: formula must {rule}; got {formula!r}, of {compiled.nin}")
    return compiled


def __getattr__(name: str) -> np.ufunc:
    """Compile a measure at its first use."""
    if name not in _FORMULAS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    compiled = globals()[name] = measure(_FORMULAS[name])
    return compiled

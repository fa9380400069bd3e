"""The order in which parts take turns: any beginning of it holds each part by its weight, to within one document.

It is worst-case fair weighted fair queueing (WF2Q; Bennett and Zhang, INFOCOM 1996): of the parts that have no more
than their share so far, the one whose next document would be complete first takes its turn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

PRECISION = 10**9  # weights are fractions of a denominator up to this


class Turns:
    """Whose turn it is, in whole numbers, so that it is the same on every machine.

    Parameters
    ----------
    weights : mapping of str to float
        Positive; only their ratios count.
    written : mapping of str to int, optional
        How many tokens of each part were written.

    Examples
    --------
    >>> turns = Turns({"a": 1, "b": 2})
    >>> "".join(turns.next({"a": 1, "b": 1}) for _ in range(9))
    'babbabbab'
    """

    def __init__(self, weights: Mapping[str, float], written: Mapping[str, int] | None = None) -> None:
        fractions = {name: Fraction(weight).limit_denominator(PRECISION) for name, weight in weights.items()}
        common = math.lcm(*(fraction.denominator for fraction in fractions.values()))
        self._shares = {name: int(fraction * common) for name, fraction in sorted(fractions.items())}
        self._whole = sum(self._shares.values())
        self.written = {name: (written or {}).get(name, 0) for name in weights}
        self.total = sum(self.written.values())

    def next(self, lengths: Mapping[str, int]) -> str:
        """The part whose next document, of ``lengths``, is written now; ties go to the first by name."""
        best, end, end_share = "", 0, 1
        for name, share in self._shares.items():
            done = self.written[name]
            if done * self._whole > share * self.total:
                continue  # it has more than its share
            if not best or (done + lengths[name]) * end_share < end * share:
                best, end, end_share = name, done + lengths[name], share
        self.written[best] += lengths[best]
        self.total += lengths[best]
        return best

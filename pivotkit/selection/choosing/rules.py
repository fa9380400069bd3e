"""What ranks documents: a column of their scores, two of them, none, or a function of the caller's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.arguments import refuse, refuse_kind
from pivotkit.selection.scoring.behaviors import BEHAVIOR_PAIRS, BEHAVIOR_PIVOTS
from pivotkit.selection.scoring.document_score import what_numba_said

COLUMNS: dict[str, tuple[str, ...]] = {
    "score": ("score",),
    "share": ("pivots", "tokens"),
    "distinct": ("distinct",),
    "weighted": ("weighted",),
    "pairs": ("score",),
    "parallel": ("translation_pairs",),
    "random": (),
    "behavior": (),  # those of its `PARTS`
}
RULES = tuple(COLUMNS)
BEHAVIOR = "behavior"
PAIR = "pair"  # the column that tells the pair of a document's pivots
RuleLike: TypeAlias = str | Callable[..., float]


@dataclass(frozen=True)
class Rule:
    """A checked rule.

    Attributes
    ----------
    name : str
        One of `RULES`, or "function".
    columns : tuple of str
        What it reads.
    function : compiled function or None
        Of these columns, element by element.
    positive : bool
        Whether only documents with more than 0 in the first column are taken.
    """

    name: str
    columns: tuple[str, ...]
    function: Callable[..., Any] | None = None
    positive: bool = False

    @classmethod
    def of(cls, rule: RuleLike) -> Rule:
        told = f"be one of {', '.join(RULES)}, or a function"
        if isinstance(rule, str):
            if rule not in RULES:
                refuse("select", "rule", told, rule)
            return cls(rule, COLUMNS[rule])
        if not (isinstance(rule, FunctionType) or hasattr(rule, "py_func")):
            refuse_kind("select", "rule", told, rule)
        return _of_function(rule)

    @property
    def by_pair(self) -> bool:
        """Whether each pair of words or languages has its part of a budget."""
        return self.name == "pairs"

    @property
    def told(self) -> str:
        """What a document must have to be ranked."""
        return " / ".join(self.columns)

    def takes(self, batch: pa.RecordBatch) -> NDArray[np.bool_]:
        """Which documents may be taken at all."""
        if self.by_pair:
            return np.asarray(batch[PAIR].is_valid())
        return numbers(batch, self.columns[0]) > 0 if self.positive else np.ones(len(batch), np.bool_)

    def values(self, batch: pa.RecordBatch) -> NDArray[np.float64]:
        """The merit of each document; NaN for null. Documents without tokens have none where it is computed."""
        read = [numbers(batch, name) for name in self.columns]
        if self.name == "random":
            return np.zeros(len(batch))
        if self.name != "share" and self.function is None:
            return np.asarray(read[0], np.float64)
        has = numbers(batch, "tokens") > 0
        values = np.zeros(len(batch))
        if self.function is None:
            np.divide(read[0], read[1], out=values, where=has)
        elif has.any():
            values[has] = _called(self.function, [column[has].astype(np.float64) for column in read])
        return values


# What ranks the parts of the rule "behavior", in the order in which they take. A document that has nothing of what its
# part is for would not be what the items ask for.
PARTS = {
    BEHAVIOR_PIVOTS: Rule("share", (BEHAVIOR_PIVOTS, "tokens"), positive=True),
    BEHAVIOR_PAIRS: Rule("parallel", (BEHAVIOR_PAIRS,), positive=True),
}


def _of_function(rule: Any) -> Rule:
    """The rule of a function whose parameters are named as columns."""
    import numba  # only when it is needed, because it takes a second to load

    plain = rule.py_func if hasattr(rule, "py_func") else rule
    parameters = inspect.signature(plain).parameters.values()
    if not parameters or any(one.kind is not one.POSITIONAL_OR_KEYWORD for one in parameters):
        refuse(
            "select", "rule", "have parameters that are named as columns of documents", ", ".join(map(str, parameters))
        )
    compiled = numba.vectorize(plain)
    _called(compiled, [np.zeros(0)] * len(parameters))  # compiles it, and calls it for no document
    return Rule("function", tuple(one.name for one in parameters), compiled)


def _called(function: Callable[..., Any], columns: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    import numba

    try:
        return np.asarray(function(*columns)).astype(np.float64, casting="safe")
    except (numba.core.errors.NumbaError, TypeError, NotImplementedError) as error:
        told = "be a function of numbers to a number that Numba compiles"
        raise TypeError(f"select: rule must {told}; got another: {what_numba_said(error)}") from None
    except Exception as error:
        raise ValueError(f"select: rule must not raise; got {error!r}"[:400]) from None


def numbers(batch: pa.RecordBatch, name: str) -> NDArray[Any]:
    """A column of numbers; one with nulls as float64 with NaN."""
    return np.asarray(batch[name].to_numpy(zero_copy_only=False))


def gumbel(hashes: NDArray[np.uint64]) -> NDArray[np.float64]:
    """A draw of the standard Gumbel distribution for each hash, the larger the smaller the hash.

    ``-log(-log(u))`` with ``u = 1 - ((hash >> 12) + 0.5) / 2**52``, which is neither 0 nor 1.

    >>> gumbel(np.array([0, 1 << 63, 2**64 - 1], np.uint64)).round(3).tolist()
    [36.737, 0.367, -3.604]
    """
    rest = ((hashes >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return np.asarray(-np.log(-np.log1p(-rest)))


def softened(values: NDArray[np.float64], temperature: float, hashes: NDArray[np.uint64]) -> NDArray[np.float64]:
    """``log(value) + temperature * gumbel(hash)``: the k largest are a draw of k without replacement.

    Each draw takes one of those that are left with a probability in proportion to ``value ** (1 / temperature)``.
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # the log of 0 is the least, that of a negative is refused
        return np.asarray(np.log(values) + temperature * gumbel(hashes))

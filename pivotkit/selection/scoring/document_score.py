"""What a document's score is: checked arguments, and the native or the caller's own loop over documents."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from types import FunctionType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit import _C
from pivotkit.arguments import elements, refuse, refuse_kind, shown
from pivotkit.artifacts import require_columns
from pivotkit.corpus.reading.token_blocks import Ids, Offsets, TokenBlock

SCORES = ("share", "weighted", "distinct")
Pivots: TypeAlias = pa.Table | Sequence[int] | NDArray[np.integer]
Weights: TypeAlias = Mapping[int, float] | Sequence[float] | NDArray[np.floating]
Score: TypeAlias = str | Callable[[Any, Any], float]


class Totals(NamedTuple):
    """One entry per document: ids, ids that are pivots (int64), the score, and further scores (float64)."""

    tokens: NDArray[np.int64]
    pivots: NDArray[np.int64]
    scores: NDArray[np.float64]
    more: tuple[NDArray[np.float64], ...] = ()

    def without_last(self) -> Totals:
        return Totals(self.tokens[:-1], self.pivots[:-1], self.scores[:-1], tuple(one[:-1] for one in self.more))


@dataclass(frozen=True)
class DocumentScore:
    """A checked score.

    Attributes
    ----------
    name : {"share", "weighted", "distinct", "function", "count"}
        "count": how many tokens are pivots; for columns beside the score.
    is_pivot : bool (V,)
    weights : float32 (V,) or None
        0 for all but pivots; for "weighted" and "function".
    function : compiled function or None
        (ids, offsets, weights) to float64 (N,).
    """

    name: str
    is_pivot: NDArray[np.bool_]
    weights: NDArray[np.float32] | None = None
    function: Callable[[Ids, Offsets, NDArray[np.float32]], NDArray[np.float64]] | None = None

    def identity(self) -> dict[str, Any]:
        """What the scores of a document depend on besides its ids; not for "function"."""
        arrays = [array for array in (self.is_pivot, self.weights) if array is not None]
        return {"score": self.name, "digests": [hashlib.sha256(array.tobytes()).hexdigest() for array in arrays]}

    def scorer(self) -> Callable[[TokenBlock], Totals]:
        """A function of blocks, one after another, to the totals of their documents so far."""
        weights = self.weights if self.name == "weighted" else None
        scorer = _C.DocumentScorer(self.is_pivot, weights, self.name == "distinct")

        def totals(block: TokenBlock) -> Totals:
            found = Totals(*scorer.add(block.ids, block.offsets, block.continued))
            if self.name == "count":
                return found._replace(scores=found.pivots.astype(np.float64))
            if self.function is None or self.weights is None:
                return found
            return found._replace(scores=self.function(block.ids, block.offsets, self.weights))

        return totals


def totals_of(score: DocumentScore, more: Sequence[DocumentScore], blocks: Iterable[TokenBlock]) -> Iterator[Totals]:
    """The totals of documents, block by block. A document that goes on in a later block comes once it is whole."""
    first, *others = [one.scorer() for one in (score, *more)]
    before: Totals | None = None
    for block in blocks:
        now = first(block)._replace(more=tuple(other(block).scores for other in others))
        if before is not None:
            yield before.without_last() if block.continued else before
        before = now
    if before is not None:
        yield before


def document_score(
    function: str, pivots: Pivots, vocab_size: int, score: Score, weights: Weights | None, dtype: Any
) -> DocumentScore:
    """Check ``pivots``, ``score`` and ``weights``, arguments of ``function``; ``dtype`` is that of most ids.

    Raises
    ------
    IndexError
        For a pivot that is not below ``vocab_size``.
    TypeError
        For a score that is neither a name nor a function that Numba compiles; for pivots or weights of another kind.
    ValueError
        For another name; no pivots; weights that are missing, not asked for, of another length, or not finite.
    """
    if not (isinstance(score, str | FunctionType) or hasattr(score, "py_func")):
        refuse_kind(function, "score", f"be one of {', '.join(SCORES)}, or a function", score)
    if isinstance(score, str) and score not in SCORES:
        refuse(function, "score", f"be one of {', '.join(SCORES)}, or a function", score)
    is_pivot = _pivot_mask(function, pivots, vocab_size)
    if isinstance(score, str) and score != "weighted":
        if weights is not None:
            refuse(function, "weights", f"be None for the score {score!r}", weights)
        return DocumentScore(score, is_pivot)
    if weights is None and isinstance(score, str):
        weights = _table_weights(function, pivots, vocab_size)
    kept = is_pivot.astype(np.float32) if weights is None else _weights(function, weights, is_pivot)
    if isinstance(score, str):
        return DocumentScore(score, is_pivot, kept)
    compiled = _compiled(function, score)
    compiled(np.zeros(0, dtype), np.zeros(1, np.int64), kept)  # compiles it, and calls it for no document
    return DocumentScore("function", is_pivot, kept, compiled)


def _pivot_mask(function: str, pivots: Pivots, vocab_size: int) -> NDArray[np.bool_]:
    if isinstance(pivots, pa.Table):
        require_columns(function, "pivots", pivots, ("token_id",))
        pivots = pivots["token_id"].to_numpy()
    rule = "a table or a list of token ids"
    try:
        listed = hasattr(pivots, "__array__") and not isinstance(pivots, type)
        ids = np.asarray(pivots if listed else elements(function, "pivots", pivots, rule))
    except ValueError:  # lists of different lengths
        refuse_kind(function, "pivots", f"be {rule}", pivots)
    if not ids.size:
        raise ValueError(f"{function}: pivots must hold at least one token; got none")
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise TypeError(f"{function}: pivots must be {rule}; got {ids.dtype} {ids.shape}")
    if ids.min() < 0 or ids.max() >= vocab_size:
        wrong = ids[(ids < 0) | (ids >= vocab_size)][0]
        raise IndexError(f"{function}: pivots must be tokens of the corpus, below {vocab_size}; got {wrong}")
    mask = np.zeros(vocab_size, dtype=bool)
    mask[ids] = True
    return mask


def _table_weights(function: str, pivots: Pivots, vocab_size: int) -> NDArray[np.float64]:
    """The sum of each pivot's scores in its table."""
    if not (isinstance(pivots, pa.Table) and "score" in pivots.column_names):
        refuse(function, "weights", "be given for the score 'weighted'", None)
    require_columns(function, "pivots", pivots, ("token_id", "score"))
    scores = np.asarray(pivots["score"].to_numpy(), np.float64)
    return np.bincount(pivots["token_id"].to_numpy(), weights=scores, minlength=vocab_size).astype(np.float64)


def _weights(function: str, weights: Weights, is_pivot: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The weight of each pivot, and 0 for all other tokens."""
    if isinstance(weights, Mapping):
        given = np.zeros(len(is_pivot))
        for token in np.flatnonzero(is_pivot).tolist():
            if token not in weights:
                raise ValueError(f"{function}: weights must hold every pivot; got none for {token}")
            weight = weights[token]
            if isinstance(weight, bool) or not isinstance(weight, Real):
                refuse_kind(function, "weights", "be numbers by token", weight)
            try:
                given[token] = float(weight)
            except OverflowError:  # an int beyond every float
                given[token] = np.inf
    else:
        given = _weight_array(function, weights)
        if given.shape != is_pivot.shape:
            raise ValueError(f"{function}: weights must have the shape {is_pivot.shape}; got {given.shape}")
    with np.errstate(over="ignore"):  # a weight beyond float32 becomes infinite and is refused
        kept = given.astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(kept))
    if len(wrong):
        value = shown(float(given[wrong[0]]))
        raise ValueError(f"{function}: weights must be finite in float32; got {value} for token {wrong[0]}")
    kept[~is_pivot] = 0
    return kept


def _weight_array(function: str, weights: Any) -> NDArray[Any]:
    rule = "be a mapping of token to weight, or numbers"
    if isinstance(weights, str | bytes | type) or not (hasattr(weights, "__array__") or isinstance(weights, Sequence)):
        refuse_kind(function, "weights", rule, weights)
    try:
        given = np.asarray(weights)
    except (TypeError, ValueError, RuntimeError):  # lists of different lengths; a tensor that is not in this memory
        refuse_kind(function, "weights", rule, weights)
    if given.dtype.kind not in "iuf":
        raise TypeError(f"{function}: weights must {rule}; got {given.dtype} {given.shape}")
    return given


def _compiled(function: str, score: Any) -> Callable[[Ids, Offsets, NDArray[np.float32]], NDArray[np.float64]]:
    """A loop over documents that calls ``score`` for each that has ids. Errors name ``function``."""
    import numba  # only when it is needed, because it takes a second to load

    each = _loop(score if hasattr(score, "py_func") else numba.njit(score))

    def scored(ids: Ids, offsets: Offsets, weights: NDArray[np.float32]) -> NDArray[np.float64]:
        scores = np.zeros(len(offsets) - 1)
        try:
            each(ids, offsets, weights, scores)
        except numba.core.errors.NumbaError as error:
            rule = "be a function of (ids, weights) to a float that Numba compiles"
            raise TypeError(f"{function}: score must {rule}; got another: {what_numba_said(error)}") from None
        except Exception as error:
            raise ValueError(f"{function}: score must not raise; got {error!r}"[:400]) from None
        return scores

    return scored


@functools.lru_cache(maxsize=8)  # compiled once for a function that scores again and again
def _loop(one: Any) -> Any:
    import numba

    @numba.njit(nogil=True)
    def each(ids, offsets, weights, scores):  # type: ignore[no-untyped-def]
        for document in range(len(scores)):
            begin, end = offsets[document], offsets[document + 1]
            if begin < end:
                scores[document] = one(ids[begin:end], weights)

    return each


def what_numba_said(error: Exception) -> str:
    """The first line of an error that tells something, without the colors of a terminal."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).splitlines()
    return next((line for line in lines if line and not line.startswith("Failed in ")), "")[:200]

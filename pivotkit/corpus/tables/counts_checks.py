"""What the fields of `Counts` must be: their kinds, and shapes that fit together."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy

from pivotkit.arguments import check_int, check_kind, check_strings, check_text, refuse_kind
from pivotkit.corpus.matching.normal_form import check_marks
from pivotkit.corpus.matching.word_languages import check_languages
from pivotkit.corpus.reading.units import any_overlap
from pivotkit.corpus.tables.postings import Postings
from pivotkit.corpus.tables.strata import StratumCounts


def check_counts(counts: Any) -> None:
    """Refuse fields of another kind, and arrays whose shapes do not fit together."""
    words = len(check_strings("Counts", "words", counts.words))
    pairs = len(counts.pairs) if getattr(counts.pairs, "ndim", 0) else 0
    for name, shape in {"df": (words,), "tf": (words,), "pairs": (pairs, 2), "pair_df": (pairs,)}.items():
        check_array(name, getattr(counts, name), shape)
    for name in ("documents", "skipped"):
        check_int("Counts", name, getattr(counts, name), 0)
    check_kind("Counts", "context", counts.context, scipy.sparse.csr_array, "a csr_array", none=True)
    if counts.background is not None:
        check_array("background", counts.background, (getattr(counts.background, "size", 0),))
    check_kind("Counts", "approximation", counts.approximation, dict, "a dict", none=True)
    check_text("Counts", "scope", counts.scope)
    check_strings("Counts", "units", counts.units)
    check_text("Counts", "tokenizer", counts.tokenizer, none=True)
    check_text("Counts", "language_table", counts.language_table, none=True)
    check_marks("Counts", counts.marks)
    check_kind("Counts", "postings", counts.postings, Postings, "Postings", none=True)
    check_languages("Counts", counts.languages, words)
    check_kind("Counts", "strata", counts.strata, StratumCounts, "StratumCounts", none=True)
    if counts.strata is not None:
        columns = (0 if counts.background is None else len(counts.background)) + words + 1
        if counts.strata.table.shape != (len(counts.strata.strata), columns):
            shape = (len(counts.strata.strata), columns)
            raise ValueError(f"Counts: strata must have a table of shape {shape}; got {counts.strata.table.shape}")
    if counts.context is not None and counts.background is None:
        raise ValueError("Counts: context must come with background; got it alone")
    if counts.context is not None and counts.context.shape != (words, len(counts.background)):
        shape = (words, len(counts.background))
        raise ValueError(f"Counts: context must have shape {shape}; got {counts.context.shape}")


def check_array(name: str, value: Any, shape: tuple[int, ...]) -> None:
    """Refuse what is no array of integers of that shape."""
    if not isinstance(value, np.ndarray):
        refuse_kind("Counts", name, "be an array of integers", value)
    if value.dtype.kind not in "iu":
        raise TypeError(f"Counts: {name} must be an array of integers; got {value.dtype}")
    if value.shape != shape:
        raise ValueError(f"Counts: {name} must have shape {shape}; got {value.shape}")


def check_mergeable(one: Any, other: Any) -> None:
    """Refuse counts that do not add up: of other words or in another way, and of parts of the corpus that overlap."""
    for name in ("words", "languages", "language_table", "marks", "scope", "tokenizer"):
        if getattr(one, name) != getattr(other, name):
            raise ValueError(f"merge: other must have the same {name}; got others")
    if not np.array_equal(one.pairs, other.pairs):
        raise ValueError("merge: other must have the same pairs; got others")
    if (one.context is None) != (other.context is None):
        raise ValueError("merge: other must have a context table too; got one without")
    if one.context is not None and one.context.shape != other.context.shape:
        raise ValueError(f"merge: other must have context shape {one.context.shape}; got {other.context.shape}")
    if one.strata is not None or other.strata is not None:
        mine, theirs = (None if counts.strata is None else counts.strata.strata for counts in (one, other))
        if mine != theirs:
            raise ValueError("merge: other must have the same strata (count with the edges of one); got others")
    for which, counts in (("self", one), ("other", other)):
        if counts.approximation is not None:
            raise ValueError(f"merge: {which} must have an exact context (count the whole together); got a sampled one")
    units, others = set(one.units), set(other.units)
    if units & others:
        if not (others <= units or units <= others):
            raise ValueError(f"merge: other must share no work units or all; got {len(units & others)} in common")
    elif any_overlap(units, others):
        raise ValueError("merge: other must share no part of a file cut into other units; got one that does")

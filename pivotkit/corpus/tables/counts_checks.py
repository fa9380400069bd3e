"""What the fields of `Counts` must be: their kinds, and shapes that fit together."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array

from pivotkit.arguments import check_int, check_kind, check_strings, check_text, refuse_kind
from pivotkit.corpus.matching.normal_form import check_marks
from pivotkit.corpus.tables.postings import Postings


def check_counts(counts: Any) -> None:
    """Refuse fields of another kind, and arrays whose shapes do not fit together."""
    words = len(check_strings("Counts", "words", counts.words))
    pairs = len(counts.pairs) if getattr(counts.pairs, "ndim", 0) else 0
    for name, shape in {"df": (words,), "tf": (words,), "pairs": (pairs, 2), "pair_df": (pairs,)}.items():
        check_array(name, getattr(counts, name), shape)
    for name in ("documents", "skipped"):
        check_int("Counts", name, getattr(counts, name), 0)
    check_kind("Counts", "context", counts.context, csr_array, "a csr_array", none=True)
    if counts.background is not None:
        check_array("background", counts.background, (getattr(counts.background, "size", 0),))
    check_kind("Counts", "approximation", counts.approximation, dict, "a dict", none=True)
    check_text("Counts", "scope", counts.scope)
    check_strings("Counts", "units", counts.units)
    check_text("Counts", "tokenizer", counts.tokenizer, none=True)
    check_marks("Counts", counts.marks)
    check_kind("Counts", "postings", counts.postings, Postings, "Postings", none=True)
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

"""What `causal_test` refuses of its arguments."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit.arguments import check_kind, check_strings, elements, refuse, refuse_kind, shown


def known_names(argument: str, given: Sequence[str], known: Sequence[str]) -> list[str]:
    """The different names of ``given``, which must be of ``known``."""
    found = list(dict.fromkeys(check_strings("causal_test", argument, given)))
    for name in found:
        if name not in known:
            raise ValueError(f"causal_test: {argument} must be of {', '.join(known)}; got {shown(name)}")
    if not found:
        raise ValueError(f"causal_test: {argument} must be at least one of {', '.join(known)}; got none")
    return found


def checked_strengths(given: Iterable[float]) -> list[float]:
    """The strengths as floats; refuses what is no finite number other than 0."""
    found = elements("causal_test", "strengths", given, "a sequence of numbers")
    for one in found:
        if isinstance(one, bool) or not isinstance(one, Real):
            refuse_kind("causal_test", "strengths", "hold numbers", one)
        if not (math.isfinite(float(one)) and float(one)):
            refuse("causal_test", "strengths", "be finite and not 0", one)
    return [float(one) for one in found]


def checked_frequencies(given: Any) -> NDArray[np.float64] | None:
    """The frequencies in float64; refuses what is no array (V,) of finite numbers."""
    if given is None:
        return None
    check_kind("causal_test", "frequencies", given, np.ndarray, "a NumPy array of numbers", none=True)
    if given.ndim != 1 or given.dtype.kind not in "iuf":
        refuse("causal_test", "frequencies", "be a NumPy array (V,) of numbers", given)
    if not np.isfinite(given).all():
        refuse("causal_test", "frequencies", "be finite", given)
    found: NDArray[np.float64] = given.astype(np.float64)
    return found


def tested_layers(wanted: Sequence[int] | None, pivots: pa.Table, last: int) -> list[int]:
    """The layers to test, ascending; refuses those that the model lacks, in either argument."""
    held = pivots["layer"].to_pylist()
    for argument, given in (("layers", wanted or ()), ("pivots", held)):
        for layer in given:
            if layer is None or not 0 <= layer <= last:
                raise ValueError(f"causal_test: {argument} must have layers from 0 to {last}; got {layer}")
    return sorted({int(layer) for layer in (held if wanted is None else wanted)})


def check_pivots(pivots: pa.Table, items: pa.Table, vocabulary: int) -> None:
    """Refuse pivots of unknown items, tokens outside the vocabulary, and two of one item, layer and class."""
    for name in ("layer", "token_id"):
        kind = pivots.schema.field(name).type
        if not (pa.types.is_integer(kind) or pa.types.is_null(kind)):
            raise TypeError(f"causal_test: pivots must have integers in the column {name}; got {kind}")
    known = set(items["item"].to_pylist())
    if len(known) != items.num_rows:
        raise ValueError("causal_test: items must each be there once; got two of one number")
    kinds = pivots["class"].to_pylist() if "class" in pivots.column_names else [None] * pivots.num_rows
    seen = set()
    for item, layer, token, kind in zip(
        pivots["item"].to_pylist(), pivots["layer"].to_pylist(), pivots["token_id"].to_pylist(), kinds, strict=True
    ):
        if item not in known:
            raise ValueError(f"causal_test: pivots must be of items that are given; got item {item}")
        if token is None or not 0 <= token < vocabulary:
            raise IndexError(f"causal_test: pivots must have tokens from 0 to {vocabulary - 1}; got {token}")
        if (item, layer, kind) in seen:
            raise ValueError(
                f"causal_test: pivots must hold one token per item, layer and class; got two of item {item}, layer "
                f"{layer}{'' if kind is None else f', {kind}'}"
            )
        seen.add((item, layer, kind))

"""Tokens that are specific to an item: what a layer shows for it and not for the others."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pyarrow as pa

from pivotkit.lens.specific_tokens import LEAST_CONTRAST, LEAST_PROBABILITY


def specific(contrasts: Sequence[float], logprobs: Sequence[float]) -> list[int]:
    """Places of the tokens whose contrast and probability are large enough; the shorter sequence decides how many."""
    pairs = zip(contrasts, logprobs, strict=False)
    return [
        at for at, (contrast, logprob) in enumerate(pairs)
        if contrast >= LEAST_CONTRAST and math.exp(logprob) >= LEAST_PROBABILITY
    ]  # fmt: skip


def specific_places(traces: pa.Table) -> list[list[int] | None]:
    """The places of specific tokens among the top tokens of every row; None for a row without contrasts."""
    if "top_contrasts" not in traces.column_names:
        return [None] * traces.num_rows
    columns = (traces[name].to_pylist() for name in ("top_contrasts", "top_logprobs"))
    return [
        None if contrasts is None else specific(contrasts, logprobs)
        for contrasts, logprobs in zip(*columns, strict=True)
    ]

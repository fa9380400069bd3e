"""The native unembedding of CPU arrays: exact, and certified with an exact answer for every row that lacks a proof."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pivotkit import _C
from pivotkit.kernels.arrays import bits, float_name, is_torch
from pivotkit.kernels.quantized import Quantized
from pivotkit.kernels.request import UnembedRequest

_FALLBACK_BYTES = 16 << 20  # of hidden rows that are copied together to be answered exactly
_SCREEN_ALWAYS = False  # also where it would lose time; for tests


def unembed(request: UnembedRequest, quantized: Quantized | None = None) -> dict[str, Any]:
    """One native call on the memory of the request's arrays; screens in int8 where ``quantized`` is given.

    Returns
    -------
    dict
        NumPy arrays by the names of ``Unembedded``, and ``isa``.
    """
    hidden, weight, bias, table = request.hidden, request.weight, request.bias, request.token_sets
    if bias is not None and is_torch(bias):
        bias = bias.cpu().contiguous().numpy()
    return dict(
        _C.unembed(
            bits(hidden), float_name(hidden), bits(weight), float_name(weight), request.k, bias, request.logit_scale,
            request.softcap or 0.0, request.targets, table.ids if table else None, table.offsets if table else None,
            table.sets if table else 0, table.shared if table else False, request.entropy, request.threads, "",
            request.workspace, quantized=quantized, references=request.references, screen_always=_SCREEN_ALWAYS,
        )
    )  # fmt: skip


def unembed_certified(request: UnembedRequest, quantized: Quantized, tolerance: float | None) -> dict[str, Any]:
    """Screen all rows, then answer exactly those without a proof and those whose bound is above ``tolerance``."""
    arrays = unembed(request, quantized)
    arrays["certified"] = arrays["certified"].astype(bool)
    if tolerance is not None:
        arrays["certified"] &= arrays["logsumexp_error"] <= tolerance
    again = np.flatnonzero(~arrays["certified"])
    row_bytes = request.hidden.shape[1] * bits(request.hidden).itemsize
    step = max(1, _FALLBACK_BYTES // row_bytes)
    for at in range(0, again.size, step):
        some = again[at : at + step]
        redone = unembed(_rows_of(request, some, request.workspace - min(step, again.size) * row_bytes))
        for name in ("ids", "logits", "logsumexp", "target_logits", "target_ranks", "set_logprobs"):
            arrays[name][some] = redone[name]
        arrays["logsumexp_error"][some] = 0.0
    return arrays


def _rows_of(request: UnembedRequest, rows: Any, workspace: int) -> UnembedRequest:
    """The same request for some of its rows, with another workspace."""
    table = request.token_sets
    return replace(
        request,
        hidden=request.hidden[rows],
        targets=None if request.targets is None else request.targets[rows],
        token_sets=table if table is None or table.shared else table.take(rows),
        workspace=workspace,
    )

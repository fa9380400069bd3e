"""The native unembedding on NumPy views of CPU arrays: exact, and certified with exact fall-back row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pivotkit import _C
from pivotkit.kernels.token_sets import TokenSetTable

_FALLBACK_BYTES = 16 << 20


@dataclass(frozen=True)
class Head:
    """The matrix as its bits and what turns products into logits."""

    weight: NDArray[Any]
    weight_type: str
    bias: NDArray[np.float32] | None
    logit_scale: float
    softcap: float


def exact(
    rows: NDArray[Any],
    rows_type: str,
    head: Head,
    k: int,
    targets: NDArray[np.int64] | None,
    table: TokenSetTable | None,
    entropy: bool,
    threads: int,
    workspace: int,
    quantized: Any | None = None,
    references: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """One native call; ``pivotkit.kernels.unembed`` checks and shapes the arguments."""
    return dict(
        _C.unembed(
            rows, rows_type, head.weight, head.weight_type, k, head.bias, head.logit_scale, head.softcap, targets,
            table.ids if table else None, table.offsets if table else None, table.sets if table else 0,
            table.shared if table else False, entropy, threads, "", workspace, quantized=quantized, references=references,
        )
    )  # fmt: skip


def certified(
    rows: NDArray[Any],
    rows_type: str,
    head: Head,
    k: int,
    targets: NDArray[np.int64] | None,
    table: TokenSetTable | None,
    threads: int,
    workspace: int,
    quantized: Any,
    tolerance: float | None,
) -> dict[str, Any]:
    """Screen all rows; answer those without a certificate, or with a wider bound than wanted, exactly."""
    arrays = exact(rows, rows_type, head, k, targets, table, False, threads, workspace, quantized)
    arrays["certified"] = arrays["certified"].astype(bool)
    if tolerance is not None:
        arrays["certified"] &= arrays["logsumexp_error"] <= tolerance
    again = np.flatnonzero(~arrays["certified"])
    step = max(1, _FALLBACK_BYTES // (rows.shape[1] * rows.itemsize))
    for at in range(0, again.size, step):
        here = again[at : at + step]
        some = table if table is None or table.shared else table.take(here.tolist())
        redone = exact(
            rows[here], rows_type, head, k, None if targets is None else targets[here], some, False, threads,
            workspace - min(step, again.size) * rows.shape[1] * rows.itemsize,
        )  # fmt: skip
        for name in ("ids", "logits", "logsumexp", "target_logits", "target_ranks", "set_logprobs"):
            arrays[name][here] = redone[name]
        arrays["logsumexp_error"][here] = 0.0
    return arrays

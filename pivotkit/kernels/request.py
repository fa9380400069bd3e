"""One call of the unembedding, checked and flattened: what every backend takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pivotkit.arguments import elements
from pivotkit.kernels.arrays import check_float, integers, is_torch
from pivotkit.kernels.token_sets import TokenSetTable

#: Bytes that one call may allocate beyond its outputs, whatever the number of rows, ids and threads.
WORKSPACE = 64 << 20


@dataclass(eq=False, slots=True)
class UnembedRequest:
    """The arguments of one call; the Python twin of ``UnembedRequest`` in csrc/unembed/unembed.h.

    ``pivotkit.kernels.unembed`` checks and flattens what it puts here, so a backend need not check shapes or types.

    Attributes
    ----------
    hidden : (M, D) float32, bfloat16 or float16, torch or NumPy
        Rows to unembed.
    weight : (V, D) float32, bfloat16 or float16, torch or NumPy
        The unembedding matrix, on the device of ``hidden``.
    k : int
        Entries to keep per row.
    bias : (V,) float32 of the same library, or None
    logit_scale : float, default 1
    softcap : float or None
    targets : (M, T) int64, or None
        Ids whose logit and rank to report.
    token_sets : TokenSetTable or None
        Sets whose joint log-probability to report.
    references : (M,) int64, or None
        The row of ``hidden`` that each row is compared with.
    entropy : bool, default False
        Whether to report the entropy.
    threads : int, default 1
        Threads of the native CPU code.
    workspace : int, default WORKSPACE
        Bytes that the call may allocate beyond its outputs.
    """

    hidden: Any
    weight: Any
    k: int
    bias: Any | None = None
    logit_scale: float = 1.0
    softcap: float | None = None
    targets: NDArray[np.int64] | None = None
    token_sets: TokenSetTable | None = None
    references: NDArray[np.int64] | None = None
    entropy: bool = False
    threads: int = 1
    workspace: int = WORKSPACE

    def __repr__(self) -> str:
        shapes = f"hidden={tuple(self.hidden.shape)}, weight={tuple(self.weight.shape)}"
        return f"UnembedRequest({shapes}, k={self.k}, workspace={self.workspace})"


def flat_targets(function: str, targets: Any | None, shape: tuple[int, ...]) -> NDArray[np.int64] | None:
    """Targets of every row, (M, T) for rows of ``shape``."""
    if targets is None:
        return None
    ids = integers(function, "targets", targets)
    if not ids.ndim or (ids.ndim != 1 and ids.shape[:-1] != shape):
        raise ValueError(f"{function}: targets must be (T,) or (*{shape}, T); got {ids.shape}")
    if ids.ndim == 1:
        ids = np.broadcast_to(ids, (*shape, ids.shape[0]))
    return np.ascontiguousarray(ids.reshape(math.prod(shape), ids.shape[-1]))


def flat_references(function: str, references: Any | None, shape: tuple[int, ...]) -> NDArray[np.int64] | None:
    """The reference of every row, (M,) for rows of ``shape``."""
    if references is None:
        return None
    rows, count = integers(function, "references", references), math.prod(shape)
    if rows.shape not in (shape, (count,)):
        raise ValueError(f"{function}: references must be {shape} or ({count},); got {rows.shape}")
    return np.ascontiguousarray(rows.reshape(count))


def token_set_table(
    function: str, token_sets: TokenSetTable | Sequence[Iterable[int]] | None, rows: int
) -> TokenSetTable | None:
    """Token sets as a table that fits the number of rows."""
    if token_sets is None:
        return None
    if isinstance(token_sets, TokenSetTable):
        table = token_sets
    else:
        rule = "a TokenSetTable or lists of ids"
        sets = [
            elements(function, "token_sets", one, rule) for one in elements(function, "token_sets", token_sets, rule)
        ]
        for one in sets:
            integers(function, "token_sets", one)
        table = TokenSetTable.of_all(sets)
    if table.rows is not None and table.rows != rows:
        raise ValueError(f"{function}: token_sets must have sets for {rows} rows; got {table.rows}")
    return table


def float32_bias(function: str, bias: Any | None, vocabulary: int) -> Any | None:
    """The bias in float32; a tensor stays on its device."""
    if bias is None:
        return None
    check_float(function, "bias", bias)
    if tuple(bias.shape) != (vocabulary,):
        raise ValueError(f"{function}: bias must be ({vocabulary},); got {tuple(bias.shape)}")
    return bias.detach().float() if is_torch(bias) else np.ascontiguousarray(bias, dtype=np.float32)

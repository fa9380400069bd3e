"""The standard error of a sampled context table."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy


def standard_error(
    context: scipy.sparse.csr_array, df: npt.NDArray[np.int64], size: int | None
) -> scipy.sparse.csr_array:
    """`Counts.context_error` of a table from ``size`` documents per word; None: from all, without error."""
    if size is None:
        return scipy.sparse.csr_array((np.zeros(context.nnz), context.indices, context.indptr), shape=context.shape)
    lengths = np.diff(context.indptr)
    of = np.repeat(df, lengths).astype(np.float64)
    share = np.minimum(context.data / np.maximum(of, 1), 1)
    unseen = np.maximum(0, 1 - size / np.maximum(of, 1))
    error = of * np.sqrt(share * (1 - share) / max(size - 1, 1) * unseen)
    return scipy.sparse.csr_array((error, context.indices, context.indptr), shape=context.shape)

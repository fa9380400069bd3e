"""How far the cells of a sampled context table can be off."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array


def standard_error(context: csr_array, df: npt.NDArray[np.int64], size: int) -> csr_array:
    """The standard error of each cell of a sampled table: `Counts.context_error`."""
    lengths = np.diff(context.indptr)
    of = np.repeat(df, lengths).astype(np.float64)
    share = np.minimum(context.data / np.maximum(of, 1), 1)
    unseen = np.maximum(0, 1 - size / np.maximum(of, 1))
    error = of * np.sqrt(share * (1 - share) / max(size - 1, 1) * unseen)
    return csr_array((error, context.indices, context.indptr), shape=context.shape)

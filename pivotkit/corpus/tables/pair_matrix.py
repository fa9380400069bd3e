"""The counts of listed pairs as a sparse matrix."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy


def pair_matrix(
    pairs: npt.NDArray[np.int32], pair_df: npt.NDArray[np.int64], df: npt.NDArray[np.int64]
) -> scipy.sparse.csr_array:
    """A symmetric matrix (W, W) with ``pair_df`` at both places of each pair and ``df`` on the diagonal."""
    size = len(df)
    one, other = pairs[:, 0].astype(np.int64), pairs[:, 1].astype(np.int64)
    cells, first = np.unique(np.concatenate([one * size + other, other * size + one]), return_index=True)
    counts = np.concatenate([pair_df, pair_df])[first]
    apart = cells // size != cells % size
    rows = np.concatenate([cells[apart] // size, np.arange(size)])
    columns = np.concatenate([cells[apart] % size, np.arange(size)])
    return scipy.sparse.csr_array((np.concatenate([counts[apart], df]), (rows, columns)), shape=(size, size))

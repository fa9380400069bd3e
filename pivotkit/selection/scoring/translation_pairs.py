"""How many pairs of words have both words in a document."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy

from pivotkit.artifacts import require_columns
from pivotkit.corpus.matching.match import Matches
from pivotkit.corpus.matching.watchlist import WatchList

FIELD = pa.field("translation_pairs", pa.int32())


class TranslationPairs:
    """Counts pairs in documents whose words are known, unit by unit."""

    def __init__(self, hits: Matches, pairs: pa.Table | Iterable[tuple[str, str]]) -> None:
        self._hits = hits
        self._matrix = _pair_matrix(hits.words, pairs)
        encoded = pc.run_end_encode(hits.documents["unit"].combine_chunks(), run_end_type=pa.int64())
        ends = encoded.run_ends.to_pylist()
        self._begins = dict(zip(encoded.values.to_pylist(), [0, *ends[:-1]] if ends else [], strict=True))

    def identity(self) -> str:
        """A digest of what the counts depend on."""
        digest = hashlib.sha256("\n".join(self._hits.words).encode())
        rows = self._hits.documents["row"].to_numpy()
        for array in (rows, self._hits.hits.indptr, self._hits.hits.indices, self._matrix.indptr, self._matrix.indices):
            digest.update(np.ascontiguousarray(array, np.int64).tobytes())
        return digest.hexdigest()

    def count(self, unit: str, first: int, rows: pa.ChunkedArray) -> pa.Array:
        """The pairs of documents of a unit that stand in these rows, the first of them at the place ``first`` there."""
        begin = self._begins.get(unit, self._hits.documents.num_rows) + first
        matched = self._hits.documents.slice(begin, len(rows))
        if set(matched["unit"].to_pylist()) - {unit} or matched["row"].to_pylist() != rows.to_pylist():
            told = f"be of the same documents as the store; they differ in unit {unit}"
            raise ValueError(f"score_documents: hits must {told}")
        present = self._hits.hits[begin : begin + len(rows)].astype(bool).astype(np.int32)
        both = (present @ self._matrix).multiply(present).sum(axis=1)
        return pa.array(np.asarray(both).ravel().astype(np.int32))

    def check(self, documents: int) -> None:
        """Refuse hits of another number of documents than the corpus has."""
        if self._hits.documents.num_rows != documents:
            told = f"the store's {documents} documents; got {self._hits.documents.num_rows}"
            raise ValueError(f"score_documents: hits must be of {told}")


def _pair_matrix(words: Sequence[str], pairs: pa.Table | Iterable[tuple[str, str]]) -> scipy.sparse.csr_array:
    """A matrix (W, W) with a 1 for each distinct pair, whichever way round it was listed."""
    if isinstance(pairs, pa.Table):
        require_columns("score_documents", "pairs", pairs, ("source", "target"))
        pairs = zip(pairs["source"].to_pylist(), pairs["target"].to_pylist(), strict=True)
    listed = list(pairs)
    watched = WatchList(words)
    unknown = next((word for pair in listed for word in pair if word not in watched), None)
    if unknown is not None:
        raise ValueError(f"score_documents: pairs must be of words that hits watched; got {unknown!r}")
    places = {tuple(sorted((watched.id(source), watched.id(target)))) for source, target in listed}
    rows, columns = np.array(sorted(places), dtype=np.int64).reshape(-1, 2).T
    return scipy.sparse.csr_array((np.ones(len(rows), np.int32), (rows, columns)), shape=(len(words), len(words)))

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
from pivotkit.selection.scoring.behaviors import BEHAVIOR_PAIRS, Behaviors

NAME = "score_documents"  # that errors name
FIELD = pa.field("translation_pairs", pa.int32())
BEHAVIOR_FIELD = pa.field(BEHAVIOR_PAIRS, pa.int32())


class TranslationPairs:
    """Counts pairs in documents whose words are known, unit by unit.

    Attributes
    ----------
    fields : list of pyarrow.Field
        What is counted: all pairs, and with ``behaviors`` those of the items that ask for both words.
    """

    def __init__(
        self, hits: Matches, pairs: pa.Table | Iterable[tuple[str, str]], behaviors: Behaviors | None = None
    ) -> None:
        self._hits = hits
        self.fields, self._matrices = [FIELD], [_pair_matrix(hits.words, pairs)]
        if behaviors is not None:
            self.fields.append(BEHAVIOR_FIELD)
            self._matrices.append(_pair_matrix(hits.words, _asked_pairs(pairs, behaviors)))
        encoded = pc.run_end_encode(hits.documents["unit"].combine_chunks(), run_end_type=pa.int64())
        ends = encoded.run_ends.to_pylist()
        self._begins = dict(zip(encoded.values.to_pylist(), [0, *ends[:-1]] if ends else [], strict=True))

    def identity(self) -> str:
        """A digest of what the counts depend on."""
        digest = hashlib.sha256("\n".join(self._hits.words).encode())
        rows = self._hits.documents["row"].to_numpy()
        matrices = (self._hits.hits, *self._matrices)
        for array in (rows, *(part for one in matrices for part in (one.indptr, one.indices))):
            digest.update(np.ascontiguousarray(array, np.int64).tobytes())
        return digest.hexdigest()

    def count(self, unit: str, first: int, rows: pa.ChunkedArray) -> list[pa.Array]:
        """The pairs of documents of a unit that stand in these rows, the first of them at the place ``first`` there.

        One array for each of ``fields``.
        """
        begin = self._begins.get(unit, self._hits.documents.num_rows) + first
        matched = self._hits.documents.slice(begin, len(rows))
        if set(matched["unit"].to_pylist()) - {unit} or matched["row"].to_pylist() != rows.to_pylist():
            told = f"be of the same documents as the store; they differ in unit {unit}"
            raise ValueError(f"{NAME}: hits must {told}")
        present = self._hits.hits[begin : begin + len(rows)].astype(bool).astype(np.int32)
        sums = [(present @ matrix).multiply(present).sum(axis=1) for matrix in self._matrices]
        return [pa.array(np.asarray(both).ravel().astype(np.int32)) for both in sums]

    def check(self, documents: int) -> None:
        """Refuse hits of another number of documents than the corpus has."""
        if self._hits.documents.num_rows != documents:
            told = f"the store's {documents} documents; got {self._hits.documents.num_rows}"
            raise ValueError(f"{NAME}: hits must be of {told}")


def _asked_pairs(pairs: pa.Table | Iterable[tuple[str, str]], behaviors: Behaviors) -> pa.Table:
    """The pairs of the items that ask for both words."""
    if not isinstance(pairs, pa.Table) or "item" not in pairs.column_names:
        raise ValueError(f"{NAME}: pairs must be a table with the column item for the column 'behavior'; got none")
    require_columns(NAME, "pairs", pairs, ("item", "source", "target"))
    return pairs.filter(pa.array(behaviors.rows_for(NAME, "pairs", pairs, BEHAVIOR_PAIRS)))


def _pair_matrix(words: Sequence[str], pairs: pa.Table | Iterable[tuple[str, str]]) -> scipy.sparse.csr_array:
    """A matrix (W, W) with a 1 for each distinct pair, whichever way round it was listed."""
    if isinstance(pairs, pa.Table):
        require_columns(NAME, "pairs", pairs, ("source", "target"))
        pairs = zip(pairs["source"].to_pylist(), pairs["target"].to_pylist(), strict=True)
    listed = list(pairs)
    watched = WatchList(words)
    unknown = next((word for pair in listed for word in pair if word not in watched), None)
    if unknown is not None:
        raise ValueError(f"{NAME}: pairs must be of words that hits watched; got {unknown!r}")
    places = {tuple(sorted((watched.id(source), watched.id(target)))) for source, target in listed}
    rows, columns = np.array(sorted(places), dtype=np.int64).reshape(-1, 2).T
    return scipy.sparse.csr_array((np.ones(len(rows), np.int32), (rows, columns)), shape=(len(words), len(words)))

"""How much of each document are pivots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pivotkit.artifacts import require_columns, with_metadata
from pivotkit.progress import track

if TYPE_CHECKING:
    from pivotkit.corpus.matching.match import Matches
    from pivotkit.corpus.reading.token_store import TokenStore

BLOCK_TOKENS = 1 << 22  # looked up at once, so that memory does not grow with the size of a file


def score_documents(
    store: TokenStore,
    pivots: pa.Table | Sequence[int] | NDArray[np.integer],
    *,
    hits: Matches | None = None,
    pairs: pa.Table | Iterable[tuple[str, str]] | None = None,
) -> pa.Table:
    """Score each document of a token store by the share of its tokens that are pivots.

    Formula: ``score = (number of tokens in the pivot set) / (number of tokens)``, 0 for a document without tokens.

    Parameters
    ----------
    store : pivotkit.corpus.reading.token_store.TokenStore
    pivots : pyarrow.Table or sequence of int
        The pivot set: token ids, or a table of pivots or hubs with the column ``token_id``. A token counts once, however
        often it is listed.
    hits : pivotkit.corpus.matching.match.Matches, optional
        Which watch words occur in the same documents.
    pairs : pyarrow.Table or pairs of str, optional
        With ``hits``: the word pairs to count, as pairs or as the columns ``source`` and ``target``. A pair and its
        reverse are one.

    Returns
    -------
    pyarrow.Table
        ``unit string, row int64, id string, tokens int32, pivots int32, score float64, lang string`` in the order of the
        store; with ``hits`` also ``translation_pairs int32``: how many of the pairs have both words in the document.

    Raises
    ------
    IndexError
        When a pivot is no token of the store.
    ValueError
        When there are no pivots, ``hits`` and ``pairs`` do not come together, ``hits`` are of other documents, or a word
        of ``pairs`` was not watched.

    Notes
    -----
    One look-up per token over the mapped ids, in blocks; no loop over documents. The share is that of arXiv 2505.16385,
    which takes documents with a high proportion of pivot tokens. It is highest for short documents of the majority
    language: rank within languages (`pivotkit.selection.select.select`).
    """
    wanted = _pivot_mask(pivots, store.vocab_size)
    if (hits is None) != (pairs is None):
        raise ValueError("score_documents: hits and pairs must be given together; got one of them")
    pair_matrix = None if hits is None or pairs is None else _pair_matrix(hits.words, pairs)
    tables = [_EMPTY if hits is None else _EMPTY.append_column("translation_pairs", pa.array([], pa.int32()))]
    done = 0
    for unit in track(store.units, "scoring documents"):
        listed, offsets = store.table(unit), store.offsets(unit)
        tokens = np.diff(offsets)
        found = count_members(store.ids(unit), offsets, wanted)
        columns = {
            "unit": pa.array([unit.name] * len(tokens), pa.string()),
            "row": listed["row"],
            "id": listed["id"],
            "tokens": pa.array(tokens.astype(np.int32)),
            "pivots": pa.array(found.astype(np.int32)),
            "score": pa.array(np.divide(found, tokens, out=np.zeros(len(tokens)), where=tokens > 0)),
            "lang": listed["lang"],
        }
        if hits is not None and pair_matrix is not None:
            _check_same(hits.documents.slice(done, len(tokens)), unit.name, listed["row"])
            present = hits.hits[done : done + len(tokens)].astype(bool).astype(np.int32)
            both = (present @ pair_matrix).multiply(present).sum(axis=1)
            columns["translation_pairs"] = pa.array(np.asarray(both).ravel().astype(np.int32))
        tables.append(pa.table(columns))
        done += len(tokens)
    if hits is not None and hits.documents.num_rows != done:
        raise ValueError(
            f"score_documents: hits must be of the store's {done} documents; got {hits.documents.num_rows}"
        )
    return with_metadata(pa.concat_tables(tables), {"pivots": int(wanted.sum()), "tokenizer": store.fingerprint})


_EMPTY = pa.schema(
    [("unit", pa.string()), ("row", pa.int64()), ("id", pa.string()), ("tokens", pa.int32()), ("pivots", pa.int32()),
     ("score", pa.float64()), ("lang", pa.string())]
).empty_table()  # fmt: skip


def count_members(ids: NDArray[np.uint32], offsets: NDArray[np.int64], members: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many ids of each document are members.

    Equivalent: ``[members[ids[a:b]].sum() for a, b in zip(offsets, offsets[1:])]``.

    Parameters
    ----------
    ids : uint32 (T,)
        Of all documents, back to back.
    offsets : int64 (N + 1,)
        Where each document begins, and the end of the last.
    members : bool (V,)

    Returns
    -------
    int64 (N,)

    Examples
    --------
    >>> members = np.array([False, True, True])
    >>> count_members(np.array([0, 1, 2, 1], np.uint32), np.array([0, 2, 2, 4]), members).tolist()
    [1, 0, 2]
    """
    counts = np.zeros(len(offsets) - 1, dtype=np.int64)
    begin = 0
    while begin < len(counts):
        # whole documents of about BLOCK_TOKENS, at least one
        end = int(np.searchsorted(offsets, offsets[begin] + BLOCK_TOKENS, side="right")) - 1
        end = min(max(end, begin + 1), len(counts))
        starts = offsets[begin:end] - offsets[begin]
        flags = members[ids[offsets[begin] : offsets[end]]].view(np.uint8)
        filled = np.flatnonzero(np.diff(offsets[begin : end + 1]))  # reduceat has no empty segments
        if len(filled):
            counts[begin + filled] = np.add.reduceat(flags, starts[filled], dtype=np.int64)
        begin = end
    return counts


def _pivot_mask(pivots: pa.Table | Sequence[int] | NDArray[np.integer], vocab_size: int) -> NDArray[np.bool_]:
    if isinstance(pivots, pa.Table):
        require_columns("score_documents", "pivots", pivots, ("token_id",))
        pivots = pivots["token_id"].to_numpy()
    ids = np.asarray(pivots)
    if not ids.size:
        raise ValueError("score_documents: pivots must hold at least one token; got none")
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise TypeError(f"score_documents: pivots must be a table or a list of token ids; got {ids.dtype} {ids.shape}")
    if ids.min() < 0 or ids.max() >= vocab_size:
        wrong = ids[(ids < 0) | (ids >= vocab_size)][0]
        raise IndexError(f"score_documents: pivots must be tokens of the store, below {vocab_size}; got {wrong}")
    mask = np.zeros(vocab_size, dtype=bool)
    mask[ids] = True
    return mask


def _pair_matrix(words: Sequence[str], pairs: pa.Table | Iterable[tuple[str, str]]) -> csr_array:
    """(W, W), 1 at each pair once; the pairs' words in the form in which a watch list keeps them."""
    from pivotkit.corpus.matching.watchlist import WatchList

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
    return csr_array((np.ones(len(rows), np.int32), (rows, columns)), shape=(len(words), len(words)))


def _check_same(matched: pa.Table, unit: str, rows: pa.ChunkedArray) -> None:
    if set(matched["unit"].to_pylist()) - {unit} or matched["row"].to_pylist() != rows.to_pylist():
        raise ValueError(
            f"score_documents: hits must be of the same documents as the store; they differ in unit {unit}"
        )

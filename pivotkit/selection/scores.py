"""The share of each document's tokens that are pivots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pivotkit.arguments import check_word_pairs, elements, kind, refuse_kind
from pivotkit.artifacts import require_columns, with_metadata
from pivotkit.corpus.matching.match import Matches
from pivotkit.corpus.matching.watchlist import WatchList
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.reading.token_store import TokenStore
from pivotkit.corpus.reading.units import Unit
from pivotkit.progress import track

SCHEMA = pa.schema(
    [("unit", pa.string()), ("row", pa.int64()), ("id", pa.string()), ("tokens", pa.int32()), ("pivots", pa.int32()),
     ("score", pa.float64()), ("lang", pa.string())]
)  # fmt: skip
PAIRS = pa.field("translation_pairs", pa.int32())


def score_documents(
    corpus: TokenStore | TokenFiles,
    pivots: pa.Table | Sequence[int] | NDArray[np.integer],
    *,
    hits: Matches | None = None,
    pairs: pa.Table | Iterable[tuple[str, str]] | None = None,
) -> pa.Table:
    """Score each document of a token corpus by the share of its tokens that are pivots.

    Formula: ``score = (number of tokens in the pivot set) / (number of tokens)``, and 0 for a document without tokens.

    Parameters
    ----------
    corpus : TokenStore or TokenFiles
    pivots : pyarrow.Table or sequence of int
        The pivot set: token ids, or a table of pivots or hubs with the column ``token_id``. A token counts once,
        however often it is listed.
    hits : Matches, optional
        Which watch words occur in the same documents; for a `TokenStore` only.
    pairs : pyarrow.Table or pairs of str, optional
        With ``hits``: the word pairs to count, as pairs or as the columns ``source`` and ``target``. A pair and its
        reverse are one.

    Returns
    -------
    pyarrow.Table
        One row per document, in the order of the corpus: ``unit string, row int64, id string, tokens int32, pivots
        int32, score float64, lang string``. With ``hits`` also ``translation_pairs int32``: how many of the pairs have
        both words in the document. Token files know neither ids nor languages, so ``id`` and ``lang`` are null for
        `TokenFiles`; ``row`` is the document's place in the file.

    Raises
    ------
    IndexError
        When a pivot is not below the corpus's ``vocab_size``.
    TypeError
        When ``corpus`` is neither a store nor files, and when another argument is of another kind.
    ValueError
        When there are no pivots, when ``hits`` and ``pairs`` do not come together or come with `TokenFiles`, when
        ``hits`` are of other documents, and when a word of ``pairs`` was not watched.
    CorpusError
        For a damaged token file or an id outside its vocabulary.

    Notes
    -----
    Cost: one look-up per token. Ids are read in blocks of 2^21, so memory grows with the number of documents alone. The
    share is that of arXiv 2505.16385, which takes documents with a high proportion of pivot tokens. It is highest for
    short documents of the majority language: rank within languages (`pivotkit.selection.select.select`).

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> file = Path(tempfile.mkdtemp()) / "part-0.npy"
    >>> np.array([5, 6, 0, 7, 0], "<u2").tofile(file)
    >>> score_documents(TokenFiles(file, vocab_size=8, eos=0), [6, 7]).select(["row", "tokens", "score"]).to_pydict()
    {'row': [0, 1], 'tokens': [3, 2], 'score': [0.3333333333333333, 0.5]}
    """
    if not isinstance(corpus, TokenStore | TokenFiles):
        raise TypeError(f"score_documents: corpus must be a TokenStore or TokenFiles; got {kind(corpus)}")
    if hits is not None and not all(hasattr(hits, part) for part in ("documents", "words", "hits")):
        refuse_kind("score_documents", "hits", "be Matches or None", hits)
    if pairs is not None and not isinstance(pairs, pa.Table):
        pairs = check_word_pairs("score_documents", "pairs", pairs)
    wanted = _pivot_mask(pivots, corpus.vocab_size)
    if (hits is None) != (pairs is None):
        raise ValueError("score_documents: hits and pairs must be given together; got one of them")
    if hits is not None and isinstance(corpus, TokenFiles):
        raise ValueError("score_documents: hits must be None for TokenFiles, whose text is not known; got Matches")
    pair_matrix = None if hits is None or pairs is None else _pair_matrix(hits.words, pairs)
    tables = [(SCHEMA if hits is None else SCHEMA.append(PAIRS)).empty_table()]
    done = 0
    for unit in track(corpus.work_units(), "Scoring documents"):
        table = _scored(corpus, unit, wanted)
        if hits is not None and pair_matrix is not None:
            _check_same(hits.documents.slice(done, len(table)), unit.name, table["row"])
            present = hits.hits[done : done + len(table)].astype(bool).astype(np.int32)
            both = (present @ pair_matrix).multiply(present).sum(axis=1)
            table = table.append_column(PAIRS, pa.array(np.asarray(both).ravel().astype(np.int32)))
        tables.append(table)
        done += len(table)
    if hits is not None and hits.documents.num_rows != done:
        raise ValueError(
            f"score_documents: hits must be of the store's {done} documents; got {hits.documents.num_rows}"
        )
    return with_metadata(pa.concat_tables(tables), {"pivots": int(wanted.sum()), "tokenizer": corpus.tokenizer})


def _scored(corpus: TokenStore | TokenFiles, unit: Unit, wanted: NDArray[np.bool_]) -> pa.Table:
    """The rows of one unit, without ``translation_pairs``."""
    sizes, found = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for block in corpus.blocks(unit, whole=False):
        size, members = np.diff(block.offsets), count_members(block.ids, block.offsets, wanted)
        if block.continued:  # the first part of this document ended the block before
            sizes[-1][-1] += size[0]
            found[-1][-1] += members[0]
            size, members = size[1:], members[1:]
        if len(size):
            sizes.append(size)
            found.append(members)
    tokens, in_set = np.concatenate(sizes), np.concatenate(found)
    listed = corpus.table(unit) if isinstance(corpus, TokenStore) else None
    unknown = pa.nulls(len(tokens), pa.string())
    columns = [
        pa.array([unit.name], pa.string()).take(pa.array(np.zeros(len(tokens), np.int8))),
        pa.array(np.arange(len(tokens))) if listed is None else listed["row"],
        unknown if listed is None else listed["id"],
        pa.array(tokens.astype(np.int32)),
        pa.array(in_set.astype(np.int32)),
        pa.array(np.divide(in_set, tokens, out=np.zeros(len(tokens)), where=tokens > 0)),
        unknown if listed is None else listed["lang"],
    ]
    return pa.table(columns, schema=SCHEMA)


def count_members(
    ids: NDArray[np.integer], offsets: NDArray[np.int64], members: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """How many ids of each document are members.

    Equivalent: ``[members[ids[a:b]].sum() for a, b in zip(offsets, offsets[1:])]``.

    Parameters
    ----------
    ids : integers (T,)
        The ids of all documents, back to back.
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
    filled = np.flatnonzero(np.diff(offsets))  # reduceat has no empty segments
    if len(filled):
        counts[filled] = np.add.reduceat(members[ids].view(np.uint8), offsets[filled], dtype=np.int64)
    return counts


def _pivot_mask(pivots: pa.Table | Sequence[int] | NDArray[np.integer], vocab_size: int) -> NDArray[np.bool_]:
    if isinstance(pivots, pa.Table):
        require_columns("score_documents", "pivots", pivots, ("token_id",))
        pivots = pivots["token_id"].to_numpy()
    rule = "a table or a list of token ids"
    try:
        listed = hasattr(pivots, "__array__") and not isinstance(pivots, type)
        ids = np.asarray(pivots if listed else elements("score_documents", "pivots", pivots, rule))
    except ValueError:  # lists of different lengths
        refuse_kind("score_documents", "pivots", f"be {rule}", pivots)
    if not ids.size:
        raise ValueError("score_documents: pivots must hold at least one token; got none")
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise TypeError(f"score_documents: pivots must be {rule}; got {ids.dtype} {ids.shape}")
    if ids.min() < 0 or ids.max() >= vocab_size:
        wrong = ids[(ids < 0) | (ids >= vocab_size)][0]
        raise IndexError(f"score_documents: pivots must be tokens of the corpus, below {vocab_size}; got {wrong}")
    mask = np.zeros(vocab_size, dtype=bool)
    mask[ids] = True
    return mask


def _pair_matrix(words: Sequence[str], pairs: pa.Table | Iterable[tuple[str, str]]) -> csr_array:
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
    return csr_array((np.ones(len(rows), np.int32), (rows, columns)), shape=(len(words), len(words)))


def _check_same(matched: pa.Table, unit: str, rows: pa.ChunkedArray) -> None:
    if set(matched["unit"].to_pylist()) - {unit} or matched["row"].to_pylist() != rows.to_pylist():
        raise ValueError(
            f"score_documents: hits must be of the same documents as the store; they differ in unit {unit}"
        )

"""Scores of documents by the pivots in them, streamed over a corpus of any size."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import scipy
from numpy.typing import NDArray

from pivotkit import _C
from pivotkit.arguments import check_path, check_paths, check_word_pairs, kind, refuse, refuse_kind
from pivotkit.artifacts import require_columns, with_metadata
from pivotkit.corpus.matching.match import Matches
from pivotkit.corpus.matching.watchlist import WatchList
from pivotkit.corpus.reading.documents import Corpus, check_on_error
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.reading.units import Unit
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.errors import CorpusError
from pivotkit.progress import track
from pivotkit.selection.scoring.document_score import DocumentScore, Pivots, Score, Totals, Weights, document_score
from pivotkit.selection.scoring.score_folder import ScoreFolder
from pivotkit.selection.scoring.tokenized_text import TokenizedText

SCHEMA = pa.schema(
    [("unit", pa.string()), ("row", pa.int64()), ("id", pa.string()), ("tokens", pa.int32()), ("pivots", pa.int32()),
     ("score", pa.float64()), ("lang", pa.string())]
)  # fmt: skip
PAIRS = pa.field("translation_pairs", pa.int32())
BLOCK_TOKENS = 1 << 19  # ids that are read at a time: more leave the caches, fewer cost more calls
ROWS = 1 << 16  # documents whose rows are made at a time, about
MOST_TOKENS = np.iinfo(np.int32).max  # of a document
Tokens = TokenFiles | TokenStore | TokenizedText


def score_documents(
    corpus: TokenStore | TokenFiles | Corpus,
    pivots: Pivots,
    *,
    hits: Matches | None = None,
    pairs: pa.Table | Iterable[tuple[str, str]] | None = None,
    score: Score = "share",
    weights: Weights | None = None,
    tokenizer: Any = None,
    on_error: str = "raise",
    out: str | Path | None = None,
) -> pa.Table:
    """Score each document of a corpus by the pivots among its tokens.

    With the ids x of a document, the set P of pivots and a weight w for each pivot:
    share ``(x in P).sum() / len(x)``; weighted ``w[x].sum() / len(x)``, where w is 0 outside P; distinct
    ``len(set(x) & P)``. The score of a document without tokens is 0.

    Parameters
    ----------
    corpus : TokenStore, TokenFiles, or text: a path, a glob or a sequence of them
        Text is tokenized as it is read, as `tokenize` does it, and its ids are not kept.
    pivots : pyarrow.Table or sequence of int
        The pivot set: token ids, or a table of pivots or hubs with the column ``token_id``. A token counts once,
        however often it is listed.
    hits : Matches, optional
        Which watch words occur in the same documents; not for `TokenFiles`, and not with ``out``.
    pairs : pyarrow.Table or pairs of str, optional
        With ``hits``: the word pairs to count, as pairs or as the columns ``source`` and ``target``. A pair and its
        reverse are one.
    score : {"share", "weighted", "distinct"} or function, default "share"
        A function of (ids, weights) that returns a float, one of Numba's ``njit`` or plain Python that Numba can
        compile. It is called for each document that has tokens, with its ids (uint16 or uint32, 1-D) and the weights
        (float32 (V,), those of the pivots, else 0). It must not change them.
    weights : mapping of token to number, or array (V,), optional
        The weights of the pivots, rounded to float32; must be given for "weighted". A function gets 1 for each pivot by
        default. Weights of other tokens are not used.
    tokenizer : fast tokenizer, ``tokenizers.Tokenizer`` or path, optional
        For text, and only for it: as for `tokenize`.
    on_error : {"raise", "skip"}, default "raise"
        For text: as for `read_documents`.
    out : path, optional
        Folder for the rows, one Arrow file for each work unit. A unit whose file is there is not scored again, so the
        same call resumes a stopped run. Files of units that the corpus no longer has are left there. None, the default:
        the rows are held in memory.

    Returns
    -------
    pyarrow.Table
        One row per document, in the order of the corpus: ``unit string, row int64, id string, tokens int32, pivots
        int32, score float64, lang string``. ``pivots`` counts tokens in the set, whatever the score. With ``hits`` also
        ``translation_pairs int32``: how many of the pairs have both words in the document. Token files know neither ids
        nor languages, so ``id`` and ``lang`` are null for `TokenFiles`; ``row`` is the document's place in the file.
        With ``out``, the table is mapped from its files.

    Raises
    ------
    IndexError
        When a pivot is not below the corpus's ``vocab_size``.
    TypeError
        When ``corpus`` is no corpus, or text without a tokenizer; for a function that Numba cannot compile; when
        another argument is of another kind.
    ValueError
        When there are no pivots, when ``hits`` and ``pairs`` do not come together or come with `TokenFiles` or ``out``,
        when ``hits`` are of other documents, and when a word of ``pairs`` was not watched. For another score; for
        weights that are missing, not used by the score, not finite or of another length; for a function that raises.
    CorpusError
        For a damaged file, an id outside the vocabulary, a document that cannot be read or has 2^31 tokens, and with
        ``out`` for a file that changes while it is read. A function gets no document of more than 2^27 tokens.
    InputError
        When ``out`` holds scores of other arguments, or, with a function, any; when one of its files is damaged.

    Notes
    -----
    Precision: counts are exact. Weights are added in float64: four sums s, of the tokens at places 0, 1, 2 and 3 modulo
    4 of the document, each in order, then (s0 + s1) + (s2 + s3). So a score does not depend on how files are read.

    Cost: one look-up per token, in a table of 1 byte a token id (share), of 5 (weighted) or of 4 (distinct). Ids are
    read in blocks of 2^19. What grows in memory is the result, about 60 bytes a document, and with ``out`` nothing but
    what lies beside the ids of one unit: the index of a Megatron or datatrove file, the list of documents of a store. A
    function also needs the longest document at once.

    The share is that of arXiv 2505.16385, which takes documents with a high proportion of pivot tokens. It is highest
    for short documents of the majority language: rank within languages (`pivotkit.selection.select`).

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> file = Path(tempfile.mkdtemp()) / "part-0.npy"
    >>> np.array([5, 6, 6, 0, 7, 0], "<u2").tofile(file)
    >>> files = TokenFiles(file, vocab_size=8, eos=0)
    >>> score_documents(files, [6, 7]).select(["row", "tokens", "pivots", "score"]).to_pydict()
    {'row': [0, 1], 'tokens': [4, 2], 'pivots': [2, 1], 'score': [0.5, 0.5]}
    >>> score_documents(files, [6, 7], score="weighted", weights={6: 1.0, 7: 3.0})["score"].to_pylist()
    [0.5, 1.5]
    >>> score_documents(files, [6, 7], score="distinct")["score"].to_pylist()
    [1.0, 1.0]
    >>> score_documents(files, [6, 7], score=lambda ids, weights: weights[ids].max())["score"].to_pylist()
    [1.0, 1.0]
    """
    tokens = _tokens(corpus, tokenizer, on_error)
    if hits is not None and not all(hasattr(hits, part) for part in ("documents", "words", "hits")):
        refuse_kind("score_documents", "hits", "be Matches or None", hits)
    if pairs is not None and not isinstance(pairs, pa.Table):
        pairs = check_word_pairs("score_documents", "pairs", pairs)
    check_path("score_documents", "out", out, none=True)
    dtype = np.dtype(tokens.dtype if isinstance(tokens, TokenFiles) else "uint32")
    scored = document_score("score_documents", pivots, tokens.vocab_size, score, weights, dtype)
    if (hits is None) != (pairs is None):
        raise ValueError("score_documents: hits and pairs must be given together; got one of them")
    if hits is not None and isinstance(corpus, TokenFiles):
        raise ValueError("score_documents: hits must be None for TokenFiles, whose text is not known; got Matches")
    if hits is not None and out is not None:
        raise ValueError("score_documents: hits must be None where out is given; got Matches")
    metadata: dict[str, Any] = {"pivots": int(scored.is_pivot.sum()), "tokenizer": tokens.tokenizer}
    if scored.name != "share":
        metadata["score"] = scored.name
    units = tokens.work_units()
    metadata |= _file_names(tokens, units)
    if out is None:
        tables = _in_memory(tokens, units, scored, hits, pairs)
    else:
        tables = _on_disk(tokens, units, scored, Path(out))
    return with_metadata(pa.concat_tables(tables), metadata)


def _tokens(corpus: Any, tokenizer: Any, on_error: str) -> Tokens:
    """The corpus as one of tokens."""
    check_on_error("score_documents", on_error)
    if isinstance(corpus, TokenStore | TokenFiles):
        if tokenizer is not None:
            refuse("score_documents", "tokenizer", f"be None for {kind(corpus)}", tokenizer)
        return corpus
    if tokenizer is None:
        rule = "be a TokenStore or TokenFiles, or text with a tokenizer"
        refuse_kind("score_documents", "corpus", rule, corpus)
    paths = check_paths("score_documents", "corpus", corpus)
    return TokenizedText("score_documents", paths, tokenizer, on_error)


def _file_names(corpus: Tokens, units: Sequence[Unit]) -> dict[str, Any]:
    """The names of the files where nothing else tells documents apart; part of the metadata."""
    return {"files": {unit.name: unit.path.name for unit in units}} if isinstance(corpus, TokenFiles) else {}


def _in_memory(
    corpus: Tokens,
    units: Sequence[Unit],
    score: DocumentScore,
    hits: Matches | None,
    pairs: pa.Table | Sequence[tuple[str, str]] | None,
) -> list[pa.Table]:
    pair_matrix = None if hits is None or pairs is None else _pair_matrix(hits.words, pairs)
    tables = [(SCHEMA if hits is None else SCHEMA.append(PAIRS)).empty_table()]
    done = 0
    for unit in track(units, "Scoring documents"):
        for table in _rows(corpus, unit, score):
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
    return tables


def _on_disk(corpus: Tokens, units: Sequence[Unit], score: DocumentScore, out: Path) -> list[pa.Table]:
    # Nobody can tell whether two functions are one, so theirs are scores of nothing else.
    of = {"score": "function", "call": secrets.token_hex()} if score.name == "function" else score.identity()
    folder = ScoreFolder(out, {"corpus": corpus.identity(), **of}, [unit.name for unit in units])
    for unit in track(units, "Scoring documents"):
        if not folder.has(unit.name):
            schema = with_metadata(SCHEMA.empty_table(), _file_names(corpus, [unit])).schema
            folder.write(unit.name, schema, _checked_rows(corpus, unit, score))
    folder.finish()
    return [SCHEMA.empty_table(), *(folder.read(unit.name, SCHEMA) for unit in units)]


def _checked_rows(corpus: Tokens, unit: Unit, score: DocumentScore) -> Iterator[pa.Table]:
    """`_rows` of a file that stays as it is: what is kept under the name of a unit must be of that unit."""
    yield from _rows(corpus, unit, score)
    if not isinstance(corpus, TokenStore):  # which has its own copy
        unit.check()


def _rows(corpus: Tokens, unit: Unit, score: DocumentScore) -> Iterator[pa.Table]:
    """The rows of one unit, about `ROWS` at a time."""
    if isinstance(corpus, TokenizedText):
        for listed, blocks in corpus.batches(unit):
            for _, totals in _batched(unit, score.totals(blocks), len(listed)):
                yield _table(unit, totals, listed)
        return
    listed = corpus.table(unit) if isinstance(corpus, TokenStore) else None
    read = corpus.blocks(unit, tokens=BLOCK_TOKENS, whole=score.function is not None)
    for first, totals in _batched(unit, score.totals(read), ROWS):
        size = len(totals.tokens)
        rows = pa.table({"row": np.arange(first, first + size)}) if listed is None else listed.slice(first, size)
        yield _table(unit, totals, rows)


def _batched(unit: Unit, parts: Iterable[Totals], documents: int) -> Iterator[tuple[int, Totals]]:
    """Put totals together to at least ``documents``, but for the last; with the number of documents before them."""
    first = size = 0
    waiting: list[Totals] = []
    for part in parts:
        if len(part.tokens) and part.tokens.max() > MOST_TOKENS:
            raise CorpusError(unit.path, "", f"must hold documents of at most {MOST_TOKENS} tokens; got a longer one")
        waiting.append(part)
        size += len(part.tokens)
        if size >= documents:
            yield first, _joined(waiting)
            first, size, waiting = first + size, 0, []
    if size:
        yield first, _joined(waiting)


def _joined(parts: list[Totals]) -> Totals:
    return Totals(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _table(unit: Unit, totals: Totals, listed: pa.Table) -> pa.Table:
    """Rows without ``translation_pairs``; ``listed`` has ``row`` and, where they are known, ``id`` and ``lang``."""
    size = len(totals.tokens)
    unknown = pa.nulls(size, pa.string())
    known = listed.column_names
    columns = [
        pa.repeat(pa.scalar(unit.name, pa.string()), size),
        listed["row"],
        listed["id"] if "id" in known else unknown,
        pa.array(totals.tokens.astype(np.int32)),
        pa.array(totals.pivots.astype(np.int32)),
        pa.array(totals.scores),
        listed["lang"] if "lang" in known else unknown,
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
    whole = ids if ids.dtype in (np.uint16, np.uint32) else ids.astype(np.uint32)
    return _C.DocumentScorer(members).add(np.ascontiguousarray(whole), offsets)[1]


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


def _check_same(matched: pa.Table, unit: str, rows: pa.ChunkedArray) -> None:
    if set(matched["unit"].to_pylist()) - {unit} or matched["row"].to_pylist() != rows.to_pylist():
        raise ValueError(
            f"score_documents: hits must be of the same documents as the store; they differ in unit {unit}"
        )

"""Scores of documents by the pivots in them, streamed over a corpus of any size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pivotkit import _C
from pivotkit.arguments import (
    check_kind,
    check_path,
    check_paths,
    check_strings,
    check_word_pairs,
    kind,
    refuse,
    refuse_kind,
)
from pivotkit.corpus.matching.match import Matches
from pivotkit.corpus.reading.documents import Corpus, check_on_error
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.selection.scoring.behaviors import Behaviors
from pivotkit.selection.scoring.document_score import Pivots, Score, Weights, document_score
from pivotkit.selection.scoring.more_columns import MoreColumns
from pivotkit.selection.scoring.scored_rows import Scoring, Tokens
from pivotkit.selection.scoring.tokenized_text import TokenizedText
from pivotkit.selection.scoring.translation_pairs import TranslationPairs


@overload
def score_documents(
    corpus: TokenStore | TokenFiles | Corpus, pivots: Pivots, *, hits: Matches | None = ...,
    pairs: pa.Table | Iterable[tuple[str, str]] | None = ..., score: Score = ..., weights: Weights | None = ...,
    columns: Sequence[str] = ..., behaviors: pa.Table | None = ..., tokenizer: Any = ..., on_error: str = ...,
    out: None = ...,
) -> pa.Table: ...  # fmt: skip
@overload
def score_documents(
    corpus: TokenStore | TokenFiles | Corpus, pivots: Pivots, *, hits: Matches | None = ...,
    pairs: pa.Table | Iterable[tuple[str, str]] | None = ..., score: Score = ..., weights: Weights | None = ...,
    columns: Sequence[str] = ..., behaviors: pa.Table | None = ..., tokenizer: Any = ..., on_error: str = ...,
    out: str | Path,
) -> Path: ...  # fmt: skip
def score_documents(
    corpus: TokenStore | TokenFiles | Corpus,
    pivots: Pivots,
    *,
    hits: Matches | None = None,
    pairs: pa.Table | Iterable[tuple[str, str]] | None = None,
    score: Score = "share",
    weights: Weights | None = None,
    columns: Sequence[str] = (),
    behaviors: pa.Table | None = None,
    tokenizer: Any = None,
    on_error: str = "raise",
    out: str | Path | None = None,
) -> pa.Table | Path:
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
        Which watch words occur in the same documents; not for `TokenFiles`.
    pairs : pyarrow.Table or pairs of str, optional
        With ``hits``: the word pairs to count, as pairs or as the columns ``source`` and ``target``. A pair and its
        reverse are one.
    score : {"share", "weighted", "distinct"} or function, default "share"
        A function of (ids, weights) that returns a float, one of Numba's ``njit`` or plain Python that Numba can
        compile. It is called for each document that has tokens, with its ids (uint16 or uint32, 1-D) and the weights
        (float32 (V,), those of the pivots, else 0). It must not change them.
    weights : mapping of token to number, or array (V,), optional
        The weights of the pivots, rounded to float32. By default, "weighted" takes the sum of each pivot's scores in
        the column ``score`` of the table ``pivots``, and a function gets 1 for each pivot. Weights of other tokens are
        not used.
    columns : sequence of {"distinct", "weighted", "pairs", "file_name", "folder", "behavior"}, default ()
        What the rows have beside the score. "distinct" and "weighted": these scores. "pairs": where ``pivots`` is a
        table with the column ``pair``, the ``pair`` with most of the document's pivots, where a token of n pairs counts
        1/n for each, and how many ``pairs`` have any; of k pairs with equally much, the one at place ``row % k`` in the
        order of names counts. "file_name" and "folder": the names of the document's file and of its folder. "behavior":
        ``behavior_pivots``, how many tokens are pivots of an item that is pivot or unsolved, where ``pivots`` is a
        table with the column ``item``; and with ``hits`` ``behavior_pairs``, how many pairs of items that are
        co-occurrence or unsolved have both words in the document, where ``pairs`` is a table with the column ``item``.
    behaviors : pyarrow.Table, optional
        For "behavior", and only for it: the table of `classify` with ``item, rule, behavior``, of which the rows of the
        strict rule count. Items of any other behavior than pivot, co-occurrence and excluded are unsolved. Items that
        are excluded, or not listed, ask for nothing.
    tokenizer : fast tokenizer, ``tokenizers.Tokenizer`` or path, optional
        For text, and only for it: as for `tokenize`.
    on_error : {"raise", "skip"}, default "raise"
        For text: as for `read_documents`.
    out : path, optional
        Folder for the rows, one Parquet file for each work unit, written as documents are scored. A unit whose file is
        there is not scored again, so the same call resumes a stopped run. Files of units that the corpus no longer has
        are left there. None, the default: the rows are held in memory.

    Returns
    -------
    pyarrow.Table, or with ``out`` its path, which `select` takes
        One row per document, in the order of the corpus: ``unit string, row int64, id string, tokens int32, pivots
        int32, score float64, lang string``. ``pivots`` counts tokens in the set, whatever the score. With ``hits`` also
        ``translation_pairs int32``: how many of the pairs have both words in the document. Of ``columns`` ``distinct
        int32, weighted float64, pair string, pairs int32, file_name string, folder string, behavior_pivots int32``;
        ``behavior_pairs int32`` comes last. Token files know neither ids nor languages, so ``id`` and ``lang`` are null
        for `TokenFiles`; ``row`` is the document's place in the file. With "behavior" the metadata say how many items
        show each behavior, and a digest of them, by which `select` knows them.

    Raises
    ------
    IndexError
        When a pivot is not below the corpus's ``vocab_size``.
    TypeError
        When ``corpus`` is no corpus, or text without a tokenizer; for a function that Numba cannot compile; when
        another argument is of another kind.
    ValueError
        When there are no pivots, when ``hits`` and ``pairs`` do not come together or come with `TokenFiles`, when
        ``hits`` are of other documents, and when a word of ``pairs`` was not watched. For another score or column; for
        weights that are missing, not used by the score, not finite or of another length; for a function that raises.
        When ``behaviors`` and "behavior" do not come together, for a table without ``item``, and for behaviors without
        rows of the strict rule, with an item twice, of excluded items alone, or of none of the items of a table.
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
    read in blocks of 2^19. A further column of scores costs as much as a score of its kind, "pairs" a weighted one for
    each pair, "behavior" one share and as much as ``translation_pairs``. What grows in memory is the result, about 60
    bytes a document, and with ``out`` nothing but what lies beside the ids of one unit: the index of a Megatron or
    datatrove file, the list of documents of a store. A function also needs the longest document at once.

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
    >>> pivots = pa.table({"token_id": [6, 7], "pair": ["en-fr", "en-de"], "score": [1.0, 3.0]})
    >>> more = score_documents(files, pivots, columns=["weighted", "pairs"])
    >>> more.select(["weighted", "pair", "pairs"]).to_pylist()[0]
    {'weighted': 0.5, 'pair': 'en-fr', 'pairs': 1}
    >>> pivots = pa.table({"token_id": [6, 7], "item": [0, 1]})
    >>> behaviors = pa.table({"item": [0, 1], "rule": ["strict"] * 2, "behavior": ["pivot", "co-occurrence"]})
    >>> score_documents(files, pivots, columns=["behavior"], behaviors=behaviors)["behavior_pivots"].to_pylist()
    [2, 0]
    """
    tokens = _tokens(corpus, tokenizer, on_error)
    if hits is not None and not all(hasattr(hits, part) for part in ("documents", "words", "hits")):
        refuse_kind("score_documents", "hits", "be Matches or None", hits)
    if pairs is not None and not isinstance(pairs, pa.Table):
        pairs = check_word_pairs("score_documents", "pairs", pairs)
    check_path("score_documents", "out", out, none=True)
    dtype = np.dtype(tokens.dtype if isinstance(tokens, TokenFiles) else "uint32")
    names = check_strings("score_documents", "columns", columns)
    check_kind("score_documents", "behaviors", behaviors, pa.Table, "a pyarrow.Table", none=True)
    asked = None if behaviors is None else Behaviors.of("score_documents", behaviors)
    is_share = isinstance(score, str) and score != "weighted"  # whose weights, if any, are those of a further column
    used = None if is_share and "weighted" in names else weights
    scored = document_score("score_documents", pivots, tokens.vocab_size, score, used, dtype)
    more = MoreColumns.of("score_documents", names, pivots, tokens.vocab_size, weights, dtype, asked)
    if (hits is None) != (pairs is None):
        raise ValueError("score_documents: hits and pairs must be given together; got one of them")
    if hits is not None and isinstance(corpus, TokenFiles):
        raise ValueError("score_documents: hits must be None for TokenFiles, whose text is not known; got Matches")
    translated = None if hits is None or pairs is None else TranslationPairs(hits, pairs, asked)
    scoring = Scoring(tokens, scored, more, translated)
    return scoring.table() if out is None else scoring.write(Path(out))


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

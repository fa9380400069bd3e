"""Which watch words occur in each document."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import scipy

from pivotkit import _C
from pivotkit._text import pack_strings
from pivotkit.corpus.matching.watchlist import WatchList, as_watchlist
from pivotkit.corpus.reading.amounts import amount
from pivotkit.corpus.reading.documents import Corpus, check_on_error, read_documents, work_units
from pivotkit.progress import track


@dataclass(frozen=True)
class Matches:
    """Occurrences of watch words in documents.

    Attributes
    ----------
    words : list[str]
        The normalized words, W of them.
    documents : pyarrow.Table
        N rows: ``unit`` (string), ``row`` (int64, the place in the unit's file), ``id`` and ``lang`` (string).
    hits : scipy.sparse.csr_array, int32 (N, W)
        How often each word occurs in each document.
    """

    words: list[str]
    documents: pa.Table
    hits: scipy.sparse.csr_array

    def __repr__(self) -> str:
        sizes = (self.documents.num_rows, "document"), (len(self.words), "word"), (int(self.hits.sum()), "hit")
        return f"Matches({', '.join(amount(number, noun) for number, noun in sizes)})"


def match_texts(texts: list[str], watchlist: WatchList | Iterable[str]) -> scipy.sparse.csr_array:
    """How often each watch word occurs in each text: a ``csr_array`` of int32 (N, W).

    ``[[occurrences(word, text) for word in watchlist.words] for text in texts]``, as `match_spans` finds them.

    Parameters
    ----------
    texts
        Documents; they need not be normalized.
    watchlist
        Words in any spelling; see `pivotkit.corpus.matching.watchlist` for what counts as an occurrence.

    Raises
    ------
    TypeError
        For a text that is not a str.
    ValueError
        For a text with a lone surrogate.

    Examples
    --------
    >>> match_texts(["l'eau, l'EAU", "小猫和大猫 cats"], ["eau", "猫", "cat"]).toarray()
    array([[2, 0, 0],
           [0, 2, 0]], dtype=int32)
    """
    return _hits(_words_alone("match_texts", watchlist).matcher(), texts)


def match_spans(texts: list[str], watchlist: WatchList | Iterable[str]) -> pa.Table:
    """Where each watch word occurs: ``texts[document][begin:end]`` is the occurrence in its own spelling.

    Parameters
    ----------
    texts
        Documents; they need not be normalized.
    watchlist
        Words in any spelling; see `pivotkit.corpus.matching.watchlist` for what counts as an occurrence.

    Returns
    -------
    pyarrow.Table
        One row per occurrence that `match_texts` counts: ``document`` (int64, place in ``texts``), ``word`` (string,
        normalized), ``begin`` and ``end`` (int64, code points of the text, half-open). Rows are ordered by document,
        begin, end and the word's id. Occurrences may overlap. An occurrence that covers a part of what a code point is
        normalized to (the ``f`` of ``ﬁ``) covers the code point. One that covers a part of what several are normalized
        to together (an ``e`` and its accent) covers all of them.

    Raises
    ------
    TypeError
        For a text that is not a str.
    ValueError
        For a text with a lone surrogate.

    Notes
    -----
    Cost: about 10 MB/s, because every piece of text is normalized by itself to map it back.

    Examples
    --------
    >>> texts = ["Straße, STRASSE", "a ﬁsh"]
    >>> spans = match_spans(texts, ["strasse", "fish"]).to_pylist()
    >>> [texts[span["document"]][span["begin"] : span["end"]] for span in spans]
    ['Straße', 'STRASSE', 'ﬁsh']
    >>> spans[2]
    {'document': 1, 'word': 'fish', 'begin': 2, 'end': 5}
    """
    watch = _words_alone("match_spans", watchlist)
    documents, words, begins, ends = watch.matcher().spans(*pack_strings(texts))
    names = pa.array(watch.words, pa.string()).take(pa.array(words))
    return pa.table({"document": documents, "word": names, "begin": begins, "end": ends})


def match_documents(corpus: Corpus, watchlist: WatchList | Iterable[str], *, on_error: str = "raise") -> Matches:
    """How often each watch word occurs in each document of a corpus.

    Parameters
    ----------
    corpus
        Files, folders or globs, as for `corpus_files`.
    watchlist
        Words in any spelling; see `pivotkit.corpus.matching.watchlist` for what counts as an occurrence.
    on_error
        "raise" or "skip", as for `read_documents`.

    Returns
    -------
    Matches
        Documents in the order of the sorted files and of their rows.
    """
    check_on_error("match_documents", on_error)
    watch = _words_alone("match_documents", watchlist)
    matcher = watch.matcher()
    tables, parts = [], []
    for unit in track(work_units(corpus), "Matching"):
        for batch in read_documents(unit, on_error):
            columns = {
                "unit": pa.array([unit.name] * len(batch), pa.string()),
                "row": pa.array(batch.rows, pa.int64()),
                "id": pa.array(batch.ids, pa.string()),
                "lang": pa.array(batch.langs, pa.string()),
            }
            tables.append(pa.table(columns))
            parts.append(_hits(matcher, batch.texts))
    return Matches(watch.words, _concatenate(tables), _stack(parts, len(watch)))


def _words_alone(function: str, words: WatchList | Iterable[str]) -> WatchList:
    """A watch list without languages: only `count` knows those of documents."""
    watch = as_watchlist(words)
    if watch.languages is not None:
        raise ValueError(f"{function}: watchlist must have no languages; got {len(set(watch.languages))}")
    return watch


def _hits(matcher: _C.Matcher, texts: list[str]) -> scipy.sparse.csr_array:
    offsets, words, counts = matcher.match(*pack_strings(texts))
    return scipy.sparse.csr_array((counts, words, offsets), shape=(len(texts), len(matcher)))


def _stack(parts: list[scipy.sparse.csr_array], words: int) -> scipy.sparse.csr_array:
    counts = [np.zeros(0, np.int32), *(part.data for part in parts)]
    ids = [np.zeros(0, np.int32), *(part.indices for part in parts)]
    sizes = [np.zeros(1, np.int64), *(np.diff(part.indptr) for part in parts)]
    offsets = np.cumsum(np.concatenate(sizes), dtype=np.int64)
    return scipy.sparse.csr_array(
        (np.concatenate(counts), np.concatenate(ids), offsets), shape=(len(offsets) - 1, words)
    )


def _concatenate(tables: list[pa.Table]) -> pa.Table:
    schema = pa.schema([("unit", pa.string()), ("row", pa.int64()), ("id", pa.string()), ("lang", pa.string())])
    return pa.concat_tables([schema.empty_table(), *tables])

"""Documents, token stores, watch lists and counts."""

from pivotkit.corpus.count import count
from pivotkit.corpus.counts import Counts
from pivotkit.corpus.documents import Batch, Unit, corpus_files, read_documents, work_units
from pivotkit.corpus.match import Matches, match_documents, match_spans, match_texts
from pivotkit.corpus.tokens import TokenStore, tokenize
from pivotkit.corpus.watchlist import WatchList, normalize

__all__ = [
    "Batch",
    "Counts",
    "Matches",
    "TokenStore",
    "Unit",
    "WatchList",
    "corpus_files",
    "count",
    "match_documents",
    "match_spans",
    "match_texts",
    "normalize",
    "read_documents",
    "tokenize",
    "work_units",
]

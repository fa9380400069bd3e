"""Documents, token stores, watch lists and counts."""

from pivotkit.corpus.count import count
from pivotkit.corpus.counts import Counts
from pivotkit.corpus.documents import Batch, TextBlock, Unit, corpus_files, read_documents, read_texts, work_units
from pivotkit.corpus.match import Matches, match_documents, match_spans, match_texts
from pivotkit.corpus.token_corpus import TokenFiles
from pivotkit.corpus.token_watchlist import TokenWatchList
from pivotkit.corpus.tokens import TokenStore, tokenize
from pivotkit.corpus.watchlist import WatchList, normalize

__all__ = [
    "Batch",
    "Counts",
    "Matches",
    "TextBlock",
    "TokenFiles",
    "TokenStore",
    "TokenWatchList",
    "Unit",
    "WatchList",
    "corpus_files",
    "count",
    "match_documents",
    "match_spans",
    "match_texts",
    "normalize",
    "read_documents",
    "read_texts",
    "tokenize",
    "work_units",
]

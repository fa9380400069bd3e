"""Documents, token stores, watch lists and counts."""

from pivotkit.corpus.count import count
from pivotkit.corpus.count_job import CountJob
from pivotkit.corpus.counting.strata import Strata
from pivotkit.corpus.matching.match import Matches, match_documents, match_spans, match_texts
from pivotkit.corpus.matching.normal_form import normalize
from pivotkit.corpus.matching.token_watchlist import TokenWatchList
from pivotkit.corpus.matching.watchlist import WatchList
from pivotkit.corpus.reading.documents import (
    Batch,
    TextBlock,
    Unit,
    corpus_files,
    read_documents,
    read_texts,
    work_units,
)
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.stream_count import StreamCount
from pivotkit.corpus.tables.counts import Counts
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.corpus.token_store.tokenize import tokenize

__all__ = [
    "Batch",
    "CountJob",
    "Counts",
    "Matches",
    "Strata",
    "StreamCount",
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

"""pivotkit's counting as steps of a datatrove pipeline, so that its executors spread it over processes and machines.

    from datatrove.executor import LocalPipelineExecutor

    counting = PivotCount(["cat", "chat"], "counts", corpus="corpus/*.jsonl.zst")
    tasks = LocalPipelineExecutor([counting], tasks=16, workers=4)
    LocalPipelineExecutor([PivotMerge(counting)], depends=tasks).run()

Needs datatrove: ``pip install 'pivotkit[filters]'``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

from pivotkit.arguments import check_kind
from pivotkit.corpus.count_job import CountJob
from pivotkit.corpus.matching.token_watchlist import TokenWatchList
from pivotkit.corpus.matching.watchlist import WatchList
from pivotkit.corpus.reading.documents import Corpus
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.stream_count import StreamCount
from pivotkit.corpus.token_store.store import TokenStore


class PivotCount(PipelineStep):
    """Count watch words, and pairs of them, in the documents of a pipeline or in files of its own.

    With ``corpus`` each task counts its share of the corpus's work units as `CountJob` does; the step reads the files
    itself, which is several times as fast as a reader of datatrove. Without, it counts the documents that pass by, as
    `StreamCount` does. Either way documents are handed on as they came.

    Parameters
    ----------
    watchlist
        As for `count`.
    out
        Folder for the counts, which every task must see.
    corpus
        What to count: as for `count`. None, the default: the documents that come from the step before.
    language
        The key of `Document.metadata` that holds a document's language, where it has one; "language" by default, as
        datatrove's filters write it. Only for documents that pass by.
    **options
        With ``corpus`` those of `CountJob`, without those of `StreamCount`.

    Raises
    ------
    TypeError, ValueError, CorpusError, InputError
        As these two, when the step is made.
    """

    type = "🔢 - COUNTS"
    name = "🧭 Pivot counts"

    def __init__(
        self,
        watchlist: WatchList | TokenWatchList | Iterable[str],
        out: str | Path,
        corpus: Corpus | TokenFiles | TokenStore | None = None,
        *,
        language: str = "language",
        **options: Any,
    ) -> None:
        super().__init__()
        check_kind("PivotCount", "language", language, str, "a str")
        self.language = language
        self.job: CountJob | StreamCount
        if corpus is not None:
            self.job = CountJob(corpus, watchlist, out=out, **options)
        elif isinstance(watchlist, TokenWatchList):
            raise TypeError("PivotCount: watchlist must be words for documents of text; got a TokenWatchList")
        else:
            self.job = StreamCount(watchlist, out=out, **options)

    def run(self, data: Iterable[Document] | None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Count the share of task ``rank`` among ``world_size``."""
        if isinstance(self.job, CountJob):
            with self.track_time("task"):
                self.job.count(rank, world_size)
            self.stat_update("units", value=len(self.job.units[rank::world_size]), unit="task")
            yield from data or ()
            return
        with self.job.part(rank, world_size) as add:
            for document in data or ():
                with self.track_time():
                    add(document.text, document.metadata.get(self.language))
                    self.update_doc_stats(document)
                yield document


class PivotMerge(PipelineStep):
    """Add up what the tasks of a `PivotCount` have counted; for an executor of one task that depends on theirs.

    Parameters
    ----------
    counting
        The step whose counts are added. Its folder then holds the `Counts`.

    Raises
    ------
    InputError
        While the counts of a task are missing.
    """

    type = "🔢 - COUNTS"
    name = "🧭 Pivot merge"

    def __init__(self, counting: PivotCount) -> None:
        super().__init__()
        check_kind("PivotMerge", "counting", counting, PivotCount, "a PivotCount")
        self.job = counting.job

    def run(self, data: Iterable[Document] | None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Add up in the first task; the others have nothing to do."""
        if rank == 0:
            with self.track_time("task"):
                counts = self.job.merge()
            self.stat_update("documents", value=counts.documents, unit="task")
        yield from data or ()

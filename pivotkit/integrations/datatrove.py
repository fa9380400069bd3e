"""The corpus's side as steps of a datatrove pipeline, so that its executors spread it over processes and machines.

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

import numpy as np
from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

from pivotkit.arguments import check_kind, check_text
from pivotkit.corpus.count_job import CountJob
from pivotkit.corpus.languages.unit_languages import Function, UnitLanguages, check_mode
from pivotkit.corpus.languages.verdicts import KINDS
from pivotkit.corpus.matching.token_watchlist import TokenWatchList
from pivotkit.corpus.matching.watchlist import WatchList
from pivotkit.corpus.reading.documents import BATCH_BYTES, Corpus
from pivotkit.corpus.reading.text_block import TextBlock
from pivotkit.corpus.reading.token_blocks import TokenBlock
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.stream_count import StreamCount
from pivotkit.corpus.token_store.encode import encode, tokenizer_core, vocabulary_size
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.selection.scoring.document_score import Pivots, Score, Weights, document_score, totals_of

BATCH_CHARACTERS = 1 << 20  # of the documents that are read together
BATCH_DOCUMENTS = 1024


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
        check_text("PivotCount", "language", language)
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


class PivotLanguages(PipelineStep):
    """Tell the languages of the documents that pass by, as `document_languages` does.

    Each document gets ``metadata[language]``, the codes of its languages joined by ``+`` ("en", "en+fr", and "und" for
    none), and ``metadata["language_kind"]``: monolingual, bilingual, parallel, code-switched or other.

    Parameters
    ----------
    languages
        "auto" (default): what ``metadata[language]`` says where it is there, else the text. "detect": the text, by
        py3langid. Or a function of the text that returns a code or several.
    candidates
        As for `document_languages`.
    language
        The key of `Document.metadata`, "language" by default, where `PivotCount` looks for it.

    Raises
    ------
    TypeError, ValueError
        As `document_languages`, when the step is made.
    BackendUnavailable
        In a task that must read text where py3langid is not installed.
    """

    type = "🔢 - COUNTS"
    name = "🧭 Pivot languages"

    def __init__(
        self,
        languages: str | Function = "auto",
        candidates: Iterable[str] | None = None,
        *,
        language: str = "language",
    ) -> None:
        super().__init__()
        check_text("PivotLanguages", "language", language)
        self.language = language
        self.how = UnitLanguages(languages, check_mode("PivotLanguages", languages, candidates), "raise")

    def run(self, data: Iterable[Document] | None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Tell the languages of some documents at a time."""
        for batch in _batches(data):
            with self.track_time("batch"):
                tags = [document.metadata.get(self.language) for document in batch]
                left = iter(batch)
                for block in TextBlock.of_texts([document.text for document in batch], tags, 0, BATCH_BYTES):
                    told = self.how.verdicts(block)
                    for number, kind in zip(told.ids.tolist(), told.kinds.tolist(), strict=True):
                        codes = told.sets[number]
                        about = {self.language: "+".join(codes) or "und", "language_kind": KINDS[kind]}
                        next(left).metadata.update(about)
                        self.stat_update(about["language_kind"])
            yield from batch


class PivotScore(PipelineStep):
    """Score the documents that pass by by the pivots in them, as `score_documents` does.

    Each document gets in its metadata ``pivot_score`` (float), ``pivot_tokens`` and ``token_count``.

    Parameters
    ----------
    pivots, score, weights, tokenizer
        As for `score_documents` of text.

    Raises
    ------
    TypeError, ValueError, IndexError, InputError
        As `score_documents`, when the step is made.
    """

    type = "🔢 - COUNTS"
    name = "🧭 Pivot score"

    def __init__(
        self, pivots: Pivots, tokenizer: Any, *, score: Score = "share", weights: Weights | None = None
    ) -> None:
        super().__init__()
        self.tokenizer, self.fingerprint = tokenizer_core("PivotScore", tokenizer)
        self.asked = pivots, vocabulary_size(self.tokenizer), score, weights, np.uint32
        document_score("PivotScore", *self.asked)

    def run(self, data: Iterable[Document] | None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Score some documents at a time."""
        score = document_score("PivotScore", *self.asked)  # what Numba compiled cannot be sent to a task
        for batch in _batches(data):
            with self.track_time("batch"):
                parts = encode(self.tokenizer, [document.text for document in batch])
                left = iter(batch)
                for totals in totals_of(score, (), (TokenBlock(ids, offsets, 0) for ids, offsets in parts)):
                    columns = totals.scores.tolist(), totals.pivots.tolist(), totals.tokens.tolist()
                    for value, pivots, tokens in zip(*columns, strict=True):
                        about = {"pivot_score": value, "pivot_tokens": pivots, "token_count": tokens}
                        next(left).metadata.update(about)
                self.stat_update("scored", value=len(batch), unit="batch")
            yield from batch


def _batches(data: Iterable[Document] | None) -> Iterator[list[Document]]:
    batch: list[Document] = []
    size = 0
    for document in data or ():
        batch.append(document)
        size += len(document.text)
        if size >= BATCH_CHARACTERS or len(batch) == BATCH_DOCUMENTS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch

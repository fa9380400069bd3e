"""Counting a corpus: one scan, in work units whose counts survive a kill."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from pivotkit.arguments import available_cpus, check_flag, check_int, check_number, check_path
from pivotkit.corpus.count_job import CountJob
from pivotkit.corpus.counting.strata import Strata
from pivotkit.corpus.languages.language_table import LanguageTable
from pivotkit.corpus.matching.token_watchlist import TokenWatchList
from pivotkit.corpus.matching.watchlist import WatchList
from pivotkit.corpus.reading.documents import Corpus
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.tables.counts import Counts, Word
from pivotkit.corpus.token_store.store import TokenStore


def count(
    corpus: Corpus | TokenFiles | TokenStore,
    watchlist: WatchList | TokenWatchList | Iterable[str],
    *,
    pairs: Iterable[tuple[str | Word, str | Word]] | None = None,
    scope: str = "document",
    context: bool | TokenStore = False,
    sample: int | None = None,
    memory: int | str = "2GB",
    workers: int | None = None,
    unit: int | str | None = "auto",
    on_error: str = "raise",
    out: str | Path | None = None,
    postings: bool = True,
    background: bool = True,
    checkpoint: float = 300.0,
    strata: Strata | None = None,
    languages: LanguageTable | None = None,
) -> Counts:
    """Count watch words, pairs of them and their context tokens over a corpus, exactly, in one scan.

    With the 0/1 matrices H (documents, words) and X (documents, tokens): ``df = H.sum(0)``, ``pair_df[i, j] =
    (H.T @ H)[i, j]`` for listed pairs, ``context = H.T @ X`` and ``background = X.sum(0)``.

    Parameters
    ----------
    corpus
        Text: files, folders or globs, as for `corpus_files`. Tokens: `TokenFiles` or a `TokenStore`.
    watchlist
        W words. For text, in any spelling; `pivotkit.corpus.matching.watchlist` says what an occurrence is. For tokens,
        a `TokenWatchList` of their tokenizer.
    pairs
        Pairs of watched words whose joint document count is wanted. A word that is watched in several languages is
        given with one of them: ``("os", "fr")``. None (default): no pairs.
    scope
        What "together" means (`Scope`): "document" (default), "line", "sentence", "window:<tokens>", or for tokens
        "instance:<tokens>". Lines, sentences and instances take the place of documents in all counts. A window is of
        characters for text. For text with a context only documents; tokens have their contexts in every scope.
    context
        Whether to count, for each word, every token of the documents that contain it. True for tokens; for text, a
        `TokenStore` of the same files. False (default): no context. Tokens always give the background.
    sample
        Estimate the context row of each word from this many of its documents, those with the lowest hashes. The row of
        a word in no more documents is exact; `Counts.context_error` gives the error of the others. All else stays
        exact. The sample does not depend on ``unit``, ``workers`` or ``memory``. Moving or touching a file changes it.
        None (default): the table is exact.
    memory
        Bytes that all processes together may hold, an int or a str such as "2GB" (default). What does not fit goes to
        disk.
    workers
        Processes that share the units. None (default): one per available CPU. The counts do not depend on it. With
        several, a script must start under ``if __name__ == "__main__"``, because the processes are spawned.
    unit
        About how many bytes a work unit has. Files are cut where their format allows it. "auto" (default): an eighth of
        a worker's share, from 64 MB to 1 GB. None: one unit per file. The counts do not depend on it. Text with a
        context is cut where the store's parts begin, about every 4 MiB.
    on_error
        "raise" (default) or "skip", as for `read_documents`; with a context, it must be the store's.
    out
        Folder for the counts. Below it, ``units/`` holds the counts of finished units, from which a stopped run
        resumes. None: keep neither.
    postings
        Whether to keep which documents contain each word, for `Counts.query`, `Counts.by_language` and
        `Counts.cumulative`. True by default; without ``out`` none are kept.
    background
        Whether to count the documents of every token, where documents come with tokens. True by default; a context
        needs it.
    checkpoint
        Seconds of work on a context table that a kill may cost. A table in memory is written so often, and at the end.
        300 by default; without ``out`` only at the end.
    strata
        Count words and tokens by `Strata` too, for `Counts.expected`. They are fixed before the scan, and belong to the
        counts: others cannot be merged. None (default): no strata.
    languages
        A `LanguageTable` of these files (and perhaps others) that says the languages of documents, for strata, for
        words that have a language, and for `Counts.by_language`. Lines, sentences and windows have those of their
        document; instances have none. It belongs to the counts: those of another table cannot be merged. Text is then
        cut where the table's units begin. None (default): their ``lang`` field, which a `TokenStore` has of its text;
        `TokenFiles` have none.

    Returns
    -------
    Counts

    Raises
    ------
    TypeError
        For an argument of another kind, and a watch list or context of the wrong kind for the corpus.
    ValueError
        For a pair with a word that is not watched, a scope or sample that does not fit the corpus, languages that are
        not known, and, before any work, when ``memory`` cannot hold what must stay in memory (processes, words, pairs,
        vocabulary). For a text that does not fit ``memory``; the message has the number that is needed.
    CorpusError
        For a document that cannot be read, and for a file that changes while it is counted.
    InputError
        When the store or the table of languages does not hold these files as they are now.
    ChildProcessError
        When a worker was killed; the units that are done stay, and the same call goes on from them.

    Notes
    -----
    Cost per document: at most the square of its watched words, whatever the number of pairs
    (``csrc/counting/pair_counter.h``). A context table costs an addition per word of a document and distinct token; it
    stays in memory, and is written where it takes more than half of a process's share of ``memory``. Strata cost an
    addition per distinct token of a document, and 4 bytes per stratum and token or word in each process.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.jsonl"
    >>> _ = file.write_text('{"text": "the cat, le chat"}\\n{"text": "a cat"}\\n')
    >>> counts = count(file, ["cat", "chat"], pairs=[("cat", "chat")], workers=1)
    >>> counts.df.tolist(), counts.pair("cat", "chat"), counts.documents
    ([2, 1], 1, 2)
    """
    check_path("count", "out", out, none=True)
    check_int("count", "workers", workers, 1, none=True)
    check_flag("count", "postings", postings)
    check_number("count", "checkpoint", checkpoint, 0)
    kept = out is not None
    with ExitStack() as exits:
        job = CountJob(
            corpus,
            watchlist,
            out=exits.enter_context(tempfile.TemporaryDirectory()) if out is None else out,
            pairs=pairs,
            scope=scope,
            context=context,
            sample=sample,
            memory=memory,
            workers=available_cpus() if workers is None else workers,
            unit=unit,
            on_error=on_error,
            postings=postings and kept,
            background=background,
            checkpoint=checkpoint if kept else None,
            strata=strata,
            languages=languages,
        )
        return job.run(keep=kept)

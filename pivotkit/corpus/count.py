"""Counting a corpus: one scan, in work units whose counts survive a kill."""

from __future__ import annotations

import functools
import secrets
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pivotkit.arguments import (
    LARGEST,
    available_cpus,
    check_flag,
    check_int,
    check_kind,
    check_number,
    check_path,
    check_paths,
    check_strings,
    check_word_pairs,
    refuse,
)
from pivotkit.corpus.counting.choose_source import choose_source
from pivotkit.corpus.counting.plan import Plan
from pivotkit.corpus.counting.run import run_plan
from pivotkit.corpus.counting.sources import TextSource, TokenSource
from pivotkit.corpus.counting.strata import PIECE_BYTES, Strata, fix_strata
from pivotkit.corpus.counting.unit_tokens import sweep_blocks
from pivotkit.corpus.languages.language_table import LanguageTable
from pivotkit.corpus.matching.token_watchlist import TokenWatchList
from pivotkit.corpus.matching.watchlist import WatchList
from pivotkit.corpus.reading.budget import BESIDE_BYTES, PROCESS_BYTES, DocumentBudget, parse_bytes, require
from pivotkit.corpus.reading.documents import Corpus, Unit, check_on_error
from pivotkit.corpus.reading.scope import PIECES, Scope
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.tables.counts import Counts, Word
from pivotkit.corpus.token_store.store import TokenStore

WORD_BYTES = 450  # per watched word: its string, its place in the matcher, its counters
PAIR_BYTES = 100
SAMPLE_BYTES = 128  # per document in the sample of a word, while documents are ranked
VOCABULARY_BYTES = 64
STRATUM_CELL_BYTES = 4
SMALLEST_UNIT, LARGEST_UNIT = 64 << 20, 1 << 30
LEAST_BLOCK_BYTES = 8 << 20  # per context block: with smaller blocks, the table would be written many times


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
    if not isinstance(corpus, TokenFiles | TokenStore):
        corpus = check_paths("count", "corpus", corpus)
    if not isinstance(watchlist, WatchList | TokenWatchList):
        watchlist = check_strings("count", "watchlist", watchlist, "a watch list or an iterable of str")
    pairs = [] if pairs is None else check_word_pairs("count", "pairs", pairs, languages=True)
    check_path("count", "out", out, none=True)
    check_int("count", "workers", workers, 1, none=True)
    check_on_error("count", on_error)
    together = Scope.parse(scope, "count")
    budget = parse_bytes(memory, "count")
    check_flag("count", "postings", postings)
    check_flag("count", "background", background)
    check_number("count", "checkpoint", checkpoint, 0)
    check_kind("count", "strata", strata, Strata, "a Strata", none=True)
    check_kind("count", "languages", languages, LanguageTable, "a LanguageTable", none=True)
    size: int | str | None = None
    if unit is not None:
        size = "auto" if isinstance(unit, str) and unit == "auto" else parse_bytes(unit, "count", "unit")
    source, work_units = choose_source(corpus, watchlist, together, context, on_error, languages, strata)
    units = _cut(size, _processes(workers, LARGEST), work_units)
    ids = _pair_ids(source.watch, pairs)
    processes = _processes(workers, len(units))
    if sample is not None:
        _check_sample(sample, context)
    if sample is not None and together.kind == "window":
        raise ValueError(f"count: scope must not be of windows with a sample; got {str(together)!r}")
    if context is not False and not background:
        raise ValueError("count: background must be True with a context; got False")
    if strata is not None and not background:
        raise ValueError("count: background must be True with strata; got False")
    fixed = _fixed_bytes(source, ids) + SAMPLE_BYTES * (sample or 0) * len(source.watch)

    def hold(fixed: int) -> int:
        """Refuse a budget that lets no process hold ``fixed`` bytes; what they leave is for documents."""
        least = fixed + (LEAST_BLOCK_BYTES if context is not False else 0)
        require("count", f"{processes} processes", processes * least, budget)
        taken = fixed - PROCESS_BYTES + BESIDE_BYTES
        beyond = fixed if context is not False else None
        source.budget = DocumentBudget(budget, processes, taken, together.kind in ("window", *PIECES), beyond)
        return fixed

    hold(fixed)
    listed = None
    if strata is not None:
        listed = fix_strata(strata, work_units(PIECE_BYTES), lambda piece: source.sample(piece, together))
        fixed = hold(fixed + STRATUM_CELL_BYTES * len(listed) * (source.vocabulary + len(source.watch) + 1))

    with ExitStack() as exits:
        place = Path(exits.enter_context(tempfile.TemporaryDirectory()) if out is None else out)
        folder = place / "units"
        folder.mkdir(parents=True, exist_ok=True)  # so that an unwritable place is refused before any work
        sweep_blocks(folder)
        plan = Plan(
            source=source,
            pairs=ids,
            scope=together,
            context=context is not False,
            folder=folder,
            table_bytes=budget // processes - fixed,
            sample=sample,
            postings=sample is not None or (postings and out is not None),
            background=background,
            strata=listed,
            checkpoint=None if out is None else checkpoint,
            run=secrets.token_hex(4),
        )
        return run_plan(plan, units, place, budget - processes * fixed, processes, keep=out is not None)


def _pair_ids(
    watch: WatchList | TokenWatchList, pairs: Sequence[tuple[str | Word, str | Word]]
) -> npt.NDArray[np.int32]:
    @functools.cache  # most words are in many pairs
    def place(word: str | Word) -> int:
        return watch.id(word) if isinstance(word, str) else watch.id(*word)

    return np.array([(place(a), place(b)) for a, b in pairs], dtype=np.int32).reshape(-1, 2)


def _check_sample(sample: int, context: bool | TokenStore) -> None:
    check_int("count", "sample", sample, -LARGEST, none=True)
    if sample < 2:
        refuse("count", "sample", "be at least 2 documents, so that the error can be estimated", sample)
    if context is False:
        raise ValueError(f"count: sample must come with a context; got {sample} without one")


def _fixed_bytes(source: TextSource | TokenSource, pairs: npt.NDArray[np.int32]) -> int:
    """The bytes that one process must hold in memory."""
    words = WORD_BYTES * len(source.watch) + 16 * sum(map(len, source.watch.words))
    return PROCESS_BYTES + words + PAIR_BYTES * len(pairs) + VOCABULARY_BYTES * source.vocabulary


def _processes(workers: int | None, units: int) -> int:
    if workers is None:
        workers = available_cpus()
    return min(workers, units)


def _cut(size: int | str | None, processes: int, work_units: Callable[[int | None], list[Unit]]) -> list[Unit]:
    """Units of about ``size`` bytes; "auto": so small that processes end together, and so large that files are few."""
    if isinstance(size, str):
        share = sum(unit.size for unit in work_units(None)) // processes
        size = min(max(share // 8, SMALLEST_UNIT), LARGEST_UNIT)
    return work_units(size)

"""A count that several processes or machines share, each a part of the work units."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pivotkit.arguments import (
    LARGEST,
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
from pivotkit.corpus.counting.merge import merge_unit_counts
from pivotkit.corpus.counting.plan import Plan
from pivotkit.corpus.counting.run import run_plan
from pivotkit.corpus.counting.sources import TextSource, TokenSource
from pivotkit.corpus.counting.strata import PIECE_BYTES, Strata, fix_strata
from pivotkit.corpus.counting.unit_counter import UnitCounter
from pivotkit.corpus.counting.unit_tokens import sweep_blocks
from pivotkit.corpus.counting.workers import count_units
from pivotkit.corpus.languages.language_table import LanguageTable
from pivotkit.corpus.matching.token_watchlist import TokenWatchList
from pivotkit.corpus.matching.watchlist import WatchList
from pivotkit.corpus.reading.budget import BESIDE_BYTES, PROCESS_BYTES, DocumentBudget, parse_bytes, require
from pivotkit.corpus.reading.documents import Corpus, Unit, check_on_error
from pivotkit.corpus.reading.scope import PIECES, Scope
from pivotkit.corpus.reading.token_files import TokenFiles
from pivotkit.corpus.tables.counts import Counts, Word
from pivotkit.corpus.token_store.store import TokenStore
from pivotkit.errors import CorpusError, InputError

WORD_BYTES = 450  # per watched word: its string, its place in the matcher, its counters
PAIR_BYTES = 100
SAMPLE_BYTES = 128  # per document in the sample of a word, while documents are ranked
VOCABULARY_BYTES = 64
STRATUM_CELL_BYTES = 4
SMALLEST_UNIT, LARGEST_UNIT = 64 << 20, 1 << 30
LEAST_BLOCK_BYTES = 8 << 20  # per context block: with smaller blocks, the table would be written many times


class CountJob:
    """A `count` that several processes or machines share: each counts a part of the units, and one adds all of them up.

    Whoever makes a job of the same arguments, corpus and folder has the same units, so the parts need no word of each
    other. Their folder must be one that all of them see.

    Parameters
    ----------
    corpus, watchlist, pairs, scope, context, sample, on_error, postings, background, strata, languages
        As for `count`.
    out
        Folder for the counts. Below it, ``units/`` holds those of finished units.
    memory
        Bytes that all processes of one part together may hold. "2GB" by default.
    workers
        Processes of one part. 1 by default. With several, a script must start under ``if __name__ == "__main__"``.
    unit
        About how many bytes a work unit has, as for `count`; "256MB" by default. With "auto" it depends on ``workers``,
        which must then be the same in every part.
    checkpoint
        Seconds of work on a context table that a kill may cost, 300 by default. None: it is written at the end alone.

    Raises
    ------
    TypeError, ValueError, CorpusError, InputError
        As `count`.

    Notes
    -----
    Making a job lists the files and reads their headers. With strata it also reads the documents that fix them.

    Examples
    --------
    >>> import tempfile
    >>> folder, out = Path(tempfile.mkdtemp()), tempfile.mkdtemp()
    >>> for name in "ab":
    ...     _ = (folder / f"{name}.jsonl").write_text('{"text": "the cat, le chat"}\\n')
    >>> for part in range(2):  # each perhaps on another machine
    ...     CountJob(folder, ["cat", "chat"], out=out).count(part, 2)
    >>> CountJob(folder, ["cat", "chat"], out=out).merge().df.tolist()
    [2, 2]
    """

    def __init__(
        self,
        corpus: Corpus | TokenFiles | TokenStore,
        watchlist: WatchList | TokenWatchList | Iterable[str],
        *,
        out: str | Path,
        pairs: Iterable[tuple[str | Word, str | Word]] | None = None,
        scope: str = "document",
        context: bool | TokenStore = False,
        sample: int | None = None,
        memory: int | str = "2GB",
        workers: int = 1,
        unit: int | str | None = "256MB",
        on_error: str = "raise",
        postings: bool = True,
        background: bool = True,
        checkpoint: float | None = 300.0,
        strata: Strata | None = None,
        languages: LanguageTable | None = None,
    ) -> None:
        if not isinstance(corpus, TokenFiles | TokenStore):
            corpus = check_paths("count", "corpus", corpus)
        if not isinstance(watchlist, WatchList | TokenWatchList):
            watchlist = check_strings("count", "watchlist", watchlist, "a watch list or an iterable of str")
        pairs = [] if pairs is None else check_word_pairs("count", "pairs", pairs, languages=True)
        check_path("count", "out", out)
        check_int("count", "workers", workers, 1)
        check_on_error("count", on_error)
        together = Scope.parse(scope, "count")
        budget = parse_bytes(memory, "count")
        check_flag("count", "postings", postings)
        check_flag("count", "background", background)
        if checkpoint is not None:
            check_number("count", "checkpoint", checkpoint, 0)
        check_kind("count", "strata", strata, Strata, "a Strata", none=True)
        check_kind("count", "languages", languages, LanguageTable, "a LanguageTable", none=True)
        size: int | str | None = None
        if unit is not None:
            size = "auto" if isinstance(unit, str) and unit == "auto" else parse_bytes(unit, "count", "unit")
        source, work_units = choose_source(corpus, watchlist, together, context, on_error, languages, strata)
        self.units = _cut(size, workers, work_units)
        ids = pair_ids(source.watch, pairs)
        processes = min(workers, len(self.units))
        if sample is not None:
            _check_sample(sample, context)
        if sample is not None and together.kind == "window":
            raise ValueError(f"count: scope must not be of windows with a sample; got {str(together)!r}")
        if context is not False and not background:
            raise ValueError("count: background must be True with a context; got False")
        if strata is not None and not background:
            raise ValueError("count: background must be True with strata; got False")
        fixed = fixed_bytes(source, ids) + SAMPLE_BYTES * (sample or 0) * len(source.watch)

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

        self._place, self._processes, self._memory = Path(out), processes, budget - processes * fixed
        folder = self._place / "units"
        folder.mkdir(parents=True, exist_ok=True)  # so that an unwritable place is refused before any work
        sweep_blocks(folder)
        self._plan = Plan(
            source=source,
            pairs=ids,
            scope=together,
            context=context is not False,
            folder=folder,
            table_bytes=budget // processes - fixed,
            sample=sample,
            postings=sample is not None or postings,
            background=background,
            strata=listed,
            checkpoint=checkpoint,
            run=secrets.token_hex(4),
        )

    def __repr__(self) -> str:
        return f"CountJob({len(self.units)} units, {str(self._place)!r})"

    def run(self, *, keep: bool = True) -> Counts:
        """Count what is unfinished and add all of it up; with ``keep``, which is the default, save the sum."""
        return run_plan(self._plan, self.units, self._place, self._memory, self._processes, keep=keep)

    def count(self, part: int = 0, parts: int = 1) -> None:
        """Count what is unfinished of every ``parts``-th unit, from number ``part`` on.

        By default all. Their counts stay in ``out/units``. A part that was killed goes on from its finished units.
        """
        check_part("CountJob.count", part, parts)
        with UnitCounter(self._plan) as counter:
            count_units(counter, self.units[part::parts], self._processes)

    def merge(self) -> Counts:
        """Add up the counts of all units, and save the sum in ``out``.

        InputError when units are not counted, or when their counts are damaged: these are removed, so that counting the
        parts again does no more than it must.
        """
        with UnitCounter(self._plan) as counter:
            missing = counter.unfinished(self.units)
            if not missing:
                try:
                    return merge_unit_counts(counter, self.units, self._place, self._memory, self._processes, keep=True)
                except (OSError, pa.ArrowException, CorpusError):
                    counter.remove_damaged(self.units)
                    missing = counter.unfinished(self.units)
                    if not missing:
                        raise
        rule = f"must hold the whole counts of all {len(self.units)} units before they are added up"
        raise InputError(self._plan.folder, "", f"{rule}; got {len(missing)} less")


def check_part(function: str, part: int, parts: int) -> None:
    """Refuse a part that is none of ``parts``."""
    check_int(function, "parts", parts, 1)
    check_int(function, "part", part, 0)
    if part >= parts:
        refuse(function, "part", f"be less than parts, {parts}", part)


def pair_ids(
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


def fixed_bytes(source: TextSource | TokenSource, pairs: npt.NDArray[np.int32]) -> int:
    """The bytes that one process must hold in memory."""
    words = WORD_BYTES * len(source.watch) + 16 * sum(map(len, source.watch.words))
    return PROCESS_BYTES + words + PAIR_BYTES * len(pairs) + VOCABULARY_BYTES * source.vocabulary


def _cut(size: int | str | None, processes: int, work_units: Callable[[int | None], list[Unit]]) -> list[Unit]:
    """Units of about ``size`` bytes; "auto": so small that processes end together, and so large that files are few."""
    if isinstance(size, str):
        share = sum(unit.size for unit in work_units(None)) // processes
        size = min(max(share // 8, SMALLEST_UNIT), LARGEST_UNIT)
    return work_units(size)

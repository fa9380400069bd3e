"""A count of documents that pass by: what is read, filtered and handed on elsewhere is counted on its way."""

from __future__ import annotations

import copy
import queue
import secrets
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pivotkit.arguments import check_flag, check_path, check_strings, check_text, check_word_pairs, refuse
from pivotkit.corpus.count_job import check_part, fixed_bytes, pair_ids
from pivotkit.corpus.counting.merge import merge_unit_counts
from pivotkit.corpus.counting.plan import Plan
from pivotkit.corpus.counting.sources import TextSource
from pivotkit.corpus.counting.unit_counter import UnitCounter
from pivotkit.corpus.matching.watchlist import WatchList, as_watchlist
from pivotkit.corpus.reading.budget import BESIDE_BYTES, PROCESS_BYTES, DocumentBudget, parse_bytes, require
from pivotkit.corpus.reading.documents import BATCH_BYTES, BATCH_DOCUMENTS, TextBlock
from pivotkit.corpus.reading.scope import PIECES, Scope
from pivotkit.corpus.reading.units import Unit
from pivotkit.corpus.tables.counts import Counts, Word
from pivotkit.corpus.tables.unit_counts import read_header
from pivotkit.errors import InputError

WAITING = 2  # blocks between who reads and who counts
TURN_SECONDS = 0.2  # after which a reader that waits looks whether the counter is there still


class StreamCount:
    """A `count` of documents that something else reads, in parts that perhaps pass by on several machines.

    Parameters
    ----------
    watchlist, pairs, scope, postings
        As for `count` of text.
    out
        Folder for the counts, which all parts see. Below it, ``units/`` holds those of finished parts.
    name
        What tells this stream from others, so that the counts of both can be added. "stream" by default.
    memory
        Bytes that one part may hold beside its reader. "2GB" by default.

    Raises
    ------
    TypeError, ValueError
        As `count`. There is no context and no scope of instances, since text that passes by has no tokens.

    Notes
    -----
    A thread counts beside the reader. A part is counted whole or not at all: one that breaks off leaves nothing, and
    one that is repeated takes the place of the first.

    Examples
    --------
    >>> import tempfile
    >>> stream = StreamCount(["cat", "chat"], out=tempfile.mkdtemp())
    >>> for part, texts in enumerate([["the cat, le chat"], ["a cat", "a dog"]]):
    ...     with stream.part(part, 2) as add:
    ...         for text in texts:
    ...             add(text)
    >>> stream.merge().df.tolist()
    [2, 1]
    """

    def __init__(
        self,
        watchlist: WatchList | Iterable[str],
        *,
        out: str | Path,
        name: str = "stream",
        pairs: Iterable[tuple[str | Word, str | Word]] | None = None,
        scope: str = "document",
        memory: int | str = "2GB",
        postings: bool = True,
    ) -> None:
        if not isinstance(watchlist, WatchList):
            watchlist = check_strings("StreamCount", "watchlist", watchlist, "a watch list or an iterable of str")
        pairs = [] if pairs is None else check_word_pairs("StreamCount", "pairs", pairs, languages=True)
        check_path("StreamCount", "out", out)
        check_text("StreamCount", "name", name)
        together = Scope.parse(scope, "StreamCount")
        if together.kind == "instance":
            refuse("StreamCount", "scope", "not be of instances for text, which has no tokens", str(together))
        budget = parse_bytes(memory, "StreamCount")
        check_flag("StreamCount", "postings", postings)
        source = _PassingTexts(as_watchlist(watchlist))
        ids = pair_ids(source.watch, pairs)
        fixed = fixed_bytes(source, ids)
        require("StreamCount", "a part", fixed, budget)
        beside = fixed - PROCESS_BYTES + BESIDE_BYTES
        source.budget = DocumentBudget(budget, 1, beside, together.kind in ("window", *PIECES), None)
        self._name, self._place, self._memory = name, Path(out), budget - fixed
        folder = self._place / "units"
        folder.mkdir(parents=True, exist_ok=True)
        run = secrets.token_hex(4)
        self._plan = Plan(source, ids, together, False, folder, self._memory, postings=postings, run=run)

    def __repr__(self) -> str:
        return f"StreamCount({len(self._plan.source.watch)} words, {str(self._place)!r})"

    @contextmanager
    def part(self, part: int = 0, parts: int = 1) -> Iterator[_Add]:
        """Give what adds a document, ``add(text, language=None)``; when the block succeeds, the part is counted.

        A document without a language has the language "und".
        """
        check_part("StreamCount.part", part, parts)
        add = _Add(self._plan, _part_unit(self._name, part, parts))
        try:
            yield add
        except BaseException:
            add.stop()
            raise
        add.finish()

    def merge(self) -> Counts:
        """Add up the counts of all parts, and save the sum in ``out``; InputError while one of them is not counted."""
        with UnitCounter(self._plan) as counter:
            headers = (read_header(path) for path in self._plan.folder.glob(f"*-{counter.digest}.parquet"))
            places = sorted(Path(header["path"]) for header in headers if header is not None)
            own = [place for place in places if place.parent == Path(self._name)]
            every = {int(place.name.rpartition("-")[2]) for place in own}
            if len(every) > 1:
                problem = f"must hold the parts of one stream; got parts of {' and of '.join(map(str, sorted(every)))}"
                raise InputError(self._plan.folder, "", problem)
            parts = max(every, default=1)
            units = [_part_unit(self._name, part, parts) for part in range(parts)]
            if missing := [unit.path.name for unit in units if counter.header(unit) is None]:
                problem = f"must hold the counts of all {parts} parts; {', '.join(missing[:5])} must be counted again"
                raise InputError(self._plan.folder, "", problem)
            return merge_unit_counts(counter, units, self._place, self._memory, 1, keep=True)


def _part_unit(name: str, part: int, parts: int) -> Unit:
    return _PartUnit(Path(name) / f"part-{part}-of-{parts}", 0, 0)


class _PartUnit(Unit):
    """A part of a stream, in the place of a file."""

    def check(self) -> None:
        """Nothing can have changed: what passes by is not read again."""


class _PassingTexts(TextSource):
    """Text that another thread hands on."""

    def __init__(self, watch: WatchList) -> None:
        super().__init__(watch, "raise", None)
        self.passing: Iterator[TextBlock] | None = None

    def identity(self) -> Any:
        return {**super().identity(), "stream": True}

    def _ahead(self, unit: Unit) -> Iterator[TextBlock]:
        assert self.passing is not None
        return self.passing


class _Add:
    """Documents of one part on their way to the thread that counts them."""

    def __init__(self, plan: Plan, unit: Unit) -> None:
        self._texts: list[str] = []
        self._languages: list[str | None] = []
        self._size = self._row = 0
        self._blocks: queue.Queue[TextBlock | BaseException | None] = queue.Queue(WAITING)
        self._counted: Future[None] = Future()
        source = copy.copy(plan.source)
        assert isinstance(source, _PassingTexts)
        source.passing = self._passing()
        own = replace(plan, source=source)
        threading.Thread(target=self._count, args=(own, unit), name="stream-count", daemon=True).start()

    def __call__(self, text: str, language: str | None = None) -> None:
        self._texts.append(text)
        self._languages.append(language)
        self._size += len(text)
        if self._size >= BATCH_BYTES or len(self._texts) >= BATCH_DOCUMENTS:
            self._flush()

    def finish(self) -> None:
        """Wait until all that was added is counted."""
        self._flush()
        self._hand(None)
        self._counted.result()

    def stop(self) -> None:
        """Let the thread leave the part, of which nothing is kept."""
        if not self._counted.done():
            with suppress(Exception):
                self._hand(_Stopped())
            self._counted.exception()

    def _flush(self) -> None:
        if not self._texts:
            return
        for block in TextBlock.of_texts(self._texts, self._languages, self._row, BATCH_BYTES):
            self._hand(block)
        self._row += len(self._texts)
        self._texts, self._languages, self._size = [], [], 0

    def _hand(self, block: TextBlock | BaseException | None) -> None:
        """Put ``block`` where the thread takes it, or raise what has ended the thread."""
        while True:
            if self._counted.done():
                self._counted.result()
            try:
                self._blocks.put(block, timeout=TURN_SECONDS)
                return
            except queue.Full:
                continue

    def _passing(self) -> Iterator[TextBlock]:
        while (block := self._blocks.get()) is not None:
            if isinstance(block, BaseException):
                raise block
            yield block

    def _count(self, plan: Plan, unit: Unit) -> None:
        try:
            with UnitCounter(plan) as counter:
                counter.count(unit)
        except BaseException as error:
            self._counted.set_exception(error)
        else:
            self._counted.set_result(None)


class _Stopped(Exception):
    """The reader has broken off."""

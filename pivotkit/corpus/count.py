"""Counting a corpus: one scan, work units, partial results that survive a kill."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from pivotkit import _C
from pivotkit._text import pack_strings
from pivotkit.corpus.budget import PROCESS_BYTES, parse_bytes, require
from pivotkit.corpus.counts import Counts
from pivotkit.corpus.documents import Batch, Corpus, Unit, check_on_error, read_documents, work_units
from pivotkit.corpus.partial import merge_all, read_header, read_partial, write_partial
from pivotkit.corpus.tokens import TokenStore
from pivotkit.corpus.watchlist import NORMALIZATION, WatchList, as_watchlist
from pivotkit.errors import InputError
from pivotkit.progress import track

FORMAT = 1
WORD_BYTES = 400  # of one watched word: its string, its place in the matcher, its counters
TOKEN_BYTES = 12  # of one token of a unit: kept once a document (4), hits beside it (8)


@dataclass(frozen=True)
class Plan:
    """All that the counts of a unit depend on besides the unit; its digest names the partials."""

    words: tuple[str, ...]
    pairs: npt.NDArray[np.int32]
    on_error: str
    folder: Path
    store: Path | None
    tokenizer: str | None
    vocabulary: int

    def digest(self) -> str:
        identity = {
            "format": FORMAT,
            "words": list(self.words),
            "pairs": self.pairs.tolist(),
            "scope": "document",
            "normalization": f"{NORMALIZATION} of Unicode {unicodedata.unidata_version}",
            "on_error": self.on_error,
            "tokenizer": self.tokenizer,
        }
        return hashlib.blake2b(orjson.dumps(identity, option=orjson.OPT_SORT_KEYS), digest_size=12).hexdigest()


class UnitCounter:
    """Counts units by one plan; the matcher is made once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.digest = plan.digest()
        self.matcher = WatchList(plan.words).matcher()
        self.store = None if plan.store is None else TokenStore.open(plan.store)

    def path(self, unit: Unit) -> Path:
        return self.plan.folder / f"{unit.name}-{self.digest}.parquet"

    def is_done(self, unit: Unit) -> bool:
        header = read_header(self.path(unit))
        return header is not None and (header["unit"], header["configuration"]) == (unit.name, self.digest)

    def count(self, unit: Unit) -> None:
        """Count ``unit`` and write its partial."""
        expected = 0 if self.store is None else self.store.tokens(unit)
        counter = _C.DocumentCounter(len(self.matcher), self.plan.pairs, self.plan.vocabulary, expected)
        skipped = 0
        for batch, tokens, offsets in self._batches(unit):
            hits = self.matcher.match(*pack_strings(batch.texts))
            counter.add(*hits, tokens, offsets)
            skipped += batch.skipped
        header = {
            "unit": unit.name,
            "path": str(unit.path),
            "configuration": self.digest,
            "skipped": skipped,
            "tokenizer": self.plan.tokenizer,
        }
        write_partial(self.path(unit), counter, header)

    def _batches(self, unit: Unit) -> Iterator[tuple[Batch, Any, Any]]:
        """Batches of documents with their token ids, when there is a store; its rows must be the documents' rows."""
        if self.store is None:
            for batch in read_documents(unit, self.plan.on_error):
                yield batch, None, None
            return
        ids, offsets = self.store.ids(unit), self.store.offsets(unit)
        rows = self.store.table(unit)["row"].to_numpy()
        at = 0
        for batch in read_documents(unit, self.plan.on_error):
            ends = offsets[at : at + len(batch) + 1]
            if not np.array_equal(rows[at : at + len(batch)], batch.rows):
                raise InputError(
                    self.store.folder, unit.path.name, "must hold the documents of the corpus; got other rows"
                )
            yield batch, ids[ends[0] : ends[-1]], ends - ends[0]
            at += len(batch)
        if at != len(rows):
            raise InputError(self.store.folder, unit.path.name, f"must hold {at} documents; got {len(rows)}")


def count(
    corpus: Corpus,
    watchlist: WatchList | Iterable[str],
    *,
    pairs: Iterable[tuple[str, str]] | None = None,
    scope: str = "document",
    context: bool | TokenStore = False,
    memory: int | str = "2GB",
    workers: int | None = None,
    on_error: str = "raise",
    out: str | Path | None = None,
) -> Counts:
    """Count watch words, pairs of them and their context tokens over a corpus, exactly, in one scan.

    With documents d, words w and tokens t as 0/1 matrices, ``df = H.sum(0)``, ``pair_df[i, j] = (H.T @ H)[i, j]`` for
    listed pairs, ``context = H.T @ X`` and ``background = X.sum(0)``.

    Parameters
    ----------
    corpus
        Files, folders or globs, as for `corpus_files`.
    watchlist
        W words in any spelling; `pivotkit.corpus.watchlist` says what an occurrence is.
    pairs
        Pairs of watched words whose joint document count is wanted. None: no pairs.
    scope
        What "together" means; "document".
    context
        A `TokenStore` of the same files: count also each token of the documents that contain each word. False: do not.
    memory
        Bytes that all processes together may hold, as an int or like "2GB".
    workers
        Processes that share the units; None: one for each available CPU. The counts do not depend on it. With more than
        one, a script must start under ``if __name__ == "__main__"``, as the processes are spawned.
    on_error
        "raise" or "skip", as for `read_documents`; must be the store's when there is a context.
    out
        Folder for the counts, and below it ``partials/``, from which a run that was stopped goes on. None: keep neither.

    Returns
    -------
    Counts

    Raises
    ------
    ValueError
        For a pair with a word that is not watched, and when ``memory`` cannot hold the work; the message names the
        bytes needed. What a unit needs is known, and refused, before any work; the size of the merged context tables
        is known when the units are counted, and with ``out`` a second run with more memory only has to merge.
    CorpusError
        For a document that cannot be read.
    InputError
        When the store does not hold these files as they are now.

    Notes
    -----
    The cost does not depend on the number of pairs: see ``csrc/cooccurrence/document_counter.h``.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.jsonl"
    >>> _ = file.write_text('{"text": "the cat, le chat"}\\n{"text": "a cat"}\\n')
    >>> counts = count(file, ["cat", "chat"], pairs=[("cat", "chat")], workers=1)
    >>> counts.df.tolist(), counts.pair("cat", "chat"), counts.documents
    ([2, 1], 1, 2)
    """
    check_on_error("count", on_error)
    if scope != "document":
        raise ValueError(f"count: scope must be 'document'; got {scope!r}")
    if context is not False and not isinstance(context, TokenStore):
        raise TypeError(f"count: context must be False or a TokenStore; got {context!r}")
    store = context if isinstance(context, TokenStore) else None
    if store is not None and store.on_error != on_error:
        raise ValueError(f"count: on_error must be the store's, {store.on_error!r}; got {on_error!r}")
    budget = parse_bytes(memory, "count")
    watch = as_watchlist(watchlist)
    ids = np.array([(watch.id(a), watch.id(b)) for a, b in pairs or ()], dtype=np.int32).reshape(-1, 2)
    units = work_units(corpus)
    if store is not None:
        absent = set(units) - set(store.units)
        if absent:
            path = min(unit.path for unit in absent)
            raise InputError(store.folder, "", f"must hold every file of the corpus as it is now; {path} is not in it")
    processes = _processes(workers, len(units))
    require("count", f"{processes} processes", processes * _unit_bytes(watch, ids, units, store), budget)

    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory()) if out is None else out) / "partials"
        folder.mkdir(parents=True, exist_ok=True)  # an unwritable place is refused before the work
        plan = Plan(
            words=tuple(watch.words),
            pairs=ids,
            on_error=on_error,
            folder=folder,
            store=None if store is None else store.folder.resolve(),
            tokenizer=None if store is None else store.fingerprint,
            vocabulary=0 if store is None else store.vocab_size,
        )
        counter = UnitCounter(plan)
        _run(counter, [unit for unit in units if not counter.is_done(unit)], processes)
        total = merge_all((_partial(counter, unit) for unit in units), budget)
    if out is not None:
        total.save(out)
    return total


def _processes(workers: int | None, units: int) -> int:
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(workers, bool) or not isinstance(workers, int):
        raise TypeError(f"count: workers must be an int or None; got {type(workers).__name__}")
    if workers < 1:
        raise ValueError(f"count: workers must be at least 1; got {workers}")
    return min(workers, units)


def _unit_bytes(watch: WatchList, pairs: npt.NDArray[np.int32], units: list[Unit], store: TokenStore | None) -> int:
    """What one process needs at most for its largest unit."""
    needed = PROCESS_BYTES + WORD_BYTES * len(watch) + sum(map(len, watch.words)) * 16 + 64 * len(pairs)
    if store is not None:
        needed += 40 * store.vocab_size + TOKEN_BYTES * max(store.tokens(unit) for unit in units)
    return needed


def _partial(counter: UnitCounter, unit: Unit) -> Counts:
    """The counts of ``unit``; a partial whose pages fail their checksum is counted anew once."""
    plan = counter.plan
    try:
        return read_partial(counter.path(unit), list(plan.words), plan.pairs, plan.vocabulary)
    except (OSError, pa.ArrowException):
        counter.count(unit)
        return read_partial(counter.path(unit), list(plan.words), plan.pairs, plan.vocabulary)


_counter: UnitCounter | None = None  # of a worker process


def _start(plan: Plan) -> None:
    global _counter
    _counter = UnitCounter(plan)


def _count(unit: Unit) -> None:
    assert _counter is not None
    _counter.count(unit)


def _run(counter: UnitCounter, units: list[Unit], processes: int) -> None:
    """Count ``units``, largest first so that no process is left alone with a large one at the end."""
    units = sorted(units, key=lambda unit: -unit.size)
    if processes == 1 or len(units) < 2:
        for unit in track(units, "Counting"):
            counter.count(unit)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(units)), spawn, _start, (counter.plan,)) as pool:
        futures = [pool.submit(_count, unit) for unit in units]
        try:
            for future in track(as_completed(futures), "Counting", total=len(futures)):
                future.result()
        except BrokenProcessPool:
            raise RuntimeError(
                "count: workers must live until their units are counted; one died (out of memory, or the script that "
                'called count does not guard its start with if __name__ == "__main__")'
            ) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise

"""Counting units in several processes, each of which takes the next one until there are no more."""

from __future__ import annotations

import contextlib
import functools
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, wait
from typing import Any

from pivotkit.corpus.counting.plan import Plan
from pivotkit.corpus.counting.unit_counter import UnitCounter
from pivotkit.corpus.matching import process_tables
from pivotkit.corpus.reading.documents import Unit
from pivotkit.corpus.reading.units import unit_bytes
from pivotkit.processes import SPAWN, spawned_pool
from pivotkit.progress import BYTES, progress


class SharedUnits:
    """Units, each with its size, that processes take in turn; a process that takes none has no more to do.

    ``next``, the place of the unit to take, and ``done``, the bytes of each unit that are done, are one for all
    processes.
    """

    def __init__(self, units: Sequence[tuple[Unit, int]], next: Any = None, done: Any = None) -> None:
        self._units = units
        self.next = SPAWN.Value("q", 0) if next is None else next
        # Without a lock, which a process that is killed would never let go.
        self.done = SPAWN.RawArray("q", len(units)) if done is None else done

    def __iter__(self) -> Iterator[tuple[int, Unit, int]]:
        """The place of a unit, the unit and its size."""
        while True:
            with self.next.get_lock():
                place = self.next.value
                self.next.value = place + 1
            if place >= len(self._units):
                return
            yield place, *self._units[place]

    def tell(self, place: int, done: int) -> None:
        """Say how many bytes of the unit at ``place`` are done."""
        self.done[place] = done

    def end(self) -> None:
        """Let every process end with the unit that it is counting."""
        self.next.value = len(self._units)


_work: tuple[Plan, SharedUnits] | None = None  # of a worker process
_ended = False  # whether a signal has told this worker process to end


def _start(handed: tuple[Plan, Sequence[tuple[Unit, int]], process_tables.Tables], next: Any, done: Any) -> None:
    global _work
    plan, units, tables = handed
    process_tables.adopt(tables)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    _work = plan, SharedUnits(units, next, done)


def _end(number: int, frame: object) -> None:
    """Leave the unit, which removes what it was writing; a worker without a unit ends in silence."""
    global _ended
    if not _ended:
        _ended = True
        raise SystemExit(128 + number)


def _count_here() -> None:
    """Count units until there are no more, into one context table."""
    assert _work is not None
    plan, units = _work
    with contextlib.suppress(SystemExit), UnitCounter(plan) as counter:
        if not _ended:
            for place, unit, size in units:
                _count(counter, unit, size, functools.partial(units.tell, place))
            counter.checkpoint()
    if _ended:
        raise KeyboardInterrupt


def _count(counter: UnitCounter, unit: Unit, size: int, tell: Callable[[int], None]) -> None:
    """Count a unit and tell how many of its bytes are done: what was read, and its size at its end."""
    counter.count(unit, lambda read: tell(min(read, size)))
    tell(size)


def count_units(counter: UnitCounter, corpus: Sequence[Unit], processes: int) -> None:
    """Count what is unfinished, the largest first, so that no process is left alone with a large one at the end."""
    unfinished = set(counter.unfinished(corpus))
    sizes = zip(corpus, unit_bytes(corpus), strict=True)
    units = sorted((sized for sized in sizes if sized[0] in unfinished), key=lambda sized: -sized[1])
    with progress("Counting", sum(size for _, size in units), BYTES) as tell:
        if processes > 1 and len(units) > 1:
            _count_in_processes(counter, units, processes, tell)
            return
        before = 0
        for unit, size in units:
            _count(counter, unit, size, lambda done, before=before: tell(before + done))  # type: ignore[misc]
            before += size
        counter.checkpoint()


def _count_in_processes(
    counter: UnitCounter, units: Sequence[tuple[Unit, int]], processes: int, tell: Callable[[int], None]
) -> None:
    """Count in workers and in this process, which has begun before the first worker has loaded its libraries."""
    shared, workers = SharedUnits(units), min(processes, len(units)) - 1
    handed = counter.plan, units, process_tables.made()
    with spawned_pool("count", workers, _start, handed, shared.next, shared.done) as pool:
        running = {pool.submit(_count_here) for _ in range(workers)}
        pool.submit(int)  # a pool watches over a process that it starts from the next task on

        def watch(timeout: float = 0) -> None:
            """Tell how many bytes are done, and raise what a worker raised."""
            ended, _ = wait(running, timeout, return_when=FIRST_EXCEPTION)
            for future in ended:
                running.remove(future)
                future.result()
            tell(sum(shared.done))

        def told(place: int, done: int) -> None:
            shared.tell(place, done)
            watch()

        try:
            for place, unit, size in shared:
                _count(counter, unit, size, functools.partial(told, place))
            counter.checkpoint()
            while running:
                watch(0.2)
        except BaseException:
            shared.end()
            raise

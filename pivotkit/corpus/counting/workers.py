"""Counting units in several processes, each of which takes the next one until there are no more."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import SpawnContext

from pivotkit.corpus.counting.plan import Plan
from pivotkit.corpus.counting.unit_counter import UnitCounter
from pivotkit.corpus.matching import process_tables
from pivotkit.corpus.reading.documents import Unit
from pivotkit.progress import track


class SharedUnits:
    """Units that processes take in turn; a process that takes none has no more to do."""

    def __init__(self, units: Sequence[Unit], context: SpawnContext) -> None:
        self._units = units
        self._next, self.done = context.Value("q", 0), context.Value("q", 0)

    def __iter__(self) -> Iterator[Unit]:
        while True:
            with self._next.get_lock():
                place = self._next.value
                self._next.value = place + 1
            if place >= len(self._units):
                return
            yield self._units[place]
            with self.done.get_lock():
                self.done.value += 1

    def end(self) -> None:
        """Let every process end with the unit that it is counting."""
        self._next.value = len(self._units)


_work: tuple[Plan, SharedUnits] | None = None  # of a worker process
_ended = False  # whether a signal has told this worker process to end


def _start(plan: Plan, units: SharedUnits, tables: process_tables.Tables) -> None:
    global _work
    process_tables.adopt(tables)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    _work = plan, units


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
            for unit in units:
                counter.count(unit)
            counter.checkpoint()
    if _ended:
        raise KeyboardInterrupt


def count_units(counter: UnitCounter, units: Sequence[Unit], processes: int) -> None:
    """Count ``units``, the largest first, so that no process is left alone with a large one at the end."""
    units = sorted(units, key=lambda unit: -unit.size)
    if processes == 1 or len(units) < 2:
        for unit in track(units, "Counting"):
            counter.count(unit)
        counter.checkpoint()
        return
    spawn = multiprocessing.get_context("spawn")
    shared, workers = SharedUnits(units, spawn), min(processes, len(units))
    with ProcessPoolExecutor(workers, spawn, _start, (counter.plan, shared, process_tables.made())) as pool:
        try:
            futures = [pool.submit(_count_here) for _ in range(workers)]
            pool.submit(int)  # a pool watches over a process that it starts from the next task on
            for _ in track(_progress(futures, shared, len(units)), "Counting", total=len(units)):
                pass
        except BrokenProcessPool:
            raise ChildProcessError(
                "count: workers must live until their units are counted; one died (out of memory, or the script that "
                'called count does not guard its start with if __name__ == "__main__")'
            ) from None
        except BaseException as error:
            shared.end()
            for process in [] if isinstance(error, Exception) else list(pool._processes.values()):
                process.terminate()  # an interruption does not wait for the units that are being counted
            pool.shutdown(cancel_futures=True)
            raise


def _progress(futures: Sequence[Future[None]], units: SharedUnits, total: int) -> Iterator[None]:
    """Yield once per unit that is done, until all workers have ended; raises what one of them raised."""
    told, running = 0, set(futures)
    while running:
        ended, running = wait(running, timeout=0.2, return_when=FIRST_EXCEPTION)
        for future in ended:
            future.result()
        for _ in range(told, min(units.done.value, total)):
            told += 1
            yield

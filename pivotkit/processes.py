"""Spawned processes that are handed any amount of work, and tell how they died."""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
import tempfile
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

from pivotkit.arguments import available_cpus
from pivotkit.progress import track

SPAWN = multiprocessing.get_context("spawn")

Task = TypeVar("Task", bound=Hashable)
Result = TypeVar("Result")


@contextlib.contextmanager
def spawned_pool(
    function: str, processes: int, start: Callable[..., None], handed: Any, *shared: Any
) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool whose processes begin with ``start(handed, *shared)``.

    ``handed`` travels in a file: through the pipe, Python waits forever for a process that dies before it has read more
    than a pipe holds, as every process does whose script lacks its guard. ``shared`` is what only a pipe can carry.
    An error ends what is not begun. An interruption ends what runs, too.
    """
    with tempfile.TemporaryDirectory(prefix="pivotkit-") as folder:
        path = Path(folder) / "handed.pickle"
        path.write_bytes(pickle.dumps(handed))
        with ProcessPoolExecutor(processes, SPAWN, _begin, (start, path, *shared)) as pool:
            try:
                yield pool
            except BrokenProcessPool:
                raise ChildProcessError(
                    f"{function}: workers must live until their units are done; one died (out of memory, or the script "
                    f'that called {function} does not guard its start with if __name__ == "__main__")'
                ) from None
            except BaseException as error:
                for process in [] if isinstance(error, Exception) else list(pool._processes.values()):
                    process.terminate()
                pool.shutdown(cancel_futures=True)
                raise


def run_each(
    function: str, run: Callable[[Task], Result], tasks: Sequence[Task], workers: int | None, description: str
) -> dict[Task, Result]:
    """``{task: run(task) for task in tasks}``, begun in this order, with a bar.

    It runs in this process where there is one task, or one of ``workers``; else in so many, or one per available CPU.
    """
    count = min(available_cpus() if workers is None else workers, len(tasks))
    if count < 2:
        return {task: run(task) for task in track(tasks, description)}
    with spawned_pool(function, count, _take, run) as pool:
        futures = {pool.submit(_run, task): task for task in tasks}
        ended = track(as_completed(futures), description, total=len(tasks))
        return {futures[future]: future.result() for future in ended}


_taken: list[Callable[[Any], Any]] = []  # of a worker process


def _take(run: Callable[[Any], Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends this one
    _taken[:] = [run]


def _run(task: Any) -> Any:
    return _taken[0](task)


def _begin(start: Callable[..., None], path: Path, *shared: Any) -> None:
    start(pickle.loads(path.read_bytes()), *shared)

"""A pool of spawned processes that is handed any amount of work, and tells how it died."""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

SPAWN = multiprocessing.get_context("spawn")


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


def _begin(start: Callable[..., None], path: Path, *shared: Any) -> None:
    start(pickle.loads(path.read_bytes()), *shared)

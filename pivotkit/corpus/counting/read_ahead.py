"""Reading ahead: a thread reads the next block while the caller works on one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")
LARGE_BLOCK = 32 << 20  # bytes; behind a larger block nothing is read ahead, so that no two are in memory


def read_ahead(blocks: Iterator[T], size: Callable[[T], int]) -> Generator[T, None, None]:
    """Yield ``blocks``, of ``size`` bytes each, one of which is read while the caller works on the one before.

    What reading raises is raised here, behind the blocks before it.
    """
    read: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()
    allowed, closed = threading.Semaphore(1), threading.Event()

    def work() -> None:
        try:
            while allowed.acquire() and not closed.is_set():
                read.put((next(blocks), None))
        except BaseException as error:  # StopIteration too: it ends the caller's loop
            read.put((None, error))

    thread = threading.Thread(target=work, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            block, error = read.get()
            if error is not None:
                if isinstance(error, StopIteration):
                    return
                raise error
            assert block is not None
            is_large = size(block) > LARGE_BLOCK
            if not is_large:
                allowed.release()
            yield block
            del block
            if is_large:
                allowed.release()
    finally:
        closed.set()
        allowed.release()
        thread.join()
        if isinstance(blocks, Generator):
            blocks.close()

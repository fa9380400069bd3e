"""Progress bars on stderr for work that takes longer than two seconds."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.errors import LiveError
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

T = TypeVar("T")
PATIENCE = 2.0  # seconds before a bar appears

console = Console(stderr=True)


# How an amount is shown.
Columns = tuple[type[ProgressColumn], ...]
ITEMS: Columns = (MofNCompleteColumn,)
BYTES: Columns = (DownloadColumn, TransferSpeedColumn)


@contextlib.contextmanager
def progress(description: str, total: int | None = None, amount: Columns = ITEMS) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes how much of ``total`` is done. After two seconds a bar shows it."""
    kinds: Columns = (BarColumn, *amount, TimeElapsedColumn, TimeRemainingColumn)
    columns = (TextColumn("  {task.description}"), *(kind() for kind in kinds))
    bar = Progress(*columns, console=console)
    task = bar.add_task(description, total=total)

    def start() -> None:
        with contextlib.suppress(LiveError):  # the bar of other work is there
            bar.start()

    timer = threading.Timer(PATIENCE, start)  # the first item may take much longer
    timer.daemon = True
    timer.start()
    try:
        yield lambda done: bar.update(task, completed=done)
    finally:
        timer.cancel()
        timer.join()
        if bar.live.is_started:
            bar.stop()


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield ``items``, with a progress bar once that has taken two seconds."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with progress(description, total) as tell:
        for done, item in enumerate(items, 1):
            yield item
            tell(done)

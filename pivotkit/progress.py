"""Progress bars on stderr for work that takes longer than two seconds."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")
PATIENCE = 2.0  # seconds before a bar appears

console = Console(stderr=True)


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield ``items``, with a progress bar once that has taken two seconds."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    begun = time.monotonic()
    bar: Progress | None = None
    task = None
    try:
        for done, item in enumerate(items):
            yield item
            if bar is None and time.monotonic() - begun > PATIENCE:
                columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn())
                bar = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console)
                task = bar.add_task(description, total=total)
                bar.start()
            if bar is not None and task is not None:
                bar.update(task, completed=done + 1)
    finally:
        if bar is not None:
            bar.stop()

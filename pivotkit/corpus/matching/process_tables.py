"""Tables of Unicode that a process makes once, and hands to the workers that it starts: making them takes a second."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
Tables = dict[tuple[str, tuple[Any, ...]], Any]

_made: Tables = {}


def once_a_process(make: Callable[..., T]) -> Callable[..., T]:
    """`functools.cache` whose results `made` and `adopt` know; they must be pickled easily, and never changed."""

    @functools.wraps(make)
    def get(*arguments: Any) -> T:
        key = f"{make.__module__}.{make.__qualname__}", arguments
        if key not in _made:
            _made[key] = make(*arguments)
        found: T = _made[key]
        return found

    return get


def made() -> Tables:
    """What this process has made so far."""
    return dict(_made)


def adopt(tables: Tables) -> None:
    """Take what another process of the same Python and pivotkit has made."""
    _made.update(tables)

"""A block is read while the caller works on the one before, and never more than one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from pivotkit.corpus.counting.read_ahead import LARGE_BLOCK, read_ahead


def blocks(sizes: list[int], read: list[int], closed: list[bool] | None = None) -> Iterator[int]:
    """Blocks that are their sizes; each is noted in ``read``."""
    try:
        for size in sizes:
            read.append(size)
            yield size
    finally:
        if closed is not None:
            closed.append(True)


def settled(read: list[int], count: int) -> list[int]:
    """What was read once ``count`` blocks were, or could have been."""
    end = time.monotonic() + 5
    while len(read) < count and time.monotonic() < end:
        time.sleep(0.001)
    time.sleep(0.02)
    return list(read)


def threads() -> int:
    return sum(thread.name == "read-ahead" for thread in threading.enumerate())


def test_blocks_come_in_their_order() -> None:
    assert list(read_ahead(blocks(list(range(500)), []), int)) == list(range(500))
    assert list(read_ahead(iter([]), int)) == []
    assert threads() == 0


def test_one_block_is_read_while_the_caller_works() -> None:
    read: list[int] = []
    ahead = read_ahead(blocks([1, 2, 3, 4], read), int)
    assert next(ahead) == 1
    assert settled(read, 2) == [1, 2]
    assert next(ahead) == 2
    assert settled(read, 3) == [1, 2, 3]
    ahead.close()


def test_nothing_is_read_behind_a_large_block_until_the_caller_is_done_with_it() -> None:
    read: list[int] = []
    large = LARGE_BLOCK + 1
    ahead = read_ahead(blocks([large, 2, 3], read), int)
    assert next(ahead) == large
    assert settled(read, 1) == [large]
    assert next(ahead) == 2
    assert settled(read, 3) == [large, 2, 3]
    assert list(ahead) == [3]


def test_an_error_comes_behind_the_blocks_before_it() -> None:
    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the disk is gone")

    ahead = read_ahead(failing(), int)
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead)
    assert threads() == 0


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_a_caller_that_leaves_ends_the_thread_and_the_reading(taken: int) -> None:
    closed: list[bool] = []
    ahead = read_ahead(blocks(list(range(10)), [], closed), int)
    for _ in range(taken):
        next(ahead)
    ahead.close()
    assert threads() == 0
    assert closed == [True] * bool(taken)

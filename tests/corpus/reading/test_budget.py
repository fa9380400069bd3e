"""Memory budgets."""

from __future__ import annotations

from typing import Any

import pytest

from pivotkit.corpus.reading.budget import parse_bytes, require


@pytest.mark.parametrize(
    ("memory", "size"),
    [(1, 1), ("7B", 7), ("2GB", 2_000_000_000), ("2 gib", 2**31), ("0.5kB", 500), (" 1TB ", 10**12)],
)
def test_sizes_are_read(memory: int | str, size: int) -> None:
    assert parse_bytes(memory) == size


@pytest.mark.parametrize("memory", [0, -1, "2", "GB", "-2GB", "2 apples", "0MB", "1e3MB", ""])
def test_what_is_no_size_is_refused(memory: Any) -> None:
    with pytest.raises(ValueError, match="f: memory must be a positive size such as '2GB'; got"):
        parse_bytes(memory, "f")


@pytest.mark.parametrize("memory", [None, 1.5, True])
def test_other_kinds_are_refused(memory: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="memory must be"):
        parse_bytes(memory)


def test_what_does_not_fit_names_its_bytes() -> None:
    require("f", "all", 10, 10)
    with pytest.raises(ValueError, match="f: memory must be at least 11 bytes for all; got 10"):
        require("f", "all", 11, 10)

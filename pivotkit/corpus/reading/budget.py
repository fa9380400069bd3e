"""Memory budgets: parses the user's size, and refuses work that does not fit."""

from __future__ import annotations

import re

from pivotkit.arguments import LARGEST, refuse

# What one process holds, whatever is counted: the interpreter and its libraries, a batch of text in its few forms, file
# buffers, hashes that wait to be ranked. Measured, plus some room.
PROCESS_BYTES = 280 << 20

UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
UNITS["TIB"] = 2**40


def parse_bytes(memory: int | str, function: str = "parse_bytes", argument: str = "memory") -> int:
    """Parse a size in bytes: an integer, or a number with B, KB to TB (powers of 1000) or KiB to TiB (powers of 1024).

    >>> parse_bytes("2GB"), parse_bytes("1.5 MiB"), parse_bytes(4096)
    (2000000000, 1572864, 4096)
    """
    size = 0
    if isinstance(memory, int) and not isinstance(memory, bool):
        size = memory
    elif isinstance(memory, str):
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*", memory)
        if match and match[2].upper() in UNITS and len(match[1]) <= 30:
            size = int(float(match[1]) * UNITS[match[2].upper()])
    else:
        raise TypeError(f"{function}: {argument} must be an int or a str; got {type(memory).__name__}")
    if size <= 0:
        refuse(function, argument, "be a positive size such as '2GB'", memory)
    if size > LARGEST:
        refuse(function, argument, f"be at most {LARGEST} bytes", memory)
    return size


def require(function: str, what: str, needed: int, memory: int) -> None:
    """Raise ValueError when ``needed`` bytes are more than ``memory``."""
    if needed > memory:
        raise ValueError(f"{function}: memory must be at least {needed} bytes for {what}; got {memory}")

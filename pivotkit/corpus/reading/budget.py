"""Memory budgets: parses the user's size, and refuses work that does not fit."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from pivotkit.arguments import LARGEST, refuse

# What one process holds, whatever is counted: the interpreter and its libraries, a batch of text in its few forms, file
# buffers, hashes that wait to be ranked. Measured, plus some room.
PROCESS_BYTES = 280 << 20

# Of `PROCESS_BYTES`, what is held beside a document that is larger than a batch. Measured, plus some room.
BESIDE_BYTES = 96 << 20
# What a document takes in copies of its own bytes until it is matched: of its line; of its page; of its batch.
LINE_COPIES, PAGE_COPIES, BATCH_COPIES = 2, 4, 2
MATCH_COPIES = 3  # of its normalized bytes while it is matched
TOKEN_BYTES = 8  # of each of its tokens, for the context table
ID_COPIES = 2  # of a document of token ids while it is read and matched
PLACE_BYTES = 40  # of each token, where the places of its words are kept (windows), or lines end at tokens
MOST_GROWTH = 11  # how much longer normalization makes a text at most: 3 bytes of U+FDFA become 33
WINDOW = 1 << 16

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


class LongLine(Exception):
    """A line is longer than the budget allows; ``size`` is its length as far as it can be read."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


@dataclass(frozen=True)
class DocumentBudget:
    """What a document may take while it is read and matched, in one of several processes that share a budget.

    Attributes
    ----------
    memory : int
        The whole budget in bytes.
    processes : int
    fixed : int
        Bytes of each process that no document can have.
    tables_beyond : int, optional
        A context table and its block take three quarters of what each process has beyond so many bytes.
    places : bool, default False
        Whether the place of each word in a document of token ids is kept, or where its lines or sentences end.
    """

    memory: int
    processes: int
    fixed: int
    places: bool = False
    tables_beyond: int | None = None

    @property
    def room(self) -> int:
        """Bytes that one document may take."""
        own = self.memory // self.processes
        return own - self.fixed - (0 if self.tables_beyond is None else 3 * (own - self.tables_beyond) // 4)

    def longest(self, copies: int) -> int:
        """The largest document, in bytes, that is read in so many copies and does not grow when it is normalized."""
        return max(0, self.room // (copies + MATCH_COPIES))

    def check(self, path: Path, place: str, what: str, size: int, needed: int) -> None:
        """Raise a ValueError with the budget that is needed where ``needed`` bytes are more than the room."""
        if needed > self.room:
            own = needed + self.fixed
            least = (own if self.tables_beyond is None else 4 * own - 3 * self.tables_beyond) * self.processes
            where = f"{path}, {place}" if place else str(path)
            raise ValueError(
                f"count: memory must be at least {least} bytes (option memory) for {what} of {size} bytes in {where}; "
                f"got {self.memory}"
            ) from None

    def check_text(
        self, path: Path, place: str, text: memoryview, copies: int, tokens: int = 0, pieces: int = 0
    ) -> None:
        """Refuse a text that does not fit as it is, or normalized, with its tokens and its lines or sentences."""
        size, beside = len(text), tokens * TOKEN_BYTES + pieces * PLACE_BYTES
        if size * (copies + MATCH_COPIES * MOST_GROWTH) + beside > self.room:
            needed = size * copies + normalized_bytes(text) * MATCH_COPIES + beside
            self.check(path, place, "a document", size, needed)

    def check_ids(self, path: Path, begin: int, ids: int, width: int) -> None:
        """Refuse a document of token ids of ``width`` bytes that does not fit."""
        beside = TOKEN_BYTES + PLACE_BYTES * self.places
        self.check(path, f"token {begin}", "a document", ids * width, ids * (width * ID_COPIES + beside))


def normalized_bytes(text: memoryview) -> int:
    """About how many bytes a text of UTF-8 has after normalization, at least as many as it has now."""
    total = 0
    for begin in range(0, len(text), WINDOW):
        part = bytes(text[begin : begin + WINDOW])
        grown = (
            part
            if part.isascii()
            else unicodedata.normalize("NFKC", part.decode("utf-8", "ignore").casefold()).encode()
        )
        total += max(len(part), len(grown))
    return total

"""Configuration of a generated world: its sizes, and the frequencies with which words meet."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


def _shares(**shares: float) -> Any:
    return dataclasses.field(default_factory=lambda: dict(shares))


@dataclass(frozen=True)
class WorldConfig:
    """Sizes and frequencies of a world.

    Parameters
    ----------
    concepts : int, default 96
        Number of concepts: half of them direct, half pivot. Even, at least 4.
    held_out : int, default 48
        Number of held-out concepts, half of each kind. A held-out concept stands on no line between A and B.
    background : int, default 80
        Number of background words. Their frequencies follow Zipf's law.
    documents, blocks : int, default 42,000 and 34,000
        Number of documents, and of blocks of translation lines.
    direct_documents, pivot_documents : mapping of str to float
        Shares of the documents of a direct and of a pivot concept, by the languages of their words: ``"ab"`` has both
        A and B.
    direct_lines, pivot_lines : mapping of str to float
        Shares of the lines of a direct and of a pivot concept, by direction: ``"ap"`` is A to P.
    late_pivot_lines : mapping of str to float
        Shares of the lines of a pivot concept in the late blocks. In the early blocks P is almost always the target, so
        the model learns to go through P. The late blocks teach the way from P to A and B, which no longer changes that.
    late : float, default 0.4
        Share of the blocks that are late; these are the last ones.
    direct_weight : float, default 0.3
        Frequency of a direct concept on lines, relative to a pivot concept.
    held_out_weight : float, default 1
        Frequency of a held-out concept on lines, relative to the others.
    rounds : (int, int), default (5, 8)
        Least and greatest number of rounds per document. Each round has each word of the document once.
    lines : (int, int), default (4, 6)
        Least and greatest number of lines per block. A block never has a concept twice.
    filler : (float, float), default (0, 1)
        Least and greatest density of a document: its mean number of background words per round, at most 4.
    related : float, default 0
        Probability that a round also has the word of another concept of the same kind.
    spread : float, default 0.2
        Standard deviation of the logarithm of the concepts' frequencies.
    seed : int, default 0

    Raises
    ------
    ValueError
        Sizes, densities or languages that no world can have.
    """

    concepts: int = 96
    held_out: int = 48
    background: int = 80
    documents: int = 42_000
    blocks: int = 34_000
    direct_documents: Mapping[str, float] = _shares(p=5, a=1, b=1, ab=3)
    pivot_documents: Mapping[str, float] = _shares(p=2, ap=4, bp=4)
    direct_lines: Mapping[str, float] = _shares(aa=1, bb=1, pp=3, ab=1, ba=1, ap=0.5, bp=0.5)
    pivot_lines: Mapping[str, float] = _shares(ap=12, bp=12, pa=1.5, pb=1.5, ab=0.05, ba=0.05)
    late_pivot_lines: Mapping[str, float] = _shares(ap=6, bp=6, pa=5, pb=5, ab=0.05, ba=0.05)
    late: float = 0.4
    direct_weight: float = 0.3
    held_out_weight: float = 1.0
    rounds: tuple[int, int] = (5, 8)
    lines: tuple[int, int] = (4, 6)
    filler: tuple[float, float] = (0.0, 1.0)
    related: float = 0.0
    spread: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.concepts < 4 or self.concepts % 2:
            raise ValueError(f"WorldConfig: concepts must be an even number of at least 4; got {self.concepts}")
        if not 0 <= self.held_out < self.concepts or self.held_out % 2:
            raise ValueError(f"WorldConfig: held_out must be even and less than concepts; got {self.held_out}")
        if not 0 <= self.filler[0] <= self.filler[1] <= 4:
            raise ValueError(f"WorldConfig: filler must be two densities in order between 0 and 4; got {self.filler}")
        if not 0 <= self.late <= 1:
            raise ValueError(f"WorldConfig: late must be between 0 and 1; got {self.late}")
        if self.lines[1] > self.concepts:
            raise ValueError(f"WorldConfig: lines must not exceed concepts; got {self.lines}")
        for languages in (*self.direct_documents, *self.pivot_documents):
            if languages not in ("a", "b", "p", "ab", "ap", "bp"):
                raise ValueError(
                    f'WorldConfig: documents must be in one or two languages, such as "a" or "ap"; got {languages!r}'
                )
        if "ab" in self.pivot_documents:
            raise ValueError("WorldConfig: pivot_documents must keep A and B apart; got 'ab'")


def scarce_config(seed: int = 0) -> WorldConfig:
    """Configuration for continued pre-training: bilingual documents are rare, densities differ widely."""
    return WorldConfig(
        documents=100_000,
        direct_documents={"p": 0.6, "a": 0.15, "b": 0.15, "ab": 0.1},
        pivot_documents={"p": 0.6, "a": 0.15, "b": 0.15, "ap": 0.05, "bp": 0.05},
        pivot_lines={"ap": 12, "bp": 12, "pa": 2.4, "pb": 2.4, "ab": 0.1, "ba": 0.1},
        late=0.0,
        held_out_weight=0.2,
        filler=(0.0, 4.0),
        seed=seed,
    )

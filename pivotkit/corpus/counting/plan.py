"""What a count counts: a corpus with its watch list, and everything that the contents of its files depend on."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import orjson

from pivotkit.corpus.counting.matched_block import MatchedBlock
from pivotkit.corpus.counting.strata import Sample
from pivotkit.corpus.matching.normal_form import NORMALIZATION
from pivotkit.corpus.matching.token_watchlist import TokenWatchList
from pivotkit.corpus.matching.watchlist import WatchList
from pivotkit.corpus.reading.documents import Unit
from pivotkit.corpus.reading.scope import Scope
from pivotkit.corpus.tables.strata import StratumList

FORMAT = 4


class Source(Protocol):
    """A corpus and a watch list, ready to be matched in a worker process."""

    @property
    def watch(self) -> WatchList | TokenWatchList: ...

    vocabulary: int  # 0: documents come without tokens
    tokenizer: str | None

    @property
    def language_table(self) -> str | None: ...

    def identity(self) -> Any: ...
    def blocks(self, unit: Unit, scope: Scope) -> Iterator[MatchedBlock]: ...
    def sample(self, unit: Unit, scope: Scope) -> Iterator[Sample]: ...


@dataclass(frozen=True)
class Plan:
    """What is counted in each unit, and how. `digest` names the files; it covers what changes their contents."""

    source: Source
    pairs: npt.NDArray[np.int32]
    scope: Scope
    context: bool
    folder: Path
    table_bytes: int  # what the context table of a process may take
    sample: int | None = None  # documents per word that its context row is estimated from; None: all, exactly
    postings: bool = True
    background: bool = True
    run: str = "0"  # tells the checkpoints of this run from those of another one in the same folder
    strata: StratumList | None = None
    checkpoint: float | None = None  # seconds between checkpoints of the context table; None: one at the end

    @property
    def has_context_table(self) -> bool:
        """Whether there is an exact context table; for a sample, units keep documents instead."""
        return self.context and self.sample is None

    @property
    def has_tables(self) -> bool:
        """Whether something is counted over many units, and kept by checkpoints."""
        return self.has_context_table or self.strata is not None

    @property
    def stratum_columns(self) -> int:
        return self.source.vocabulary + len(self.source.watch) + 1

    def digest(self) -> str:
        identity = {
            "format": FORMAT,
            "source": self.source.identity(),
            "words": self.source.watch.words,
            "pairs": hashlib.blake2b(self.pairs.astype("<i4").tobytes(), digest_size=12).hexdigest(),
            "scope": str(self.scope),
            "context": self.context,
            "sample": self.sample,
            "postings": self.postings,
            "background": self.background,
            "normalization": f"{NORMALIZATION}; Python's of Unicode {unicodedata.unidata_version}",
            "marks": self.source.watch.marks,
        }
        if self.context and self.scope.kind == "window":
            identity["context"] = "window"
        if self.source.watch.languages is not None:
            identity["languages"] = self.source.watch.languages
        if self.strata is not None:
            identity["strata"] = self.strata.to_json()
        return hashlib.blake2b(orjson.dumps(identity, option=orjson.OPT_SORT_KEYS), digest_size=12).hexdigest()

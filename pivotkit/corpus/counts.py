"""What a count found, in memory and on disk."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import csr_array

from pivotkit.artifacts import atomic_path, read_json, read_table, write_json, write_table
from pivotkit.corpus.watchlist import NORMALIZATION, WatchList
from pivotkit.errors import InputError

FORMAT = 1
GROUP_CELLS = 1 << 19  # of the context table written at once


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts over the documents of a corpus. W words, P pairs, V token ids; all counts are int64.

    Attributes
    ----------
    words : list[str]
        Normalized words; `index` finds one by any spelling.
    documents : int
        Documents counted.
    df, tf : (W,)
        Documents that contain each word; occurrences of each word.
    pairs : int32 (P, 2)
        Word ids of the listed pairs, source and target.
    pair_df : (P,)
        Documents that contain both words of each pair.
    context : csr_array (W, V) or None
        Documents that contain word w and token t.
    background : (V,) or None
        Documents that contain token t.
    approximation : None
        Every count here is exact.
    scope : str
        What "together" means: "document".
    units : tuple[str, ...]
        Names of the work units behind the counts, so that none is added twice; empty for counts made by hand.
    skipped : int
        Documents left out because they could not be read.
    tokenizer : str or None
        Fingerprint of the tokenizer behind ``context``.
    """

    words: list[str]
    documents: int
    df: npt.NDArray[np.int64]
    tf: npt.NDArray[np.int64]
    pairs: npt.NDArray[np.int32]
    pair_df: npt.NDArray[np.int64]
    context: csr_array | None = None
    background: npt.NDArray[np.int64] | None = None
    approximation: None = None
    scope: str = "document"
    units: tuple[str, ...] = ()
    skipped: int = 0
    tokenizer: str | None = None

    def __post_init__(self) -> None:
        words, pairs = len(self.words), len(self.pairs)
        shapes = {"df": (words,), "tf": (words,), "pairs": (pairs, 2), "pair_df": (pairs,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"Counts: {name} must have shape {shape}; got {getattr(self, name).shape}")
        if (self.context is None) != (self.background is None):
            raise ValueError("Counts: context and background must come together; got one of them")
        if self.context is not None and self.background is not None:
            shape = (words, len(self.background))
            if self.context.shape != shape:
                raise ValueError(f"Counts: context must have shape {shape}; got {self.context.shape}")

    @functools.cached_property
    def _watch(self) -> WatchList:
        watch = WatchList(self.words)
        if len(watch) != len(self.words):
            raise ValueError("Counts: words must be distinct after normalization; got one twice")
        return watch

    @functools.cached_property
    def _place(self) -> dict[tuple[int, int], int]:
        return {(int(a), int(b)): place for place, (a, b) in enumerate(self.pairs)}

    def index(self, word: str) -> int:
        """The id of ``word`` in any spelling; ValueError when it was not counted."""
        return self._watch.id(word)

    def pair(self, a: str, b: str) -> int:
        """Documents that contain both words, whichever way round the pair was listed; ValueError when it was not."""
        first, second = self.index(a), self.index(b)
        place = self._place.get((first, second), self._place.get((second, first)))
        if place is None:
            raise ValueError(f"pair: a and b must be a listed pair; got {a!r}, {b!r}")
        return int(self.pair_df[place])

    def merge(self, other: Counts) -> Counts:
        """The counts of both corpora together: associative, commutative, and idempotent by unit.

        Raises
        ------
        ValueError
            When words, pairs, scope or tokenizer differ, or when the two share some work units but neither holds all
            of the other's (their common part cannot be taken out again).
        """
        for name in ("words", "scope", "tokenizer"):
            if getattr(self, name) != getattr(other, name):
                raise ValueError(f"merge: other must have the same {name}; got others")
        if not np.array_equal(self.pairs, other.pairs):
            raise ValueError("merge: other must have the same pairs; got others")
        if (self.context is None) != (other.context is None):
            raise ValueError("merge: other must have a context table too; got one without")
        if self.context is not None and other.context is not None and self.context.shape != other.context.shape:
            raise ValueError(f"merge: other must have context shape {self.context.shape}; got {other.context.shape}")
        mine, theirs = set(self.units), set(other.units)
        if mine & theirs:
            if theirs <= mine:
                return self
            if mine <= theirs:
                return other
            raise ValueError(f"merge: other must share no work units or all; got {len(mine & theirs)} in common")
        return Counts(
            words=self.words,
            documents=self.documents + other.documents,
            df=self.df + other.df,
            tf=self.tf + other.tf,
            pairs=self.pairs,
            pair_df=self.pair_df + other.pair_df,
            context=None if self.context is None or other.context is None else csr_array(self.context + other.context),
            background=None
            if self.background is None or other.background is None
            else self.background + other.background,
            scope=self.scope,
            units=tuple(sorted(mine | theirs)),
            skipped=self.skipped + other.skipped,
            tokenizer=self.tokenizer,
        )

    def save(self, folder: str | Path) -> Path:
        """Write words.parquet, pairs.parquet, with a context context.parquet and background.parquet, then counts.json."""
        folder = Path(folder)
        (folder / "counts.json").unlink(missing_ok=True)  # says that the tables are whole: not meanwhile
        write_table(
            pa.table({"word": pa.array(self.words, pa.string()), "df": self.df, "tf": self.tf}),
            folder / "words.parquet",
        )
        source, target = self.pairs[:, 0], self.pairs[:, 1]
        names = pa.array(self.words, pa.string())
        pairs = {
            "source": names.take(pa.array(source)),
            "target": names.take(pa.array(target)),
            "df_source": self.df[source],
            "df_target": self.df[target],
            "df_both": self.pair_df,
        }
        write_table(pa.table(pairs), folder / "pairs.parquet")
        if self.context is not None and self.background is not None:
            _write_context(self.context, folder / "context.parquet")
            tokens = np.arange(len(self.background), dtype=np.int32)
            write_table(pa.table({"token": tokens, "df": self.background}), folder / "background.parquet")
        header = {
            "format": FORMAT,
            "documents": self.documents,
            "skipped": self.skipped,
            "scope": self.scope,
            "approximation": self.approximation,
            "context": self.context is not None,
            "tokenizer": self.tokenizer,
            "normalization": NORMALIZATION,
            "units": list(self.units),
        }
        write_json(header, folder / "counts.json")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Counts:
        """Read what `save` wrote; InputError when ``folder`` does not hold finished counts."""
        folder = Path(folder)
        if not (folder / "counts.json").exists():
            raise InputError(folder, "", "must hold finished counts; found no counts.json")
        header: dict[str, Any] = read_json(folder / "counts.json")
        if header.get("format") != FORMAT:
            raise InputError(folder / "counts.json", "", f"must have format {FORMAT}; got {header.get('format')}")
        words = read_table(folder / "words.parquet")
        names: list[str] = words["word"].to_pylist()
        ids = {word: place for place, word in enumerate(names)}
        pairs = read_table(folder / "pairs.parquet")
        listed = [[ids[word] for word in pairs[side].to_pylist()] for side in ("source", "target")]
        context = background = None
        if header["context"]:
            background = _column(read_table(folder / "background.parquet"), "df")
            cells = read_table(folder / "context.parquet")
            coordinates = (_column(cells, "word"), _column(cells, "token"))
            context = csr_array((_column(cells, "df"), coordinates), shape=(len(names), len(background)))
        return cls(
            words=names,
            documents=header["documents"],
            df=_column(words, "df"),
            tf=_column(words, "tf"),
            pairs=np.array(listed, dtype=np.int32).T.copy(),
            pair_df=_column(pairs, "df_both"),
            context=context,
            background=background,
            scope=header["scope"],
            units=tuple(header["units"]),
            skipped=header["skipped"],
            tokenizer=header["tokenizer"],
        )


def _write_context(context: csr_array, path: Path) -> None:
    """Columns word, token (int32), df (int64), in row groups: a second copy of the table is never held."""
    schema = pa.schema([("word", pa.int32()), ("token", pa.int32()), ("df", pa.int64())])
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for begin in range(0, context.nnz, GROUP_CELLS):
            cells = np.arange(begin, min(begin + GROUP_CELLS, context.nnz))
            words = np.searchsorted(context.indptr, cells, side="right") - 1
            tokens = context.indices[cells].astype(np.int32)
            writer.write_table(pa.table([words.astype(np.int32), tokens, context.data[cells]], schema=schema))


def _column(table: pa.Table, name: str) -> npt.NDArray[Any]:
    return np.array(table[name].to_numpy())  # a copy: Arrow's buffers are read-only

"""What a count found, in memory and on disk."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import csr_array

from pivotkit.corpus.matching.watchlist import WatchList
from pivotkit.corpus.reading.units import overlap
from pivotkit.corpus.tables.counts_folder import load_counts, save_counts
from pivotkit.corpus.tables.postings import Cumulative, Postings, cumulative
from pivotkit.corpus.tables.sampling_error import standard_error


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
    approximation : dict or None
        None when every count here is exact. Else what is not and how it was made: ``{"context": "bottom-k documents",
        "k": 1000}`` when ``context`` (float64 then) estimates each row from that many documents of the word, with the
        error that `context_error` gives; all else is exact.
    scope : str
        What "together" means, as `Scope` writes it; with instances ``documents``, ``df`` and all else count those.
    units : tuple[str, ...]
        Names of the work units behind the counts, so that none is added twice; empty for counts made by hand.
    skipped : int
        Documents left out because they could not be read.
    tokenizer : str or None
        Fingerprint of the tokenizer behind ``context``.
    postings : Postings or None
        Which documents hold each word: what `query`, `by_language` and `cumulative` look into. None when the counts
        were kept nowhere.
    """

    words: list[str]
    documents: int
    df: npt.NDArray[np.int64]
    tf: npt.NDArray[np.int64]
    pairs: npt.NDArray[np.int32]
    pair_df: npt.NDArray[np.int64]
    context: csr_array | None = None
    background: npt.NDArray[np.int64] | None = None
    approximation: dict[str, Any] | None = None
    scope: str = "document"
    units: tuple[str, ...] = ()
    skipped: int = 0
    tokenizer: str | None = None
    postings: Postings | None = None

    def __post_init__(self) -> None:
        words, pairs = len(self.words), len(self.pairs)
        shapes = {"df": (words,), "tf": (words,), "pairs": (pairs, 2), "pair_df": (pairs,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"Counts: {name} must have shape {shape}; got {getattr(self, name).shape}")
        if self.context is not None and self.background is None:
            raise ValueError("Counts: context must come with background; got it alone")
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

    def query(self, *words: str, lang: str | None = None) -> pa.Table:
        """The documents that contain all ``words``, without another scan.

        Parameters
        ----------
        words : str
            Watched words in any spelling, at least one; they need not be a listed pair.
        lang : str, optional
            Only documents of this language.

        Returns
        -------
        pyarrow.Table
            ``path`` (string), ``begin`` (int64, where the document's work unit begins in the file), ``row`` (int64, the
            document's place in the unit), ``lang`` (string, null for tokens), in the order of the corpus. Its length is
            the document count.

        Raises
        ------
        ValueError
            For no words, one that was not counted, and counts that were kept nowhere (``out=None``).
        """
        if not words:
            raise ValueError("query: words must hold at least one word; got none")
        return self._postings("query").documents([self.index(word) for word in words], lang)

    def by_language(self) -> pa.Table:
        """``lang`` (string), ``word`` (string), ``df`` (int64): documents of each language that contain each word."""
        return self._postings("by_language").by_language(self.words)

    def cumulative(self, order: npt.NDArray[np.integer], batch_size: int, steps: Iterable[int]) -> Cumulative:
        """Counts as they stood after some steps of training, from counts of instances.

        ``df[k, w]`` = sum over the first ``steps[k] * batch_size`` entries i of ``order`` of [instance i contains w].

        Parameters
        ----------
        order : (instances read,) integers
            The instances in the order of training: OLMo's ``global_indices.npy``, ``np.memmap(path, "<u4", "r")``. An
            instance's number runs over the files in the order in which they were counted.
        batch_size : int
            Instances of one step.
        steps : iterable of int
            Ascending steps.

        Returns
        -------
        Cumulative
            ``steps`` (K,), ``df`` and ``tf`` int64 (K, W), ``pair_df`` int64 (K, P). An instance that was read twice
            counts twice.

        Raises
        ------
        ValueError
            When the scope is not of instances, or ``order`` names an instance that was not counted or is too short.

        Notes
        -----
        Cost: one pass over ``order`` and the postings, and 4 K bytes an instance.
        """
        if not self.scope.startswith("instance:"):
            raise ValueError(f"cumulative: scope must be of instances; got {self.scope!r}")
        return cumulative(self._postings("cumulative"), len(self.words), self.pairs, order, batch_size, list(steps))

    def _postings(self, function: str) -> Postings:
        if self.postings is None:
            raise ValueError(
                f"{function}: counts must be kept in a folder (count(..., out=...)); got counts without postings"
            )
        return self.postings

    def to_pandas(self) -> Any:
        """A pandas DataFrame of ``word``, ``df``, ``tf``; ImportError without pandas."""
        return self.words_table().to_pandas()

    def pairs_to_pandas(self) -> Any:
        """A pandas DataFrame of ``source``, ``target``, ``df_source``, ``df_target``, ``df_both``; needs pandas."""
        return self.pairs_table().to_pandas()

    def to_scipy(self) -> csr_array:
        """The counts of the listed pairs as a symmetric sparse matrix (W, W), with df on the diagonal."""
        size = len(self.words)
        one, other = self.pairs[:, 0], self.pairs[:, 1]
        flat = np.unique(
            np.concatenate([one.astype(np.int64) * size + other, other.astype(np.int64) * size + one]),
            return_index=True,
        )
        counts = np.concatenate([self.pair_df, self.pair_df])[flat[1]]
        apart = flat[0] // size != flat[0] % size
        rows = np.concatenate([flat[0][apart] // size, np.arange(size)])
        columns = np.concatenate([flat[0][apart] % size, np.arange(size)])
        return csr_array((np.concatenate([counts[apart], self.df]), (rows, columns)), shape=(size, size))

    def merge(self, other: Counts) -> Counts:
        """The counts of both corpora together: associative, commutative, and idempotent by unit.

        Raises
        ------
        ValueError
            When words, pairs, scope or tokenizer differ, or when the two share some work units but neither holds all
            of the other's (their common part cannot be taken out again), or share a part of a file cut otherwise; when either has
            a sampled context.
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
        for which, counts in (("self", self), ("other", other)):
            if counts.approximation is not None:
                raise ValueError(
                    f"merge: {which} must have an exact context (count the whole together); got a sampled one"
                )
        mine, theirs = set(self.units), set(other.units)
        if mine & theirs:
            if theirs <= mine:
                return self
            if mine <= theirs:
                return other
            raise ValueError(f"merge: other must share no work units or all; got {len(mine & theirs)} in common")
        files = {name.partition(".")[0] for name in mine} & {name.partition(".")[0] for name in theirs}
        shared = [[name for name in names if name.partition(".")[0] in files] for names in (mine, theirs)]
        if any(overlap(one, another) for one in shared[0] for another in shared[1]):
            raise ValueError("merge: other must share no part of a file cut into other units; got one that does")
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
            postings=None
            if self.postings is None or other.postings is None
            else Postings(self.postings.paths + other.postings.paths),
        )

    def context_error(self) -> csr_array:
        """The standard error of each cell of ``context``, float64 (W, V); zeros where it is exact.

        A row estimated from k of its df documents: ``df sqrt(p (1 - p) / (k - 1) (1 - k / df))`` with p = context / df,
        as of a sample without replacement (W. Cochran, Sampling Techniques, 3rd ed., 1977, section 3.2); 0 where
        df <= k. A token that the sample does not show may still be in up to about 3 df / k documents (95 %).
        """
        if self.context is None:
            raise ValueError("context_error: counts must have a context; got counts made without")
        if self.approximation is None:
            zeros = np.zeros(self.context.nnz)
            return csr_array((zeros, self.context.indices, self.context.indptr), shape=self.context.shape)
        return standard_error(self.context, self.df, self.approximation["k"])

    def words_table(self) -> pa.Table:
        """``word``, ``df``, ``tf``."""
        return pa.table({"word": pa.array(self.words, pa.string()), "df": self.df, "tf": self.tf})

    def pairs_table(self) -> pa.Table:
        """``source``, ``target``, ``df_source``, ``df_target``, ``df_both``: a row for each listed pair."""
        source, target = self.pairs[:, 0], self.pairs[:, 1]
        names = pa.array(self.words, pa.string())
        return pa.table(
            {
                "source": names.take(pa.array(source)),
                "target": names.take(pa.array(target)),
                "df_source": self.df[source],
                "df_target": self.df[target],
                "df_both": self.pair_df,
            }
        )

    def save(self, folder: str | Path) -> Path:
        """Write words.parquet, pairs.parquet, background.parquet, context/ (`context_table`), then counts.json."""
        save_counts(self, Path(folder))
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> Counts:
        """Read what `save` wrote, the context table mapped; InputError when ``folder`` does not hold finished counts."""
        return cls(**load_counts(Path(folder)))

"""What a count found, in memory and on disk."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import scipy

from pivotkit.arguments import check_kind, check_path, check_strings, check_text
from pivotkit.corpus.matching.watchlist import WatchList
from pivotkit.corpus.reading.amounts import amount
from pivotkit.corpus.tables.counts_checks import check_counts, check_mergeable
from pivotkit.corpus.tables.counts_folder import load_counts, replaced_counts, write_counts
from pivotkit.corpus.tables.pair_matrix import pair_matrix
from pivotkit.corpus.tables.postings import Cumulative, Postings, check_reading, cumulative
from pivotkit.corpus.tables.sampling_error import standard_error
from pivotkit.corpus.tables.strata import StratumCounts
from pivotkit.corpus.tables.word_tables import pair_table, word_table

_SUMS = ("documents", "df", "tf", "pair_df", "background", "strata", "skipped")  # fields that add up
Word = tuple[str, str]  # a word and its language


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts over the documents of a corpus, made by `count`. W words, P pairs, V token ids; all counts are int64.

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
        None when every count is exact. ``{"context": "bottom-k documents", "k": 1000}`` when each row of ``context`` is
        estimated from at most 1000 documents of its word. Then ``context`` is float64, `context_error` gives its error,
        and everything else is exact.
    scope : str
        What "together" means, as `Scope` writes it. For lines, sentences and instances, ``documents``, ``df`` and all
        else count these.
    units : tuple[str, ...]
        Names of the work units that were counted, so that none is added twice; empty for counts made by hand.
    skipped : int
        Documents left out because they could not be read.
    tokenizer : str or None
        Fingerprint of the tokenizer behind ``context``.
    postings : Postings or None
        Which documents contain each word, for `query`, `by_language` and `cumulative`; None for counts of no folder.
    marks : str, as for `WatchList`
    languages : list[str | None] or None, as for `WatchList`
    strata : StratumCounts or None
        Documents of each stratum that contain each word and each token, for `expected`; None for counts without strata.
    language_table : str or None, the digest of the `LanguageTable` that the languages of documents are from

    Raises
    ------
    TypeError, ValueError
        For a field of another kind, and for arrays whose shapes do not fit together.
    """

    words: list[str]
    documents: int
    df: npt.NDArray[np.int64]
    tf: npt.NDArray[np.int64]
    pairs: npt.NDArray[np.int32]
    pair_df: npt.NDArray[np.int64]
    context: scipy.sparse.csr_array | None = None
    background: npt.NDArray[np.int64] | None = None
    approximation: dict[str, Any] | None = None
    scope: str = "document"
    units: tuple[str, ...] = ()
    skipped: int = 0
    tokenizer: str | None = None
    postings: Postings | None = None
    marks: str = "ignore"
    languages: list[str | None] | None = None
    strata: StratumCounts | None = None
    language_table: str | None = None

    def __post_init__(self) -> None:
        check_counts(self)

    def __repr__(self) -> str:
        sizes = ((len(self.words), "word"), (len(self.pairs), "pair"), (self.documents, "document"))
        told = [*(amount(number, noun) for number, noun in sizes), f"scope={self.scope!r}"]
        if self.context is not None:
            told.append(f"context={self.context.shape}")
        if self.strata is not None:
            told.append(f"strata={len(self.strata.strata)}")
        if self.approximation is not None:
            told.append(f"approximation={self.approximation}")
        return f"Counts({', '.join(told)})"

    @functools.cached_property
    def _watch(self) -> WatchList:
        watch = WatchList(self.words, languages=self.languages, marks=self.marks)
        if len(watch) != len(self.words):
            raise ValueError("Counts: words must be distinct after normalization; got one twice")
        return watch

    @functools.cached_property
    def _place(self) -> dict[tuple[int, int], int]:
        return {(int(a), int(b)): place for place, (a, b) in enumerate(self.pairs)}

    def index(self, word: str, language: str | None = None) -> int:
        """The id of ``word`` as for `WatchList.id`; ValueError when it was not counted."""
        check_text("index", "word", word)
        check_text("index", "language", language, none=True)
        return self._watch.id(word, language)

    def pair(self, a: str | Word, b: str | Word) -> int:
        """Documents that contain both words of a pair, listed either way round; ValueError for an unlisted pair.

        A word that is counted in several languages is given with one of them: ``("os", "fr")``.
        """
        ids = []
        for name, word in (("a", a), ("b", b)):
            text, *language = word if isinstance(word, tuple) else (word,)
            check_text("pair", name, text)
            ids.append(self.index(text, *language))
        first, second = ids
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
            Only documents of this language. Default: all.

        Returns
        -------
        pyarrow.Table
            One row per document, in the order of the corpus: ``path`` (string), ``begin`` (int64, where the document's
            work unit begins in the file), ``row`` (int64, the place of the document, line, sentence or instance in the
            unit), ``lang`` (string, null where documents have none).

        Raises
        ------
        ValueError
            For no words, a word that was not counted, and counts that were not kept in a folder (``out=None``).
        InputError
            When the counts of a unit are gone or damaged.

        Notes
        -----
        Cost: the posting lists of the words in every unit.
        """
        check_strings("query", "words", words)
        check_text("query", "lang", lang, none=True)
        if not words:
            raise ValueError("query: words must hold at least one word; got none")
        return self._postings("query").documents([self.index(word) for word in words], lang)

    def by_language(self) -> pa.Table:
        """Documents of each language that contain each word: ``lang`` (string), ``word`` (string), ``df`` (int64).

        Raises
        ------
        ValueError
            For counts of documents without languages (token files, instances), and counts not kept in a folder.
        """
        return self._postings("by_language").by_language(self.words)

    def cumulative(self, order: npt.NDArray[np.integer], batch_size: int, steps: Iterable[int]) -> Cumulative:
        """Counts as they stood after some steps of training, from counts of instances.

        ``df[k, w] = sum(w in instance[i] for i in order[:steps[k] * batch_size])``

        Parameters
        ----------
        order : (instances read,) integers
            The instances in the order of training, such as OLMo's ``global_indices.npy``:
            ``np.memmap(path, "<u4", "r")``. Instances are numbered over the files in the order of counting.
        batch_size : int
            Instances per step.
        steps : iterable of int
            K steps, ascending.

        Returns
        -------
        Cumulative
            ``steps`` (K,), ``df`` and ``tf`` int64 (K, W), ``pair_df`` int64 (K, P). An instance that was read twice
            counts twice.

        Raises
        ------
        ValueError
            When the scope is not of instances, when ``order`` is too short or names an instance that was not counted,
            and when ``steps`` do not ascend.

        Notes
        -----
        Cost: one pass over ``order`` and the postings, and 4 K bytes per instance.
        """
        order, steps = check_reading(order, batch_size, steps)
        if not self.scope.startswith("instance:"):
            raise ValueError(f"cumulative: scope must be of instances; got {self.scope!r}")
        return cumulative(self._postings("cumulative"), len(self.words), self.pairs, order, batch_size, steps)

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
        """`pairs_table` as a pandas DataFrame; needs pandas."""
        return self.pairs_table().to_pandas()

    def to_scipy(self) -> scipy.sparse.csr_array:
        """The counts of the listed pairs as a symmetric sparse matrix (W, W), with df on the diagonal."""
        return pair_matrix(self.pairs, self.pair_df, self.df)

    def merge(self, other: Counts) -> Counts:
        """The counts of both corpora together: associative, commutative, and idempotent by unit.

        Parameters
        ----------
        other : Counts
            Counts with the same words, languages, table of them, marks, pairs, scope, tokenizer and strata.

        Returns
        -------
        Counts
            The sum; one of the two where it has all units of the other.

        Raises
        ------
        ValueError
            When any of these or the presence of a context differ; when either has a sampled
            context; when the two share some work units but neither has all units of the other (the common part cannot
            be subtracted); when they share a part of a file that was cut into other units.
        """
        check_kind("merge", "other", other, Counts, "Counts")
        check_mergeable(self, other)
        mine, theirs = set(self.units), set(other.units)
        if mine & theirs:
            return self if theirs <= mine else other
        sums = {name: _sum(getattr(self, name), getattr(other, name)) for name in _SUMS}
        context = self.context if self.context is None else scipy.sparse.csr_array(self.context + other.context)
        postings = self.postings + other.postings if self.postings and other.postings else None
        return replace(self, **sums, context=context, units=tuple(sorted(mine | theirs)), postings=postings)

    def context_error(self) -> scipy.sparse.csr_array:
        """The standard error of each cell of ``context``, float64 (W, V); zeros where it is exact.

        A row estimated from k of its df documents has the error of a sample without replacement, with p = context / df:
        ``df sqrt(p (1 - p) / (k - 1) (1 - k / df))`` (W. Cochran, Sampling Techniques, 3rd ed., 1977, section 3.2), and
        0 where df <= k. A token that no sampled document contains may still be in up to about 3 df / k documents (95
        %).

        Raises
        ------
        ValueError
            For counts without a context.
        """
        if self.context is None:
            raise ValueError("context_error: counts must have a context; got counts made without")
        return standard_error(self.context, self.df, None if self.approximation is None else self.approximation["k"])

    def expected(self, word: str, language: str | None = None) -> npt.NDArray[np.float64]:
        """Documents that would contain ``word`` and each token if, within a stratum, the two were independent.

        ``sum over cells g of df_g(word) df_g(t) / n_g``, float64 (V,). A cell is a stratum, or strata that are joined
        until they have 150 documents (`StratumCounts.groups`). Cost: as many steps as the cells have tokens.

        Raises
        ------
        ValueError
            For a word that was not counted, and for counts without strata or without tokens.
        """
        check_text("expected", "word", word)
        check_text("expected", "language", language, none=True)
        if self.strata is None or self.background is None:
            raise ValueError("expected: counts must have strata and tokens (count(..., strata=)); got counts without")
        return self.strata.expected(self.index(word, language))

    def words_table(self) -> pa.Table:
        """A table of ``word`` (string), ``df`` and ``tf`` (int64), ``language`` (string) if any: one row per word."""
        return word_table(self.words, self.languages, self.df, self.tf)

    def pairs_table(self) -> pa.Table:
        """A table of ``source``, ``target``, ``df_source``, ``df_target``, ``df_both``: one row per listed pair.

        Words that have languages bring ``source_language`` and ``target_language``.
        """
        return pair_table(self.words, self.languages, self.pairs, self.df, self.pair_df)

    def save(self, folder: str | Path) -> Path:
        """Write the tables and counts.json; a kill leaves what lay there or all of this. Returns the folder."""
        check_path("save", "folder", folder)
        with replaced_counts(Path(folder)) as new:
            write_counts(Path(folder), new, *self.parts())
        return Path(folder)

    def parts(self) -> tuple[Any, ...]:
        """What `write_counts` writes."""
        names = ("documents", "skipped", "scope", "approximation", "tokenizer", "marks", "language_table", "units")
        about = {name: getattr(self, name) for name in names}
        tables = self.words_table(), self.pairs_table(), self.background, self.context, self.strata
        return *tables, self.postings, about

    @classmethod
    def load(cls, folder: str | Path) -> Counts:
        """Read what `save` wrote and map the context table; InputError when ``folder`` has no finished counts."""
        check_path("load", "folder", folder)
        return cls(**load_counts(Path(folder)))


def _sum(one: Any, other: Any) -> Any:
    return None if one is None or other is None else one + other

"""Which documents contain each word, so that later questions need no other scan of the corpus."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import scipy

from pivotkit import _C
from pivotkit.arguments import check_int, elements, refuse_kind
from pivotkit.artifacts import file_digest, file_digests
from pivotkit.corpus.reading.amounts import amount
from pivotkit.corpus.tables.unit_counts import LANGUAGE, Hits, posting_path, read_cells, read_header, read_postings
from pivotkit.errors import CorpusError, InputError

Rows = npt.NDArray[np.int32]
RULE = "must be the unit counts that the total was made of"
DOCUMENTS = pa.schema([("path", pa.string()), ("begin", pa.int64()), ("row", pa.int64()), ("lang", pa.string())])


@dataclass(frozen=True)
class Postings:
    """The posting lists of some units, read from their files when they are asked for.

    Attributes
    ----------
    paths : tuple[Path, ...]
        The files with the units' counts, in the order of the corpus.
    digests : tuple[str, ...]
        The `file_digest` of each file as it was when the total was made. Each names its posting file in turn.
    """

    paths: tuple[Path, ...]
    digests: tuple[str, ...]

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Postings:
        """The postings in ``paths`` as they are now."""
        return cls(tuple(paths), tuple(file_digests(paths)))

    def __add__(self, other: Postings) -> Postings:
        return Postings(self.paths + other.paths, self.digests + other.digests)

    def __repr__(self) -> str:
        return f"Postings({amount(len(self.paths), 'unit')})"

    def relative_to(self, folder: Path) -> list[str]:
        """The paths relative to ``folder``."""
        return [os.path.relpath(path, folder) for path in self.paths]

    @classmethod
    def beside(cls, folder: Path, paths: Sequence[str], digests: Sequence[str]) -> Postings:
        """The postings whose paths are relative to ``folder``."""
        return cls(tuple((folder / path).resolve() for path in paths), tuple(digests))

    def parts(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Each unit's file and header; InputError for one that is gone or not as it was.

        Cost: every file is read once per process; posting files are not.
        """
        for path, digest in zip(self.paths, self.digests, strict=True):
            header = read_header(path)
            if header is None or file_digest(path) != digest:
                raise InputError(path, "", f"{RULE}; found none that is whole")
            if _open(path, header).digest != header["postings"]:
                raise InputError(posting_path(path), "", f"{RULE}; found others")
            yield path, header

    def check(self) -> None:
        """Raise the InputError of `parts`, and read every posting."""
        file_digests(path for path in self.paths if path.is_file())  # with all cores
        for path, header in self.parts():
            for _ in read_hits(path, header):
                pass

    def documents(self, words: Sequence[int], lang: str | None) -> pa.Table:
        """The documents that contain all ``words``: `Counts.query`."""
        tables = [DOCUMENTS.empty_table()]
        for path, header in self.parts():
            rows = reduce(_common, (word_rows(path, header, word)[0] for word in words))
            of_row = row_languages(path)
            names = header["languages"]
            langs = [names[code] for code in of_row[rows].tolist()] if names else [None] * len(rows)
            table = {
                "path": [header["path"]] * len(rows),
                "begin": [header["begin"]] * len(rows),
                "row": rows.astype(np.int64),
                "lang": langs,
            }
            found = pa.table(table, schema=DOCUMENTS)
            tables.append(found if lang is None else found.filter(pa.array([one == lang for one in langs], pa.bool_())))
        return pa.concat_tables(tables)

    def shared(self, rows: Sequence[int], words: int) -> scipy.sparse.csr_array:
        """Documents that contain a word of ``rows`` and each of all ``words``, int64 (len(rows), words)."""
        total = scipy.sparse.csr_array((len(rows), words), dtype=np.int64)
        for path, header in self.parts():
            hits = [(word, row) for word, row, _ in read_hits(path, header)]
            if hits:
                word, row = (np.concatenate(part) for part in zip(*hits, strict=True))
                found = (np.ones(len(word), np.int64), (word, row))
                of_words = scipy.sparse.csr_array(found, shape=(words, header["documents"]))
                total = total + of_words[np.asarray(rows, np.int64)] @ of_words.T
        return scipy.sparse.csr_array(total)

    def by_language(self, words: Sequence[str]) -> pa.Table:
        """``lang``, ``word``, ``df``, sorted by language and word id, without rows where df is 0."""
        sums: dict[str, npt.NDArray[np.int64]] = {}
        for path, header in self.parts():
            of_row = row_languages(path)
            if header["documents"] and not header["languages"]:
                raise ValueError("by_language: documents must have languages; got documents of tokens")
            for word, row, _ in read_hits(path, header):
                for place, lang in enumerate(header["languages"]):
                    sums.setdefault(lang, np.zeros(len(words), np.int64))
                    sums[lang] += np.bincount(word[of_row[row] == place], minlength=len(words))
        rows = [
            (lang, words[word], int(sums[lang][word]))
            for lang in sorted(sums)
            for word in np.flatnonzero(sums[lang]).tolist()
        ]
        columns = list(zip(*rows, strict=True)) if rows else [(), (), ()]
        schema = pa.schema([("lang", pa.string()), ("word", pa.string()), ("df", pa.int64())])
        return pa.table(
            [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
        )


@dataclass(frozen=True)
class Cumulative:
    """Counts as they stood after each of K training steps; see `Counts.cumulative`.

    Attributes
    ----------
    steps : int64 (K,)
    df, tf : int64 (K, W)
    pair_df : int64 (K, P)
    """

    steps: npt.NDArray[np.int64]
    df: npt.NDArray[np.int64]
    tf: npt.NDArray[np.int64]
    pair_df: npt.NDArray[np.int64]

    def __repr__(self) -> str:
        words, pairs = amount(self.df.shape[1], "word"), amount(self.pair_df.shape[1], "pair")
        return f"Cumulative({amount(len(self.steps), 'step')}, {words}, {pairs})"


def check_reading(order: Any, batch_size: Any, steps: Any) -> tuple[npt.NDArray[np.integer], list[int]]:
    """The order and the steps of `Counts.cumulative`; refuses what is of another kind."""
    rule = "be a one-dimensional array of integers"
    if isinstance(order, list | tuple):
        with contextlib.suppress(ValueError):  # lists of different lengths
            order = np.asarray(order)
    if not isinstance(order, np.ndarray):
        refuse_kind("cumulative", "order", rule, order)
    if order.ndim != 1 or (order.size and order.dtype.kind not in "iu"):
        raise TypeError(f"cumulative: order must {rule}; got {order.dtype} {order.shape}")
    check_int("cumulative", "batch_size", batch_size, 1)
    found = elements("cumulative", "steps", steps, "an iterable of ints")
    for step in found:
        check_int("cumulative", "steps", step, 0)
    return order, found


def cumulative(
    postings: Postings,
    words: int,
    pairs: npt.NDArray[np.int32],
    order: npt.NDArray[np.integer],
    batch_size: int,
    steps: list[int],
) -> Cumulative:
    """`Counts.cumulative` from the postings of instances."""
    ends = [step * batch_size for step in steps]
    if batch_size < 1 or not ends or min(ends) < 0 or sorted(ends) != ends or ends[-1] > len(order):
        most = len(order) // max(batch_size, 1)
        raise ValueError(f"cumulative: steps must ascend within {most} steps of {batch_size}; got {steps}")
    parts = list(postings.parts())
    instances = sum(header["documents"] for _, header in parts)
    times = np.zeros((len(ends), instances), np.int32)  # how often each instance was read in each stretch of steps
    for place, (begin, end) in enumerate(zip([0, *ends], ends, strict=False)):
        read = np.asarray(order[begin:end], np.int64)
        if len(read) and (read.min() < 0 or read.max() >= instances):
            raise ValueError(f"cumulative: order must name instances in [0, {instances}); got {read.max()}")
        times[place] = np.bincount(read, minlength=instances)
    df, tf = np.zeros((len(ends), words), np.int64), np.zeros((len(ends), words), np.int64)
    pair_df = np.zeros((len(ends), len(pairs)), np.int64)
    first = 0
    for path, header in parts:
        here = times[:, first : first + header["documents"]]
        for word, row, count in read_hits(path, header):
            for place in range(len(ends)):
                df[place] += np.bincount(word, here[place, row], words).astype(np.int64)
                tf[place] += np.bincount(word, here[place, row] * count, words).astype(np.int64)
        for place, (a, b) in enumerate(pairs.tolist()):
            pair_df[:, place] += here[:, _common(word_rows(path, header, a)[0], word_rows(path, header, b)[0])].sum(1)
        first += header["documents"]
    sums = [np.cumsum(counts, axis=0) for counts in (df, tf, pair_df)]
    return Cumulative(np.array(steps, np.int64), *sums)


def _open(path: Path, header: dict[str, Any]) -> _C.PostingFile:
    try:
        return _C.PostingFile(str(posting_path(path)), header["words"])
    except (OSError, CorpusError) as error:
        raise InputError(posting_path(path), "", f"{RULE}; {error}") from None


def read_hits(path: Path, header: dict[str, Any], first: int = 0, last: int = 1 << 31) -> Iterator[Hits]:
    """`unit_counts.read_postings`; InputError for a file that is damaged."""
    try:
        yield from read_postings(path, header["words"], first, last)
    except (OSError, CorpusError) as error:
        raise InputError(posting_path(path), "", f"{RULE}; {error}") from None


def word_rows(path: Path, header: dict[str, Any], word: int) -> tuple[Rows, npt.NDArray[np.int64]]:
    """Rows, ascending, of the documents that contain ``word``, and how often each does."""
    found = [(row, count) for _, row, count in read_hits(path, header, word, word + 1)]
    if not found:
        return np.zeros(0, np.int32), np.zeros(0, np.int64)
    return np.concatenate([row for row, _ in found]), np.concatenate([count for _, count in found])


def row_languages(path: Path) -> npt.NDArray[np.int32]:
    """The place of each row's language in the header's list; empty for tokens."""
    try:
        cells = [(row, column) for _, row, column, _ in read_cells(path, (LANGUAGE,))]
    except (OSError, pa.ArrowException) as error:
        raise InputError(path, "", f"{RULE}; {error}") from None
    of_row = np.zeros(1 + max((int(row[-1]) for row, _ in cells if len(row)), default=-1), np.int32)
    for row, column in cells:
        of_row[row] = column
    return of_row


def _common(a: Rows, b: Rows) -> Rows:
    return np.intersect1d(a, b, assume_unique=True)

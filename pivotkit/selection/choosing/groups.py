"""What divides documents into groups: a column of their scores, their set of languages, or classes of length."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import types

LENGTH, LANGUAGES = "length", "languages"
RANGE = re.compile(r"(\d{1,18})-(\d{1,18})?")


def plain_text(texts: pa.Array) -> pa.Array:
    """The texts of a column of any of Arrow's layouts as string or large_string; other values as texts."""
    return texts if texts.type in (pa.string(), pa.large_string()) else texts.cast(pa.string())


def in_order(rows: pa.Table) -> pa.Table:
    """Documents by unit and row; units may be dictionary-encoded, which Arrow does not sort."""
    keys = pa.table({"unit": plain_text(rows["unit"]), "row": rows["row"]})
    return rows.take(pc.sort_indices(keys, [("unit", "ascending"), ("row", "ascending")]))


@dataclass(frozen=True)
class Column:
    """A column by which documents are told apart: ``languages`` without such a column is the set of ``lang``."""

    name: str
    is_set: bool = False

    @classmethod
    def of(cls, argument: str, name: str, schema: pa.Schema) -> Column:
        """The column of a name; ValueError where there is none, TypeError where it holds no names."""
        if name == LANGUAGES and name not in schema.names:
            return cls("lang", is_set=True)
        if name not in schema.names:
            known = ", ".join(schema.names)
            classes = f"{LENGTH}, " if argument == "quota_by" else ""
            told = f"{classes}{LANGUAGES} or a column of documents ({known})"
            raise ValueError(f"select: {argument} must be {told}; got {name!r}")
        kind = schema.field(name).type
        kind = kind.value_type if types.is_dictionary(kind) else kind
        texts = types.is_string(kind) or types.is_large_string(kind) or str(kind) == "string_view"
        if not (texts or types.is_integer(kind) or types.is_boolean(kind)):
            raise TypeError(f"select: {argument} must name a column of texts or whole numbers; got {name}, {kind}")
        return cls(name)

    def texts(self, batch: pa.RecordBatch) -> pa.Array:
        """What each document has there."""
        texts = plain_text(batch[self.name])
        return language_sets(texts) if self.is_set else texts


@dataclass(frozen=True)
class Quotas:
    """The quotas, by the names of what they take: values of a column, or ranges of length.

    Attributes
    ----------
    names : sequence of str
    column : Column or None
        None for classes of length.
    """

    names: Sequence[str]
    column: Column | None
    bounds: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))

    @classmethod
    def of(cls, names: Sequence[str], quota_by: str, schema: pa.Schema) -> Quotas:
        if quota_by == LENGTH and LENGTH not in schema.names:
            return cls(names, None, length_ranges(names))
        return cls(names, Column.of("quota_by", quota_by, schema))

    @property
    def columns(self) -> list[str]:
        return ["tokens"] if self.column is None else [self.column.name]

    def places(self, batch: pa.RecordBatch) -> NDArray[np.int32]:
        """The quota of each document; -1 where it has none."""
        if self.column is not None:
            return places_of(self.column.texts(batch), self.names)
        order = np.argsort(self.bounds[:, 0])
        tokens = np.asarray(batch["tokens"].fill_null(0).to_numpy(zero_copy_only=False), np.int64)
        below = np.searchsorted(self.bounds[order, 0], tokens, side="right") - 1
        found = order[np.maximum(below, 0)]
        return np.where((below >= 0) & (tokens <= self.bounds[found, 1]), found, -1).astype(np.int32)


def places_of(texts: pa.Array, names: Sequence[str]) -> NDArray[np.int32]:
    """Where each text stands among the names; -1 for one that does not, and for null."""
    found = pc.index_in(texts, pa.array(names, texts.type), skip_nulls=True)
    return np.asarray(found.fill_null(-1))


def language_sets(texts: pa.Array) -> pa.Array:
    """The languages of each document in one order: ``fr+en`` as ``en+fr``."""
    encoded = texts.dictionary_encode()
    sets = [None if text is None else "+".join(sorted(set(text.split("+")))) for text in encoded.dictionary.to_pylist()]
    return pa.array(sets, pa.string()).take(encoded.indices)


def length_ranges(names: Sequence[str]) -> NDArray[np.int64]:
    """The first and last length of each range.

    >>> length_ranges(["0-127", "128-"]).tolist()
    [[0, 127], [128, 9223372036854775807]]
    """
    found = []
    for name in names:
        match = RANGE.fullmatch(name)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise ValueError(f"select: quotas must be ranges of tokens such as 128-255 or 256-; got {name!r}")
        found.append((int(match[1]), int(match[2]) if match[2] else np.iinfo(np.int64).max))
    order = sorted(range(len(found)), key=found.__getitem__)
    for one, other in pairwise(order):
        if found[other][0] <= found[one][1]:
            raise ValueError(f"select: quotas must be ranges that do not overlap; got {names[one]} and {names[other]}")
    return np.array(found, np.int64).reshape(-1, 2)

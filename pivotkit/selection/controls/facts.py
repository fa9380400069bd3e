"""What is known of each document of a batch: its languages, its length, whether it is parallel or code-switched."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pivotkit.corpus.languages.field import language_set
from pivotkit.corpus.matching.word_languages import LanguageSet
from pivotkit.selection.choosing.groups import plain_text

STEPS = 4  # classes of length per doubling
# The least length of each class.
EDGES = np.unique(np.rint(2.0 ** (np.arange(31 * STEPS + 1) / STEPS)).astype(np.int64))

Mask = NDArray[np.bool_]
Rows: TypeAlias = pa.RecordBatch | pa.Table


def languages_column(names: Collection[str]) -> str:
    """The column that tells the languages of a document, several with + between them."""
    return "languages" if "languages" in names else "lang"


def by_languages(rows: Rows, test: Callable[[LanguageSet], bool]) -> Mask:
    """Which documents have a set of languages that passes; the set is empty where none is known."""
    tags = texts(rows, languages_column(rows.schema.names)).fill_null("").dictionary_encode()
    passes = np.array([test(language_set(tag)) for tag in tags.dictionary.to_pylist()], np.bool_)
    found: Mask = passes[tags.indices.to_numpy()]
    return found


def is_bilingual(rows: Rows) -> Mask:
    """Which documents have two languages or more."""
    return by_languages(rows, lambda some: len(some) > 1)


def is_parallel(rows: Rows) -> Mask:
    """Which documents have both words of a translation pair, or where `kind` is known, are parallel line by line.

    Where ``languages`` is known, several of them: French text with a stray English word is not parallel.
    """
    names = rows.schema.names
    both = numbers(rows, "translation_pairs") > 0 if "translation_pairs" in names else np.zeros(len(rows), np.bool_)
    if "languages" in names:
        both &= is_bilingual(rows)
    return both | of_kind(rows, "parallel") if "kind" in names else both


def is_code_switched(rows: Rows) -> Mask:
    """Which documents mix languages within lines; where `kind` is not known, which have two and no translation pair."""
    if "kind" in rows.schema.names:
        return of_kind(rows, "code-switched")
    lacks: Mask = numbers(rows, "translation_pairs") == 0
    return is_bilingual(rows) & lacks


def of_kind(rows: Rows, kind: str) -> Mask:
    return np.asarray(pc.equal(texts(rows, "kind"), kind).fill_null(False).to_numpy(zero_copy_only=False), np.bool_)


def length_classes(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """The class of each length: four to a doubling, so that lengths of a class differ by less than a fifth.

    >>> length_classes(np.array([1, 2, 3, 91, 107, 108])).tolist()
    [0, 1, 2, 21, 21, 22]
    """
    return np.searchsorted(EDGES, tokens, "right") - 1


def taken_tokens(rows: Rows) -> NDArray[np.int64]:
    """How many tokens of each document are taken: all, unless ``take`` says how many."""
    return numbers(rows, "take" if "take" in rows.schema.names else "tokens").astype(np.int64)


def texts(rows: Rows, name: str) -> pa.Array:
    """A column as plain strings."""
    column = rows[name]
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return plain_text(whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks))


def numbers(rows: Rows, name: str) -> NDArray[np.float64]:
    """A column as floats; NaN for null."""
    return np.asarray(rows[name].to_numpy(zero_copy_only=False) if isinstance(rows, pa.RecordBatch)
                      else rows[name].to_numpy(), np.float64)  # fmt: skip

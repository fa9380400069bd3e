"""The languages that a corpus itself gives its documents: the field ``lang`` or ``langs``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pivotkit.corpus.matching.word_languages import LanguageSet
from pivotkit.corpus.reading.text_block import UNKNOWN


def language_set(tag: str) -> LanguageSet:
    """The codes of a tag, ascending; several have + between them, and "und" is none.

    >>> language_set("fr+en"), language_set("und")
    (('en', 'fr'), ())
    """
    return tuple(sorted({code.strip() for code in tag.split("+")} - {"", UNKNOWN}))


def language_tag(some: LanguageSet) -> str:
    """The tag of a set.

    >>> language_tag(("en", "fr")), language_tag(())
    ('en+fr', 'und')
    """
    return "+".join(some) or UNKNOWN


def field_languages(tags: pa.DictionaryArray) -> tuple[Sequence[LanguageSet], npt.NDArray[np.integer]]:
    """The sets of languages of documents by their tags, and which of them each document has."""
    return [language_set(tag) for tag in tags.dictionary.to_pylist()], tags.indices.to_numpy()

"""The languages of the documents of one work unit, by their field, their text or the caller's own function."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pivotkit.arguments import check_strings, kind, refuse, refuse_kind, shown
from pivotkit.corpus.languages.detector import Detector, check_candidates
from pivotkit.corpus.languages.field import field_languages, language_set
from pivotkit.corpus.languages.language_part import LanguagePart
from pivotkit.corpus.languages.verdicts import Verdicts, by_number, detect
from pivotkit.corpus.matching.word_languages import LanguageSet
from pivotkit.corpus.reading.documents import read_texts
from pivotkit.corpus.reading.text_block import TextBlock
from pivotkit.corpus.reading.units import Unit
from pivotkit.corpus.token_store.store import TokenStore

Function: TypeAlias = Callable[[str], str | Iterable[str]]
MODES = ("auto", "field", "detect")


def check_mode(function: str, languages: str | Function, candidates: Iterable[str] | None) -> tuple[str, ...] | None:
    """Refuse another mode, and candidates that do not go with it; the candidates, each once."""
    rule = "be 'auto', 'field', 'detect' or a function"
    if isinstance(languages, str):
        if languages not in MODES:
            refuse(function, "languages", rule, languages)
    elif not callable(languages):
        refuse_kind(function, "languages", rule, languages)
    if candidates is None:
        return None
    codes = tuple(sorted(set(check_strings(function, "candidates", candidates))))
    if languages not in ("auto", "detect"):
        refuse(function, "candidates", "be None where languages are not detected", ", ".join(codes))
    if not codes:
        refuse(function, "candidates", "be at least one language or None", "none")
    check_candidates(function, codes)
    return codes


@dataclass(frozen=True)
class UnitLanguages:
    """How the languages of documents are told, ready for a worker process."""

    languages: str | Function
    candidates: tuple[str, ...] | None
    on_error: str

    def of(self, unit: Unit) -> LanguagePart:
        """Read the documents of ``unit``; CorpusError where it changes meanwhile."""
        found, rows, skipped = [], 0, 0
        for texts in read_texts(unit, self.on_error):
            found.append((texts.rows, characters(texts), self.verdicts(texts)))
            rows, skipped = texts.end, skipped + texts.skipped
        return LanguagePart.of(found, rows, skipped)

    def verdicts(self, texts: TextBlock) -> Verdicts:
        """The languages of some documents, and their kinds."""
        if not isinstance(self.languages, str):
            return _called(self.languages, texts)
        if self.languages == "detect":
            return detect(texts, self._detector)
        own = _of_tags(texts.langs)
        unknown = np.array([not some for some in own.sets], np.bool_)[own.ids] if len(own.sets) else np.zeros(0, bool)
        if self.languages == "field" or not unknown.any():
            return own
        read = detect(_chosen(texts, unknown), self._detector)
        ids, kinds = own.ids.copy(), own.kinds.copy()
        ids[unknown], kinds[unknown] = read.ids + len(own.sets), read.kinds
        return Verdicts([*own.sets, *read.sets], ids, kinds)

    @functools.cached_property
    def _detector(self) -> Detector:
        return Detector(self.candidates)

    def __getstate__(self) -> dict[str, Any]:
        """Without the detector: each process loads its own."""
        return {name: value for name, value in self.__dict__.items() if name != "_detector"}


def store_languages(store: TokenStore, unit: Unit) -> LanguagePart:
    """The languages that a token store kept of the documents of a file, whose sizes are in tokens."""
    listed = store.table(unit)
    rows, sizes = listed["row"].to_numpy(), np.diff(store.offsets(unit))
    tags = listed["lang"].combine_chunks().dictionary_encode()
    end = int(rows[-1]) + 1 if len(rows) else 0
    return LanguagePart.of([(rows, sizes, _of_tags(tags))], end, 0)


def _of_tags(tags: pa.DictionaryArray) -> Verdicts:
    sets, ids = field_languages(tags)
    return by_number(list(sets), ids.astype(np.int64))


def _called(function: Function, texts: TextBlock) -> Verdicts:
    numbers: dict[LanguageSet, int] = {}
    ids = [numbers.setdefault(_answer(function(text)), len(numbers)) for text in texts.texts()]
    return by_number(list(numbers), np.array(ids, np.int64))


def _answer(answer: Any) -> LanguageSet:
    """What the caller's function said, as a set."""
    if isinstance(answer, str):
        return language_set(answer)
    rule = "document_languages: languages must return a str or an iterable of str"
    if not isinstance(answer, Iterable) or isinstance(answer, bytes):
        raise TypeError(f"{rule}; got {shown(answer)}")
    codes = list(answer)
    for code in codes:
        if not isinstance(code, str):
            raise TypeError(f"{rule}; got {kind(code)} in it")
    return language_set("+".join(codes))


def characters(texts: TextBlock) -> npt.NDArray[np.int64]:
    """How many characters each document has."""
    begun = np.zeros(len(texts.data) + 1, np.int64)
    np.cumsum((texts.data & 0xC0) != 0x80, out=begun[1:])
    return np.diff(begun[texts.offsets])


def _chosen(texts: TextBlock, chosen: npt.NDArray[np.bool_]) -> TextBlock:
    """The chosen documents of a block."""
    if chosen.all():
        return texts
    sizes = np.diff(texts.offsets)
    offsets = np.zeros(int(chosen.sum()) + 1, np.int64)
    np.cumsum(sizes[chosen], out=offsets[1:])
    places = pa.array(np.flatnonzero(chosen))
    data = texts.data[: texts.offsets[-1]][np.repeat(chosen, sizes)]
    return TextBlock(data, offsets, texts.ids.take(places), texts.langs.take(places), texts.rows[chosen])

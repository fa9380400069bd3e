"""From the languages of segments to those of documents: the set of each, and how several share a document."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pivotkit.corpus.languages.detector import Detector, Labels
from pivotkit.corpus.languages.segments import Segments, segments_of
from pivotkit.corpus.matching.word_languages import LanguageSet
from pivotkit.corpus.reading.text_block import TextBlock

SHARE = 0.2  # of a document's letters, in UTF-8 bytes, that a language of its set has at least
STRAY = 0.1  # of the lines of a parallel document, at most, that are in the other language than their place asks for
KINDS = ("monolingual", "bilingual", "parallel", "code-switched", "other")
MONOLINGUAL, BILINGUAL, PARALLEL, SWITCHED, OTHER = range(len(KINDS))

Ints = npt.NDArray[np.int64]


class Verdicts(NamedTuple):
    """Sets of languages, which of them each of N documents has, and its kind, a place in `KINDS`."""

    sets: list[LanguageSet]
    ids: Ints
    kinds: npt.NDArray[np.int8]


def by_number(sets: list[LanguageSet], ids: Ints) -> Verdicts:
    """Documents whose text was not read: the number of languages is their kind."""
    kinds = np.array([{1: MONOLINGUAL, 2: BILINGUAL}.get(len(some), OTHER) for some in sets], np.int8)
    return Verdicts(sets, ids, kinds[ids])


def detect(texts: TextBlock, detector: Detector) -> Verdicts:
    """The languages of documents by their text.

    Each segment votes for its language with the bytes of its letters; one of two languages, with each half for its own.
    A language with at least `SHARE` of a document's votes is in its set. Code-switched: several languages, and
    segments of two have at least `SHARE` of the votes. Parallel: two languages with as many lines, which alternate, or
    come one language after the other; a share of `STRAY` may be otherwise. Lines in a third language are passed over.
    """
    segments = segments_of(texts)
    view, bounds = texts.data.data, segments.offsets.tolist()
    labels = detector.label(bytes(view[begin:end]) for begin, end in pairwise(bounds))
    size, many = len(texts), len(detector.languages)
    voter, language, votes = _votes(segments, labels)
    documents, languages, sums = _sums(segments.document[voter], language, votes, many)
    total = np.bincount(documents, sums, size)
    kept = sums >= SHARE * total[documents]
    documents, languages = documents[kept], languages[kept]
    number = np.bincount(documents, minlength=size)
    sets, ids = _sets(documents, languages, size, detector.languages)
    kinds = by_number(sets, ids).kinds
    lines = _line_languages(voter, language, votes, many)
    kinds[_are_parallel(segments.document, lines, documents, languages, number)] = PARALLEL
    is_switched = labels.second >= 0
    switched = np.bincount(
        segments.document[segments.line[is_switched]], (labels.first_letters + labels.second_letters)[is_switched], size
    )
    kinds[(number > 1) & (switched > 0) & (switched >= SHARE * total)] = SWITCHED
    return Verdicts(sets, ids, kinds)


def _votes(segments: Segments, labels: Labels) -> tuple[Ints, Ints, Ints]:
    """The line, language and weight of each vote."""
    lines = np.concatenate([segments.line, segments.line])
    languages = np.concatenate([labels.first, labels.second]).astype(np.int64)
    votes = np.concatenate([labels.first_letters, labels.second_letters])
    real = (languages >= 0) & (votes > 0)
    return lines[real], languages[real], votes[real]


def _sums(owners: Ints, languages: Ints, votes: Ints, many: int) -> tuple[Ints, Ints, Ints]:
    """The votes of each owner and language that has any, in this order."""
    keys, places = np.unique(owners * many + languages, return_inverse=True)
    return keys // many, keys % many, np.bincount(places, votes, len(keys)).astype(np.int64)


def _sets(documents: Ints, languages: Ints, size: int, names: list[str]) -> tuple[list[LanguageSet], Ints]:
    """Sets from documents and their languages, which ascend: at most five each, so that a set fits an integer."""
    base = len(names) + 1
    first = np.searchsorted(documents, documents)
    keys = np.zeros(size, np.int64)
    np.add.at(keys, documents, (languages + 1) * base ** (np.arange(len(documents)) - first))
    found, ids = np.unique(keys, return_inverse=True)
    return [_names(int(key), base, names) for key in found], ids.astype(np.int64)


def _names(key: int, base: int, names: list[str]) -> LanguageSet:
    some = []
    while key:
        key, place = divmod(key, base)
        some.append(names[place - 1])
    return tuple(sorted(some))


def _line_languages(lines: Ints, languages: Ints, votes: Ints, many: int) -> tuple[Ints, Ints]:
    """Each line that has votes, and the language of most of them; the first of equal ones."""
    lines, languages, votes = _sums(lines, languages, votes, many)
    order = np.lexsort((-languages, votes, lines))
    last = np.append(lines[1:] != lines[:-1], True)[: len(lines)]
    return lines[order][last], languages[order][last]


def _are_parallel(
    document: Ints, lines: tuple[Ints, Ints], documents: Ints, languages: Ints, number: Ints
) -> npt.NDArray[np.bool_]:
    """Which documents have two languages whose lines alternate, or come one language after the other."""
    size = len(number)
    one, other = np.full(size, -1), np.full(size, -1)
    first = np.searchsorted(documents, np.flatnonzero(number == 2))
    one[number == 2], other[number == 2] = languages[first], languages[first + 1]
    line, language = lines
    owner = document[line]
    kept = (language == one[owner]) | (language == other[owner])
    owner, language = owner[kept], language[kept]
    sign = np.where(language == one[owner], 1, -1)
    count = np.bincount(owner, minlength=size)
    place = np.arange(len(owner)) - np.searchsorted(owner, owner)
    alternating = np.bincount(owner, sign * (1 - 2 * (place % 2)), size)
    halves = np.bincount(owner, sign * np.sign(2 * place + 1 - count[owner]), size)
    stray = (count - np.maximum(np.abs(alternating), np.abs(halves))) / 2
    surplus = np.abs(np.bincount(owner, sign, size)) / 2
    parallel: npt.NDArray[np.bool_] = (number == 2) & (count > 1) & (np.maximum(stray, surplus) <= STRAY * count)
    return parallel

"""Which strata a count has: given, or found in a sample of the corpus before the scan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pivotkit.arguments import check_flag, check_int, kind, refuse, shown
from pivotkit.corpus.matching.word_languages import LanguageSet
from pivotkit.corpus.reading.units import Unit
from pivotkit.corpus.tables.strata import LEAST_DOCUMENTS, StratumList

MOST = 256
PIECES = 64
PIECE_BYTES = 4 << 20
# Of one piece that its format does not let be cut.
READ_BYTES = 4 * PIECE_BYTES
OTHER = "other"

# The sets of languages of some documents, the set and the length of each, and their bytes.
Sample = tuple[Sequence[LanguageSet], npt.NDArray[np.integer], npt.NDArray[np.integer], int]


class LanguagesUnknown(ValueError):
    """Documents have no languages where something needs them."""


@dataclass(frozen=True)
class Strata:
    """How documents are put into strata: by their set of languages, by their length, or by both.

    Parameters
    ----------
    language : bool, default True
        Whether documents of different sets of languages are apart.
    length : int, default 24
        The most classes of length per set of languages. 1: lengths do not matter. A length is in tokens, and in UTF-8
        bytes where documents come without tokens.
    edges : mapping or sequence, optional
        The strata themselves. With languages, a mapping from sets of languages, such as ``("en", "fr")``, to ascending
        lengths at which a new class begins, and from ``"other"`` to those of all other sets. Without, the lengths. By
        default they are found in a sample of the corpus: up to 64 pieces of 4 MB, drawn by ``seed``. Classes are
        quantiles of at least 150 documents of the sample. A set of fewer documents is "other". Where there would be
        more than 256 strata, sets have fewer classes each, and beyond that the rarest are "other".
    seed : int, default 0

    Examples
    --------
    >>> Strata(language=False, edges=[100, 1000])
    Strata(language=False, length=24, edges=(100, 1000), seed=0)
    """

    language: bool = True
    length: int = 24
    edges: Any = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_flag("Strata", "language", self.language)
        check_int("Strata", "length", self.length, 1, MOST)
        check_int("Strata", "seed", self.seed, 0)
        if not self.language and self.length == 1 and self.edges is None:
            raise ValueError("Strata: length must be at least 2 without languages; got 1")
        if self.edges is None:
            return
        if self.language:
            object.__setattr__(self, "edges", _language_edges(self.edges))
        else:
            object.__setattr__(self, "edges", _ascending(self.edges))
        if len(listed(self)) > MOST:
            refuse("Strata", "edges", f"make at most {MOST} strata", len(listed(self)))


def listed(strata: Strata) -> StratumList:
    """The strata that the edges of ``strata`` are."""
    if not strata.language:
        return StratumList((None,), (strata.edges,))
    sets = [some for some in strata.edges if some != OTHER]
    return StratumList((*sets, None), (*(strata.edges[some] for some in sets), strata.edges.get(OTHER, ())))


def fix_strata(strata: Strata, pieces: Sequence[Unit], read: Callable[[Unit], Iterator[Sample]]) -> StratumList:
    """The strata of a count; ``read`` gives the documents of a piece of the corpus."""
    if strata.edges is not None:
        return listed(strata)
    lengths: dict[LanguageSet, list[npt.NDArray[np.integer]]] = {}
    for piece in _drawn(pieces, strata.seed):
        taken = 0
        for sets, ids, sizes, read_bytes in read(piece):
            for place in np.unique(ids):
                some = sets[place] if strata.language else ()
                lengths.setdefault(some, []).append(sizes[ids == place])
            taken += read_bytes
            if taken >= READ_BYTES:
                break
    if strata.language and lengths and not any(lengths):
        sampled = sum(map(len, chain.from_iterable(lengths.values())))
        rule = "have languages for strata by language, from their lang field or a table of them (languages=)"
        raise LanguagesUnknown(f"count: documents must {rule}; got none for any of {sampled} in a sample")
    return _quantiles({some: np.concatenate(parts) for some, parts in lengths.items()}, strata)


def _drawn(pieces: Sequence[Unit], seed: int) -> list[Unit]:
    if len(pieces) <= PIECES:
        return list(pieces)
    chosen = np.random.default_rng(seed).choice(len(pieces), PIECES, replace=False)
    return [pieces[place] for place in sorted(chosen)]


def _quantiles(lengths: Mapping[LanguageSet, npt.NDArray[np.integer]], strata: Strata) -> StratumList:
    """Classes of at least 150 documents each, as many as there may be."""
    if not strata.language:
        (sizes,) = lengths.values() if lengths else (np.zeros(0, np.int64),)
        return StratumList((None,), (_edges(sizes, min(strata.length, len(sizes) // LEAST_DOCUMENTS)),))
    order = sorted(lengths, key=lambda some: (-len(lengths[some]), some))
    kept = [some for some in order if some and len(lengths[some]) >= LEAST_DOCUMENTS][: MOST - 1]
    rest = [lengths[some] for some in order if some not in kept]
    groups = [*(lengths[some] for some in kept), np.concatenate([np.zeros(0, np.int64), *rest])]
    classes = [max(1, min(strata.length, len(sizes) // LEAST_DOCUMENTS)) for sizes in groups]
    most = strata.length
    while sum(min(most, some) for some in classes) > MOST:
        most -= 1
    edges = [_edges(sizes, min(most, some)) for sizes, some in zip(groups, classes, strict=True)]
    return StratumList((*kept, None), tuple(edges))


def _edges(sizes: npt.NDArray[np.integer], classes: int) -> tuple[int, ...]:
    """Where ``classes`` quantile classes begin; equal ones are one."""
    if classes < 2:
        return ()
    places = np.arange(1, classes) * len(sizes) // classes
    found = np.unique(np.sort(sizes)[places])
    return tuple(int(edge) for edge in found if edge > sizes.min())


def _language_edges(edges: Any) -> dict[Any, tuple[int, ...]]:
    if not isinstance(edges, Mapping):
        raise TypeError(f"Strata: edges must be a mapping from sets of languages to lengths; got {shown(edges)}")
    fixed: dict[Any, tuple[int, ...]] = {}
    for some, lengths in edges.items():
        name: Any = some
        if some != OTHER:
            if isinstance(some, str) or not isinstance(some, Iterable) or not all(isinstance(c, str) for c in some):
                raise TypeError(f"Strata: edges must have sets of languages or 'other' as keys; got {shown(some)}")
            name = tuple(sorted(set(some)))
        if name in fixed:
            refuse("Strata", "edges", "name each set of languages once", some)
        fixed[name] = _ascending(lengths)
    return fixed


def _ascending(lengths: Any) -> tuple[int, ...]:
    if isinstance(lengths, str | bytes | Mapping) or not isinstance(lengths, Iterable):
        raise TypeError(f"Strata: edges must be lengths; got {shown(lengths)}")
    found = list(lengths)
    for length in found:
        if isinstance(length, bool) or not isinstance(length, int | np.integer):
            raise TypeError(f"Strata: edges must be ints; got {kind(length)}")
    fixed = tuple(int(length) for length in found)
    if any(a >= b for a, b in pairwise((0, *fixed))) or (fixed and fixed[-1] >= 1 << 47):
        refuse("Strata", "edges", "be positive lengths that ascend", fixed)
    return fixed

"""Which strata a count has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pivotkit.corpus import Strata, Unit
from pivotkit.corpus.counting.strata import PIECES, READ_BYTES, LanguagesUnknown, fix_strata, listed


def pieces(count: int) -> list[Unit]:
    return [Unit(Path(f"{number}"), 1, 0) for number in range(count)]


def fixed(strata: Strata, sets: list[Any], ids: Any, lengths: Any) -> Any:
    return fix_strata(strata, pieces(1), lambda piece: iter([(sets, np.asarray(ids), np.asarray(lengths), 1)]))


def test_classes_are_quantiles_of_at_least_150_documents() -> None:
    lengths = np.random.default_rng(0).permutation(1000) + 1
    strata = fixed(Strata(), [("en",)], np.zeros(1000, int), lengths)
    assert strata.sets == (("en",), None)
    assert strata.edges == ((167, 334, 501, 667, 834), ())  # 6 classes: 1000 // 150
    sizes = np.bincount(strata.assign(np.array([0]), np.zeros(1000, int), lengths))
    assert sizes.min() >= 150
    assert len(strata) == 7


def test_equal_lengths_are_one_class() -> None:
    strata = fixed(Strata(language=False), [()], np.zeros(1000, int), np.full(1000, 7))
    assert (strata.sets, strata.edges) == ((None,), ((),))


def test_a_set_of_few_documents_and_documents_of_no_language_are_other() -> None:
    ids = np.repeat([0, 1, 2, 3], [149, 150, 400, 10])
    strata = fixed(Strata(), [("de",), ("en", "fr"), (), ("ja",)], ids, np.ones(len(ids), int))
    assert strata.sets == (("en", "fr"), None)


def test_documents_none_of_which_has_a_language_are_refused() -> None:
    ids, lengths = np.zeros(7, int), np.ones(7, int)
    with pytest.raises(
        LanguagesUnknown, match=r"count: documents must have languages .*; got none for any of 7 in a sample"
    ):
        fixed(Strata(), [()], ids, lengths)
    assert fixed(Strata(), [(), ("de",)], np.array([0, 0, 1]), lengths[:3]).sets == (None,)
    assert fixed(Strata(language=False), [()], ids, lengths).sets == (None,)
    assert fixed(Strata(), [], ids[:0], lengths[:0]).sets == (None,)


def test_there_are_no_more_than_256_strata() -> None:
    """First classes are fewer for every set; then the rarest sets are other."""
    rng = np.random.default_rng(0)
    for count in (12, 300):
        sets = [(f"l{number}",) for number in range(count)]
        ids = np.repeat(np.arange(count), np.arange(count) + 4000 // count * 15)
        strata = fixed(Strata(), sets, ids, rng.integers(1, 10**6, len(ids)))
        assert 240 <= len(strata) <= 256
        assert strata.sets[0] == sets[-1]  # the most frequent
        assert strata.sets[-1] is None
        assert len(strata.sets) == min(count, 255) + 1


def test_a_sample_is_drawn_by_the_seed_and_read_in_part() -> None:
    read: list[str] = []

    def endless(piece: Unit) -> Iterator[Any]:
        read.append(piece.path.name)
        while True:
            read.append("")
            yield [("en",)], np.zeros(200, int), np.arange(200), READ_BYTES // 3 + 1

    fix_strata(Strata(seed=1), pieces(1000), endless)
    names = [name for name in read if name]
    assert len(names) == PIECES
    assert len(read) == PIECES * 4
    first, read[:] = list(read), []
    fix_strata(Strata(seed=1), pieces(1000), endless)
    assert read == first
    read[:] = []
    fix_strata(Strata(seed=2), pieces(1000), endless)
    assert read != first


def test_given_edges_are_the_strata_and_nothing_is_read() -> None:
    strata = Strata(edges={("fr", "en"): [5, 9], "other": [7], ("de",): ()})
    fixed_ = fix_strata(strata, pieces(3), lambda piece: pytest.fail("read"))
    assert fixed_.sets == (("en", "fr"), ("de",), None)
    assert fixed_.edges == ((5, 9), (), (7,))
    assert len(listed(Strata(language=False, edges=range(1, 256)))) == 256


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"length": 0}, ValueError, "length must be at least 1; got 0"),
        ({"language": False, "length": 1}, ValueError, "length must be at least 2 without languages; got 1"),
        ({"language": 1}, TypeError, "language must be"),
        ({"edges": [5]}, TypeError, "edges must be a mapping from sets of languages to lengths; got"),
        ({"edges": {"en": [5]}}, TypeError, "edges must have sets of languages or 'other' as keys; got 'en'"),
        ({"edges": {("en", "fr"): [5], ("fr", "en"): [6]}}, ValueError, "edges must name each set of languages once"),
        ({"edges": {("en",): [5, 5]}}, ValueError, "edges must be positive lengths that ascend; got"),
        ({"edges": {("en",): [0]}}, ValueError, "edges must be positive lengths that ascend; got"),
        ({"edges": {("en",): [5.0]}}, TypeError, "edges must be ints; got float"),
        ({"language": False, "edges": {"other": [5]}}, TypeError, "edges must be lengths; got"),
        ({"language": False, "edges": range(1, 257)}, ValueError, "edges must make at most 256 strata; got 257"),
    ],
)
def test_bad_strata_are_refused(arguments: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=f"Strata: {message}"):
        Strata(**arguments)

"""Documents that pass by are counted as those of files are; a part is counted whole or not at all."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pivotkit.corpus import Counts, StreamCount, WatchList, count
from pivotkit.corpus.counting.unit_counter import UnitCounter
from pivotkit.errors import InputError

WORDS = ["cat", "chat", "the cat", "猫", "小猫"]
PAIRS = [("cat", "chat"), ("猫", "cat")]
PIECES = [*WORDS, "tree", " ", "CAT", "\n"]


@pytest.mark.parametrize("scope", ["document", "line", "window:4"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.lists(st.sampled_from(PIECES), max_size=8), st.integers(0, 2)), max_size=12),
    st.sampled_from(["en", "fr", None]),
)
def test_any_parts_have_the_counts_of_a_file(write: Any, scope: str, documents: Any, language: str | None) -> None:
    texts = [(" ".join(pieces), part) for pieces, part in documents]
    whole = count(write([text for text, _ in texts]), WORDS, pairs=PAIRS, scope=scope, workers=1)
    with tempfile.TemporaryDirectory() as out:
        stream = StreamCount(WORDS, pairs=PAIRS, scope=scope, out=out)
        for part in range(3):
            with stream.part(part, 3) as add:
                for text, of in texts:
                    if of == part:
                        add(text, language)
        stream.merge()
        counts = Counts.load(out)
    for name in ("df", "tf", "pair_df"):
        assert getattr(counts, name).tolist() == getattr(whole, name).tolist()
    assert (counts.documents, counts.scope) == (whole.documents, whole.scope)


def test_words_of_a_language_are_counted_in_its_documents(tmp_path: Path) -> None:
    watch = WatchList(["chat", "chat"], languages=["en", "fr"])
    stream = StreamCount(watch, out=tmp_path)
    with stream.part() as add:
        for text, language in [("un chat", "fr"), ("a chat", "en"), ("le chat", "fr"), ("chat", None)]:
            add(text, language)
    assert stream.merge().df.tolist() == [1, 2]


def test_many_documents_come_in_order_and_keep_their_postings(tmp_path: Path) -> None:
    stream = StreamCount(["cat", "dog"], out=tmp_path)
    with stream.part() as add:
        for row in range(10_000):
            add("cat" if row % 1000 == 7 else "dog")
    counts = stream.merge()
    assert counts.df.tolist() == [10, 9990]
    assert counts.query("cat")["row"].to_pylist() == list(range(7, 10_000, 1000))


def break_off(add: Any) -> None:
    add("cat")
    raise KeyError("broken")


def add_many(add: Any) -> None:
    for _ in range(100_000):
        add("cat")


def test_a_part_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    stream = StreamCount(["cat"], out=tmp_path)
    with pytest.raises(KeyError, match="broken"), stream.part() as add:
        break_off(add)
    assert not list((tmp_path / "units").glob("*"))
    with pytest.raises(InputError, match=r"must hold the counts of all 1 parts; part-0-of-1 must be counted again$"):
        stream.merge()


def test_a_part_that_is_repeated_takes_the_place_of_the_first(tmp_path: Path) -> None:
    stream = StreamCount(["cat"], out=tmp_path)
    for texts in (["cat", "cat"], ["cat", "a dog", "cat", "cat"]):
        with stream.part() as add:
            for text in texts:
                add(text)
    assert (stream.merge().documents, stream.merge().df.tolist()) == (4, [3])


def test_parts_are_added_up_only_when_all_are_there(tmp_path: Path) -> None:
    stream = StreamCount(["cat"], out=tmp_path)
    with stream.part(1, 3) as add:
        add("cat")
    with pytest.raises(InputError, match=r"all 3 parts; part-0-of-3, part-2-of-3 must be counted again$"):
        stream.merge()
    for part in (0, 2):
        with stream.part(part, 3):
            pass
    assert stream.merge().documents == 1
    with stream.part(0, 2):
        pass
    with pytest.raises(InputError, match=r"must hold the parts of one stream; got parts of 2 and of 3$"):
        stream.merge()


def test_two_parts_at_once_do_not_mix(tmp_path: Path) -> None:
    stream = StreamCount(["cat", "dog"], out=tmp_path)
    with stream.part(0, 2) as one, stream.part(1, 2) as other:
        for _ in range(3):
            one("cat")
            other("dog")
    assert stream.merge().df.tolist() == [3, 3]


def test_streams_of_other_names_can_be_added(tmp_path: Path) -> None:
    merged = []
    for name in ("one", "two"):
        stream = StreamCount(["cat"], name=name, out=tmp_path / name)
        with stream.part() as add:
            add("cat")
        merged.append(stream.merge())
    assert merged[0].merge(merged[1]).df.tolist() == [2]
    assert merged[0].merge(merged[0]).df.tolist() == [1]


def test_what_stops_the_counter_reaches_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: UnitCounter, unit: Any) -> None:
        for _ in self.plan.source.blocks(unit, self.plan.scope):
            raise OSError(28, "No space left on device", str(tmp_path))

    monkeypatch.setattr(UnitCounter, "count", full)
    stream = StreamCount(["cat"], out=tmp_path)
    with pytest.raises(OSError, match="No space left on device"), stream.part() as add:
        add_many(add)


def test_a_document_too_large_for_the_memory_is_refused_by_its_part(tmp_path: Path) -> None:
    stream = StreamCount(["cat"], memory="300MB", out=tmp_path)
    with (
        pytest.raises(ValueError, match=r"memory must be at least \d+ bytes .* in stream/part-0-of-1, row 0"),
        stream.part() as add,
    ):
        add("cat " * 30_000_000)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"scope": "instance:4"}, "StreamCount: scope must not be of instances for text, which has no tokens; got"),
        ({"watchlist": "cat"}, "StreamCount: watchlist must be a watch list or an iterable of str; got"),
        ({"pairs": [("cat", "dog")]}, "must be in the watch list; got 'dog'"),
        ({"memory": 10}, "StreamCount: memory must be at least"),
        ({"name": 3}, "StreamCount: name must be"),
        ({"postings": 1}, "StreamCount: postings must be"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(tmp_path: Path, arguments: Any, said: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        StreamCount(**{"watchlist": ["cat"], "out": tmp_path / "out", **arguments})
    assert said in str(caught.value)
    assert not (tmp_path / "out").exists()

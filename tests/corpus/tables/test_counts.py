"""Counts in memory and on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from pivotkit.corpus import Counts
from pivotkit.errors import InputError


def make(seed: int = 0, units: tuple[str, ...] = (), tables: bool = True, **changes: Any) -> Counts:
    rng = np.random.default_rng(seed)
    values: dict[str, Any] = {
        "words": ["cat", "chat", "猫"],
        "documents": int(rng.integers(100)),
        "df": rng.integers(0, 99, 3),
        "tf": rng.integers(0, 99, 3),
        "pairs": np.array([[0, 1], [2, 0], [1, 1]], np.int32),
        "pair_df": rng.integers(0, 99, 3),
        "context": csr_array(rng.integers(0, 3, (3, 5))) if tables else None,
        "background": rng.integers(0, 99, 5) if tables else None,
        "units": units,
        "skipped": int(rng.integers(9)),
        "tokenizer": "t" if tables else None,
    }
    return Counts(**(values | changes))


def same(a: Counts, b: Counts) -> bool:
    plain = all(
        getattr(a, name) == getattr(b, name)
        for name in ("words", "documents", "scope", "units", "skipped", "tokenizer")
    )
    arrays = all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("df", "tf", "pairs", "pair_df"))
    if a.context is None or b.context is None:
        return plain and arrays and a.context is b.context and a.background is b.background
    tables = np.array_equal(a.context.toarray(), b.context.toarray()) and np.array_equal(a.background, b.background)
    return plain and arrays and tables


@pytest.mark.parametrize("context", [True, False])
def test_saved_counts_come_back(tmp_path: Path, context: bool) -> None:
    counts = make(units=("a", "b"), tables=context)
    loaded = Counts.load(counts.save(tmp_path / "counts"))
    assert same(counts, loaded)
    assert loaded.df.dtype == loaded.pair_df.dtype == np.int64
    assert loaded.pairs.dtype == np.int32
    assert (tmp_path / "counts" / "context" / "df.npy").exists() == context


def test_saved_pairs_carry_what_attribution_needs(tmp_path: Path) -> None:
    counts = make()
    table = pq.read_table(counts.save(tmp_path) / "pairs.parquet").to_pydict()
    assert list(table) == ["source", "target", "df_source", "df_target", "df_both"]
    assert (table["source"], table["target"]) == (["cat", "猫", "chat"], ["chat", "cat", "chat"])
    assert table["df_source"] == counts.df[[0, 2, 1]].tolist()
    assert table["df_both"] == counts.pair_df.tolist()


def test_a_context_table_comes_back_mapped_and_not_read(tmp_path: Path) -> None:
    counts = make(context=csr_array(np.array([[0, 0, 0, 0, 0], [1, 2, 3, 0, 4], [0, 0, 0, 0, 5]])))
    loaded = Counts.load(counts.save(tmp_path))
    assert same(counts, loaded)
    assert loaded.context is not None
    for array in (loaded.context.data, loaded.context.indices):
        while not isinstance(array, np.memmap):
            array = array.base
    before = (tmp_path / "context" / "df.npy").stat().st_mtime_ns
    loaded.save(tmp_path)  # what lies there already is not written over while it is mapped
    assert (tmp_path / "context" / "df.npy").stat().st_mtime_ns == before
    (tmp_path / "context" / "df.npy").write_bytes(b"")
    with pytest.raises(InputError, match="must hold a whole context table"):
        Counts.load(tmp_path)
    empty = make(context=csr_array((3, 5), dtype=np.int64))
    assert same(empty, Counts.load(empty.save(tmp_path)))


def test_no_pairs_come_back_as_no_pairs(tmp_path: Path) -> None:
    counts = make(pairs=np.zeros((0, 2), np.int32), pair_df=np.zeros(0, np.int64))
    assert Counts.load(counts.save(tmp_path)).pairs.shape == (0, 2)


def test_words_are_found_by_any_spelling_and_pairs_either_way() -> None:
    counts = make()
    assert counts.index("CHAT") == 1
    assert counts.pair("Cat", "Chat") == counts.pair("chat", "cat") == counts.pair_df[0]
    assert counts.pair("chat", "chat") == counts.pair_df[2]
    with pytest.raises(ValueError, match="a and b must be a listed pair; got 'chat', '猫'"):
        counts.pair("chat", "猫")
    with pytest.raises(ValueError, match="word must be in the watch list; got 'dog'"):
        counts.pair("dog", "cat")


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_merging_is_associative_commutative_and_idempotent(i: int, j: int, k: int) -> None:
    a, b, c = make(i, ("a",)), make(j, ("b",)), make(k, ("c",))
    assert same(a.merge(b).merge(c), a.merge(b.merge(c)))
    assert same(a.merge(b), b.merge(a))
    assert same(a.merge(a), a)
    assert same(a.merge(b).merge(b), a.merge(b))
    assert same(b.merge(a.merge(b)), a.merge(b))
    assert a.merge(b).documents == a.documents + b.documents


def test_counts_made_by_hand_add_up() -> None:
    assert make(1).merge(make(1)).documents == 2 * make(1).documents


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"words": ["a", "b", "c"]}, "same words"),
        ({"scope": "window"}, "same scope"),
        ({"tokenizer": "other"}, "same tokenizer"),
        ({"pairs": np.array([[0, 1], [2, 0], [2, 1]], np.int32)}, "same pairs"),
        ({"context": None, "background": None, "tokenizer": "t"}, "must have a context table too"),
        (
            {"context": csr_array((3, 6), dtype=np.int64), "background": np.zeros(6, np.int64)},
            r"context shape \(3, 5\)",
        ),
        ({"units": ("b", "c")}, "share no work units or all; got 1 in common"),
    ],
)
def test_counts_of_different_things_do_not_merge(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(0, ("a", "b")).merge(make(1, **({"units": ("z",)} | changes)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"df": np.zeros(2, np.int64)}, r"df must have shape \(3,\); got \(2,\)"),
        ({"pair_df": np.zeros(2, np.int64)}, "pair_df must have shape"),
        ({"pairs": np.zeros((3, 3), np.int32)}, "pairs must have shape"),
        ({"background": None}, "context must come with background; got it alone"),
        ({"background": np.zeros(9, np.int64)}, "context must have shape"),
    ],
)
def test_shapes_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_words_that_normalize_alike_cannot_be_told_apart() -> None:
    with pytest.raises(ValueError, match="words must be distinct after normalization"):
        make(words=["cat", "Cat", "猫"]).index("cat")


def test_pairs_become_a_symmetric_matrix_with_df_on_its_diagonal() -> None:
    counts = make()
    expected = np.diag(counts.df)
    for (a, b), df in zip(counts.pairs.tolist(), counts.pair_df.tolist(), strict=True):
        if a != b:
            expected[a, b] = expected[b, a] = df
    assert np.array_equal(counts.to_scipy().toarray(), expected)


def test_questions_to_postings_are_refused_without_them() -> None:
    for ask in (lambda: make().query("cat"), lambda: make().by_language()):
        with pytest.raises(ValueError, match=r"counts must be kept in a folder \(count\(\.\.\., out=\.\.\.\)\)"):
            ask()
    with pytest.raises(ValueError, match="scope must be of instances; got 'document'"):
        make().cumulative(np.arange(3), 1, [1])
    with pytest.raises(ValueError, match="words must hold at least one word"):
        make().query()


def test_a_folder_without_finished_counts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must hold finished counts; found no counts\.json"):
        Counts.load(tmp_path)
    make().save(tmp_path)
    (tmp_path / "pairs.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="must be a Parquet file"):
        Counts.load(tmp_path)


def test_a_save_that_fails_leaves_the_counts_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(1).save(tmp_path)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pivotkit.artifacts.pq.write_table", full)
    with pytest.raises(OSError, match="No space left"):
        make(2).save(tmp_path)
    monkeypatch.undo()
    assert same(Counts.load(tmp_path), make(1))
    assert not list(tmp_path.rglob("*.part"))

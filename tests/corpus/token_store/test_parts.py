"""Parts of files: they change nothing in a store, and a unit that is made of them is read as its text is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from corpus_formats import FORMATS, json_lines, packed, write
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pivotkit.artifacts import read_table, write_table
from pivotkit.corpus import Counts, TokenStore, TokenWatchList, Unit, count, read_documents, tokenize, work_units
from pivotkit.corpus.reading.documents import read_texts
from pivotkit.corpus.token_store import parts, writer
from pivotkit.corpus.token_store.store import unit_path
from pivotkit.errors import InputError

TEXTS = [" ".join(["the cat", "a dog and", "le chat 猫", "."][i % 4 : i % 5 + 1]) or "tree" for i in range(300)]
DOCUMENTS = [{"text": text, "id": f"d{i}", "lang": "fr"} for i, text in enumerate(TEXTS)]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 300)
    monkeypatch.setattr(writer, "PIECE_BYTES", 500)


def written(tokenizer: Tokenizer, path: Path, out: Path, on_error: str = "raise") -> dict[str, str]:
    """The digests of what a store of the whole file holds, document by document."""
    unit = Unit.of(path)
    ids: list[list[int]] = []
    columns: dict[str, list[Any]] = {"row": [], "id": [], "lang": []}
    skipped = 0
    for batch in read_documents(unit, on_error):
        ids += [tokenizer.encode(text, add_special_tokens=False).ids for text in batch.texts]
        for name, values in zip(columns, (batch.rows, batch.ids, batch.langs), strict=True):
            columns[name] += values
        skipped += batch.skipped
    (out / "units").mkdir(parents=True)
    np.array([token for document in ids for token in document], "<u4").tofile(unit_path(out, unit, ".u32"))
    np.save(unit_path(out, unit, ".offsets.npy"), np.cumsum([0, *map(len, ids)], dtype=np.int64))
    digests = {suffix: digest(unit_path(out, unit, suffix)) for suffix in (".u32", ".offsets.npy")}
    types = {"row": pa.int64(), "id": pa.string(), "lang": pa.string()}
    table = pa.table({name: pa.array(values, types[name]) for name, values in columns.items()})
    about = {"unit": unit.name, "skipped": skipped, "digests": digests}
    return digests | {".parquet": digest(write_table(table, unit_path(out, unit, ".parquet"), about))}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digests(store: TokenStore) -> dict[str, str]:
    (unit,) = store.units
    return {suffix: digest(unit_path(store.folder, unit, suffix)) for suffix in (".u32", ".offsets.npy", ".parquet")}


def check_units(store: TokenStore, unit_bytes: int, on_error: str = "raise") -> int:
    """Each unit of the store has the documents that are read from the text of that unit; returns how many there are."""
    (file,) = store.units
    units, ids, places = store.cut(file, unit_bytes), [], []
    assert units[0].begin == 0
    assert units[-1].end is None
    for unit in units:
        rows = [row for block in read_texts(unit, on_error) for row in block.rows.tolist()]
        assert store.table(unit)["row"].to_pylist() == rows
        assert len(store.offsets(unit)) == len(rows) + 1
        assert store.tokens(unit) == store.offsets(unit)[-1] == len(store.ids(unit))
        assert np.array_equal(store.read(unit, 0, store.tokens(unit)), store.ids(unit))
        ids.append(store.ids(unit))
        places += [row + store.first_row(unit) for row in rows]
        assert [block.ids.tolist() for block in store.blocks(unit)] == ([ids[-1].tolist()] if rows else [])
    assert np.array_equal(np.concatenate(ids), store.ids(file))
    assert places == store.table(file)["row"].to_pylist()
    return len(units)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_store_made_in_parts_is_the_store_of_the_whole_file(tmp_path: Path, tokenizer: Tokenizer, kind: str) -> None:
    path = write(tmp_path, kind, DOCUMENTS)
    store = tokenize(path, tokenizer, tmp_path / "out")
    assert digests(store) == written(tokenizer, path, tmp_path / "expected")
    assert check_units(store, 1) > 1
    assert check_units(store, 900) >= 1
    assert check_units(store, 1 << 20) == 1
    assert store.work_units(1) == store.cut(store.units[0], 1)
    assert store.work_units() == work_units(path) == store.units


@settings(max_examples=40, deadline=None)
@given(
    lines=st.lists(st.sampled_from([b"", b"the cat", b" ", b"le chat " * 9, "猫".encode(), b"\xff"]), max_size=40),
    cuts=st.lists(st.integers(0, 200), max_size=4),
    kind=st.sampled_from([None, "zst", "gz"]),
    size=st.integers(1, 120),
)
def test_empty_and_bad_lines_between_parts_are_counted(
    tmp_path_factory: pytest.TempPathFactory,
    tokenizer: Tokenizer,
    lines: list[bytes],
    cuts: list[int],
    kind: Any,
    size: int,
) -> None:
    folder, raw = tmp_path_factory.mktemp("lines"), b"\n".join(lines)
    path = folder / ("a.txt" if kind is None else f"a.txt.{kind}")
    path.write_bytes(raw if kind is None else packed(kind, raw, [min(at, len(raw)) for at in cuts]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "PART_BYTES", size)
        store = tokenize(path, tokenizer, folder / "out", on_error="skip")
    assert digests(store) == written(tokenizer, path, folder / "expected", "skip")
    check_units(store, 1, "skip")


@pytest.mark.parametrize("damage", ["cut short", "a byte of a frame", "rubbish between frames"])
@pytest.mark.parametrize("kind", ["zst", "gz"])
def test_a_stream_that_breaks_off_breaks_off_for_parts_too(
    tmp_path: Path, tokenizer: Tokenizer, kind: str, damage: str
) -> None:
    raw = json_lines(DOCUMENTS)
    frames = [packed(kind, raw[at : at + 4000], []) for at in range(0, len(raw), 4000)]
    path = tmp_path / f"a.jsonl.{kind}"
    if damage == "cut short":
        frames = [*frames[:3], frames[3][:-20]]
    elif damage == "a byte of a frame":
        frames[2] = frames[2][:60] + bytes([frames[2][60] ^ 255]) + frames[2][61:]
    else:
        frames.insert(2, b"rubbish" * 9)
    path.write_bytes(b"".join(frames))
    store = tokenize(path, tokenizer, tmp_path / "out", on_error="skip")
    assert 0 < len(store.table(store.units[0])) < 300
    assert digests(store) == written(tokenizer, path, tmp_path / "expected", "skip")
    check_units(store, 1, "skip")


def same(a: Counts, b: Counts) -> bool:
    assert a.context is not None
    assert b.context is not None
    vectors = all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("df", "tf", "pair_df", "background"))
    return vectors and a.documents == b.documents and (a.context != b.context).nnz == 0


def test_tokens_of_a_store_are_counted_in_parts(tmp_path: Path, tokenizer: Tokenizer) -> None:
    store = tokenize(write(tmp_path, "jsonl", DOCUMENTS), tokenizer, tmp_path / "store")
    watch = TokenWatchList(["cat", "dog"], tokenizer)
    for scope in ("document", "window:5", "instance:7"):
        whole = count(store, watch, pairs=[("cat", "dog")], scope=scope, context=True, unit=None, workers=1)
        cut = count(store, watch, pairs=[("cat", "dog")], scope=scope, context=True, unit=1, workers=1)
        assert (len(cut.units) > 5) == (scope != "instance:7")
        assert same(cut, whole)


def test_only_parts_of_the_store_are_units(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = write(tmp_path, "jsonl", DOCUMENTS)
    store = tokenize(path, tokenizer, tmp_path / "out")
    for unit in work_units(path, 311)[1:3]:
        for function in (store.ids, store.offsets, store.table, store.tokens, store.first_row):
            with pytest.raises(ValueError, match="unit must be one of the store's units; got Unit"):
                function(unit)


@pytest.mark.parametrize("change", ["begin", "row", "document", "columns", "bytes"])
def test_damaged_parts_are_refused_and_made_anew(tmp_path: Path, tokenizer: Tokenizer, change: str) -> None:
    path = write(tmp_path, "jsonl", DOCUMENTS)
    store = tokenize(path, tokenizer, tmp_path / "out")
    file = unit_path(store.folder, store.units[0], ".parts.parquet")
    before, units = file.read_bytes(), store.work_units(1)
    table = read_table(file)
    if change == "bytes":
        file.write_bytes(before[: len(before) // 2])
    elif change == "columns":
        write_table(table.select(["begin", "row"]), file)
    else:
        places = table[change].to_pylist()
        places[2] = 9999
        write_table(table.set_column(table.schema.get_field_index(change), change, pa.array(places)), file)
    with pytest.raises(InputError, match=r"parts\.parquet"):
        store.work_units(1)
    assert tokenize(path, tokenizer, tmp_path / "out").work_units(1) == units
    assert file.read_bytes() == before


def test_a_store_without_parts_is_read_whole(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = write(tmp_path, "jsonl", DOCUMENTS)
    store = tokenize(path, tokenizer, tmp_path / "out")
    unit_path(store.folder, store.units[0], ".parts.parquet").unlink()
    assert TokenStore.open(tmp_path / "out").work_units(1) == store.units


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "parquet", "stream"])
def test_text_with_contexts_is_counted_in_units_inside_its_files(
    kind: str, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """The counts, a sample among them, are those of whole files."""
    path = write(tmp_path, kind, DOCUMENTS)
    store = tokenize(path, tokenizer, tmp_path / "store")
    arguments: dict[str, Any] = {"pairs": [("cat", "chat")], "context": store}
    for sample in (None, 20):
        whole, cut = (
            count(path, ["cat", "chat", "猫"], workers=1, unit=unit, sample=sample, out=out, **arguments)
            for unit, out in ((None, None), (600, tmp_path / f"{sample}"))
        )
        assert (len(whole.units), len(cut.units) > 2) == (1, True)
        assert whole.context is not None
        assert (whole.context != cut.context).nnz == 0
        for name in ("df", "tf", "pair_df", "background"):
            assert np.array_equal(getattr(whole, name), getattr(cut, name))
        assert cut.query("cat", "chat").num_rows == whole.pair("cat", "chat")

"""Work units inside files: they tile each file, and every document is in exactly one."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard
from corpus_formats import (
    FORMATS,
    bgzf,
    json_lines,
    packed,
    pieces,
    skippable,
    text_lines,
    write,
    write_columns,
    zstd,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pivotkit.corpus import Unit, corpus_files, read_documents, read_texts, work_units
from pivotkit.corpus.reading import boundaries
from pivotkit.errors import CorpusError

DOCUMENTS = [{"text": f"text {i} " + "é猫 x" * (i % 40), "id": f"d{i}", "lang": "fr"} for i in range(400)]


def texts_of(unit: Unit, on_error: str = "raise") -> list[str]:
    return [text for batch in read_documents(unit, on_error) for text in batch.texts]


def parts_of(path: Path, unit_bytes: int) -> list[Unit]:
    """The units of one file, which tile it in order."""
    units = work_units(path, unit_bytes)
    assert units[0].begin == 0
    assert units[-1].end is None
    assert all(left.end == right.begin for left, right in pairwise(units))
    assert all(unit.begin < unit.stop for unit in units) or path.stat().st_size == 0
    assert len({unit.name for unit in units}) == len(units)
    return units


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.03, 0.2, 0.45, 0.99])
def test_each_document_is_in_one_unit(tmp_path: Path, kind: str, share: float) -> None:
    path = write(tmp_path, kind, DOCUMENTS)
    units = parts_of(path, max(1, int(path.stat().st_size * share)))
    expected = [document["text"] for document in DOCUMENTS]
    assert [text for unit in units for text in texts_of(unit)] == expected
    assert len(units) > 1 or share == 0.99
    for unit in units:
        rows = [row for batch in read_documents(unit) for row in batch.rows]
        assert rows == list(range(len(rows)))


@pytest.mark.parametrize("kind", FORMATS)
def test_pieces_are_cut_where_the_format_is(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind, DOCUMENTS, parts=4)
    found = len(parts_of(path, 1)) if kind not in ("jsonl", "txt") else 4
    assert found == 4


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_is_one_unit_unless_a_size_is_named(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind, DOCUMENTS)
    whole = Unit.of(path)
    assert work_units(path) == work_units(path, path.stat().st_size) == [whole]
    assert (whole.begin, whole.end, whole.stop) == (0, None, path.stat().st_size)


@given(
    st.lists(st.text("a\r", max_size=6), max_size=8),
    st.booleans(),
    st.sampled_from(["", "zst", "gz", "bgz"]),
    st.lists(st.integers(0, 60), max_size=5),
    st.integers(1, 80),
)
@settings(max_examples=300)
def test_lines_are_in_one_unit_wherever_pieces_and_units_are_cut(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], ended: bool, kind: str, cuts: list[int], unit_bytes: int
) -> None:
    raw = ("\n".join(lines) + "\n" * ended).encode()
    path = tmp_path_factory.getbasetemp() / ("a.txt" if not kind else f"a.txt.{kind[-3:].replace('bgz', 'gz')}")
    path.write_bytes(packed(kind, raw, [cut % (len(raw) + 1) for cut in cuts]) if kind else raw)
    expected = [line.removesuffix("\r") for line in raw.decode().split("\n") if line.removesuffix("\r")]
    assert texts_of(Unit.of(path)) == expected
    assert [text for unit in parts_of(path, unit_bytes) for text in texts_of(unit)] == expected


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.zst", "jsonl.gz"])
def test_a_line_longer_than_units_is_in_the_first_of_them(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind, [{"text": "short"}, {"text": "x" * 5000}, {"text": "last"}], parts=50)
    parts = [texts_of(unit) for unit in parts_of(path, 100)]
    assert [text for part in parts for text in part] == ["short", "x" * 5000, "last"]
    assert len(parts) > 10
    assert [] in parts


def test_skippable_and_empty_frames_are_units_of_their_own(tmp_path: Path) -> None:
    raw = text_lines(DOCUMENTS[:9])
    first, *others = pieces(raw, [0, 40, 41, 41, 90])
    assert first == b""
    frames = [
        skippable(b"\x28\xb5\x2f\xfd" * 5),
        zstd(first),
        *(zstd(piece, i % 2 == 0) for i, piece in enumerate(others)),
    ]
    frames.insert(4, skippable(b""))
    path = tmp_path / "a.txt.zst"
    path.write_bytes(b"".join(frames))
    units = parts_of(path, 1)
    assert [unit.stop - unit.begin for unit in units] == list(map(len, frames))
    assert [text for unit in units for text in texts_of(unit)] == [document["text"] for document in DOCUMENTS[:9]]


@pytest.mark.parametrize("raw", [b"", b"a" * 300_000, bytes(range(256)) * 3000])
@pytest.mark.parametrize("level", [-5, 3])
@pytest.mark.parametrize("options", [{}, {"write_checksum": True}, {"write_content_size": False}])
def test_frames_are_walked_over_every_kind_of_header_and_block(
    tmp_path: Path, raw: bytes, level: int, options: dict[str, bool]
) -> None:
    compressor = zstandard.ZstdCompressor(level=level, **options)
    streamed = compressor.compressobj()
    frames = [compressor.compress(raw), streamed.compress(raw) + streamed.flush(), compressor.compress(raw * 2)]
    path = tmp_path / "a.txt.zst"
    path.write_bytes(b"".join(frames))
    assert list(boundaries.zstd_frames(path)) == [0, len(frames[0]), len(frames[0]) + len(frames[1])]


def test_bytes_that_look_like_a_gzip_member_are_no_boundary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boundaries, "SEARCH_BYTES", 1000)
    looks = b"\x1f\x8b\x08\x00" + b"\x00" * 300
    named = b"\x1f\x8b\x08\x08\0\0\0\0\0\xff" + looks  # the name of a member holds them
    raw = text_lines(DOCUMENTS)
    members = [packed("gz", piece, []) for piece in pieces(raw, [2000, 9000])]
    members[1] = named.rstrip(b"\0") + b"\0" + members[1][10:]
    path = tmp_path / "a.txt.gz"
    path.write_bytes(b"".join(members))
    units = parts_of(path, 1)
    assert [unit.stop - unit.begin for unit in units] == list(map(len, members))
    assert [text for unit in units for text in texts_of(unit)] == [document["text"] for document in DOCUMENTS]


def test_a_member_inside_a_member_is_an_error_and_never_a_wrong_count(tmp_path: Path) -> None:
    inner = packed("gz", b"inner\n", [])
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"one\ntwo\n" * 20 + inner + b"\nthree\n" * 20, 0))  # stored as it is
    first, *_ = units = parts_of(path, 150)
    assert len(units) == 2
    with pytest.raises(CorpusError, match=r"must be readable to byte \d+, where a unit of it ends; Truncated"):
        texts_of(first)
    with pytest.raises(CorpusError, match="must be readable to its end"):
        texts_of(units[1])


def test_bgzf_is_walked_by_its_lengths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boundaries, "_next_member", lambda *_: pytest.fail("nothing must be searched"))
    raw = text_lines(DOCUMENTS)
    members = [bgzf(piece) for piece in pieces(raw, [100, 5000, 5000, len(raw)])]
    path = tmp_path / "a.txt.gz"
    path.write_bytes(b"".join(members))
    assert [unit.stop - unit.begin for unit in parts_of(path, 1)] == list(map(len, members))


def test_arrow_columns_with_dictionaries_are_one_unit(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(DOCUMENTS)
    table = table.set_column(2, "lang", table["lang"].dictionary_encode())
    for number, new in enumerate((pa.ipc.new_stream, pa.ipc.new_file)):
        path = tmp_path / f"{number}.arrow"
        with new(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=50)
        (unit,) = parts_of(path, 1)
        assert texts_of(unit) == [document["text"] for document in DOCUMENTS]
        assert {lang for batch in read_documents(unit) for lang in batch.langs} == {"fr"}


def bad_line_parts(tmp_path: Path, kind: str) -> list[Unit]:
    documents: list[dict[str, Any]] = [*DOCUMENTS[:200], {"text": None}, *DOCUMENTS[200:]]
    if kind in ("parquet", "stream"):
        path = write_columns(tmp_path / f"a.{'arrow' if kind == 'stream' else kind}", documents, 60, kind)
    else:
        raw = json_lines(documents)
        path = tmp_path / f"a.jsonl{kind and '.' + kind}"
        path.write_bytes(packed(kind, raw, [9000, 21000]) if kind else raw)
    return parts_of(path, 1 if kind else 9000)


@pytest.mark.parametrize("kind", ["", "zst", "gz", "parquet", "stream"])
def test_a_bad_document_is_named_by_its_place_in_the_file(tmp_path: Path, kind: str) -> None:
    units = bad_line_parts(tmp_path, kind)
    assert len(units) > 2
    place = "row 200" if kind in ("parquet", "stream") else "line 201"
    failures = []
    for unit in units:
        try:
            texts_of(unit)
        except CorpusError as error:
            failures.append((unit.begin > 0, error.place, error.problem))
    assert failures == [(True, place, 'must have a string "text"; got NoneType')]
    assert [text for unit in units for text in texts_of(unit, "skip")] == [document["text"] for document in DOCUMENTS]
    assert sum(block.skipped for unit in units for block in read_texts(unit, "skip")) == 1


def test_a_place_behind_a_broken_piece_is_counted_from_the_unit(tmp_path: Path) -> None:
    raw = json_lines([*DOCUMENTS[:30], {"text": 1}])
    frames = [zstd(piece) for piece in pieces(raw, [1000])]
    frames[0] = frames[0][:-1] + bytes([frames[0][-1] ^ 1])
    (tmp_path / "a.jsonl.zst").write_bytes(b"".join(frames))
    _, unit = parts_of(tmp_path / "a.jsonl.zst", 1)
    before = sum(line.startswith(b"{") for line in raw[1000:].split(b"\n")[1:])
    with pytest.raises(CorpusError, match=f"line {before} of those after byte {len(frames[0])}: must have a string"):
        texts_of(unit)


def test_default_ids_of_a_unit_inside_a_file_name_its_begin(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\ntwo\nthree\nfour\n")
    first, second = parts_of(path, 10)
    assert [name for batch in read_documents(first) for name in batch.ids] == ["a.txt:1", "a.txt:2", "a.txt:3"]
    assert [name for batch in read_documents(second) for name in batch.ids] == [f"a.txt@{second.begin}:1"]


def test_the_name_depends_on_the_part(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\n")
    whole = Unit.of(tmp_path / "a.txt")
    parts = [Unit(whole.path, whole.size, whole.modified, *bounds) for bounds in ((0, 2), (1, 2), (1, None))]
    assert len({unit.name for unit in [whole, *parts]}) == 4
    assert all(len(unit.name.partition(".")[0]) == 24 for unit in parts)


@pytest.mark.parametrize("bad", [True, 1.5, "1GB"])
def test_the_size_of_units_is_an_int(tmp_path: Path, bad: Any) -> None:
    with pytest.raises(TypeError, match="work_units: unit_bytes must be an int or None"):
        work_units(tmp_path, bad)


def test_the_size_of_units_is_positive(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="work_units: unit_bytes must be at least 1; got 0"):
        work_units(tmp_path, 0)


def test_a_saved_dataset_counts_only_its_data_files(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    for name in ("data-00000-of-00001", "cache-0123456789abcdef"):
        write_columns(folder / f"{name}.arrow", DOCUMENTS, 50, "stream")
    (folder / "dataset_info.json").write_text("{}")
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    write_columns(tmp_path / "other.arrow", DOCUMENTS, 50, "file")
    assert [path.name for path in corpus_files(tmp_path)] == ["other.arrow", "data-00000-of-00001.arrow"]
    (folder / "state.json").write_text("[]")
    with pytest.raises(CorpusError, match='must list the "_data_files" of a saved dataset'):
        corpus_files(tmp_path)

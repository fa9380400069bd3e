"""Packed texts: the same documents as strings, from every format, without a copy where there need be none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus_formats import FORMATS, write, write_columns

from pivotkit import _C
from pivotkit.corpus import read_documents, read_texts
from pivotkit.corpus.reading import documents
from pivotkit.corpus.reading.text_block import TextBlock
from pivotkit.errors import CorpusError

DOCUMENTS = [
    {"text": f"text {i} " + "é猫😀 " * (i % 50), "id": f"d{i}" if i % 3 else None, "lang": ["fr", None, " de", "unknown"][i % 4]}
    for i in range(300)
]  # fmt: skip


def put(path: Path, raw: bytes) -> Path:
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("block_bytes", [1, 1000, 4 << 20])
def test_every_format_gives_the_same_packed_texts(
    tmp_path: Path, kind: str, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "BATCH_BYTES", block_bytes)
    monkeypatch.setattr(documents, "READ_BYTES", 500)
    blocks = list(read_texts(write(tmp_path, kind, DOCUMENTS)))
    assert len(blocks) > 1 or block_bytes > 1000
    for block in blocks:
        assert block.data.dtype == np.uint8
        assert (block.offsets.dtype, block.rows.dtype) == (np.int64, np.int64)
        assert len(block) == len(block.offsets) - 1 == len(block.ids) == len(block.langs) > 0
        assert (block.offsets[0], block.offsets[-1]) == (0, len(block.data))
    joined = b"".join(block.data.tobytes() for block in blocks).decode()
    assert joined == "".join(document["text"] for document in DOCUMENTS)
    assert [text for block in blocks for text in block.texts()] == [document["text"] for document in DOCUMENTS]
    assert [row for block in blocks for row in block.rows.tolist()] == list(range(len(DOCUMENTS)))
    if not kind.startswith("txt"):
        assert [name for block in blocks for name in block.ids.to_pylist()] == [d["id"] for d in DOCUMENTS]
        langs = [lang for block in blocks for lang in block.langs.to_pylist()]
        assert langs == [["fr", "und", "de", "und"][i % 4] for i in range(300)]


@pytest.mark.parametrize("kind", FORMATS)
def test_batches_of_strings_are_the_blocks_decoded(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "BATCH_DOCUMENTS", 70)
    path = write(tmp_path, kind, DOCUMENTS)
    batches, blocks = list(read_documents(path)), list(read_texts(path))
    assert max(map(len, batches)) == 60 if kind in ("parquet", "stream", "file") else 70
    assert [text for batch in batches for text in batch.texts] == [text for block in blocks for text in block.texts()]
    assert [row for batch in batches for row in batch.rows] == [row for block in blocks for row in block.rows]
    own = [name for block in blocks for name in block.ids.to_pylist()]
    default = [f"{path.name}:{row + 1}" for row in range(len(own))]
    assert [name for batch in batches for name in batch.ids] == [a or b for a, b in zip(own, default, strict=True)]


def test_a_line_of_text_is_a_document_and_an_empty_one_is_none(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", b'one\n\n \r\n\r\n{"text": "four"}\r\nf\rive\0\nlast')
    (block,) = read_texts(path)
    assert block.texts() == ["one", " ", '{"text": "four"}', "f\rive\0", "last"]
    assert block.rows.tolist() == [0, 2, 4, 5, 6]
    assert (block.ids.null_count, block.langs.to_pylist()) == (5, ["und"] * 5)
    assert [name for batch in read_documents(path) for name in batch.ids][1] == "a.txt:3"


def test_a_line_of_text_must_be_utf8(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", b"one\n\xff\xfe\nthree\n\xe7\x8c\n")
    with pytest.raises(CorpusError, match="line 2: must be UTF-8; 'utf-8' codec can't decode byte 0xff"):
        list(read_texts(path))
    (block,) = read_texts(path, "skip")
    assert (block.texts(), block.rows.tolist(), block.skipped) == (["one", "three"], [0, 2], 2)


def test_rare_spellings_stand_between_the_others(tmp_path: Path) -> None:
    lines = [{"text": "a", "id": 1}, {"text": "b", "id": 10**18}, {"text": "c", "id": -5, "lang": "zh"}]
    raw = (
        b'{"te\\u0078t":"first"}\n'
        + "".join(json.dumps(line) + "\n" for line in lines).encode()
        + b'{"text":"d","id":-0}'
    )
    (block,) = read_texts(put(tmp_path / "a.jsonl", raw))
    assert block.texts() == ["first", "a", "b", "c", "d"]
    assert block.ids.to_pylist() == [None, "1", "1000000000000000000", "-5", "0"]
    assert block.langs.to_pylist() == ["und", "und", "und", "zh", "und"]


@pytest.mark.parametrize("wide", [False, True])
def test_texts_of_arrow_batches_are_not_copied(wide: bool) -> None:
    texts = pa.array(["ab", "c", "", "def", "gh"], pa.large_string() if wide else pa.string()).slice(1)
    nulls = pa.nulls(4, pa.large_string())
    blocks = list(TextBlock.slices(texts, nulls, nulls.dictionary_encode(), np.arange(4), 3))
    buffer = texts.buffers()[2]
    for block, begin in zip(blocks, (2, 3), strict=False):
        assert block.data.ctypes.data == buffer.address + begin
    assert [block.texts() for block in blocks] == [["c", ""], ["def"], ["gh"]]
    assert [block.offsets.tolist() for block in blocks] == [[0, 1, 1], [0, 3], [0, 2]]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1, None, 2**64 - 1], pa.uint64()), ["1", None, "18446744073709551615"]),
        (pa.array([1.5, None, -2.25]), ["1.5", None, "-2.25"]),
        (pa.array(["x", None, "y"], pa.large_string()), ["x", None, "y"]),
        (pa.array(["x", None, "y"]).dictionary_encode(), ["x", None, "y"]),
        (pa.nulls(3), [None, None, None]),
        (pa.array([None, None, None], pa.float64()), [None, None, None]),
    ],
)  # fmt: skip
def test_ids_may_be_of_these_types(tmp_path: Path, column: pa.Array, expected: list[Any]) -> None:
    table = pa.table({"text": ["a", "b", "c"], "id": column, "lang": pa.array(["fr", "fr", None]).dictionary_encode()})
    pq.write_table(table, tmp_path / "a.parquet")
    (block,) = read_texts(tmp_path / "a.parquet")
    assert block.ids.to_pylist() == expected
    assert block.langs.to_pylist() == ["fr", "fr", "und"]


@pytest.mark.parametrize(
    ("name", "column", "problem"),
    [
        ("id", pa.array([[1.5], None, [2.0]]), 'must have a string or number "id"; got list'),
        ("id", pa.array([True, None, False]), 'must have a string or number "id"; got bool'),
        ("id", pa.array([b"x", None, b"y"]), 'must have a string or number "id"; got bytes'),
        ("lang", pa.array([1, None, 2]), 'must have a string or a list of strings "lang"; got int'),
        ("lang", pa.array([["fr", None], None, [None]]), 'must have a string or a list of strings "lang"; got NoneType'),
        ("text", pa.array([None, "b", None]), 'must have a string "text"; got NoneType'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("layout", ["parquet", "stream", "file"])
def test_rows_of_other_types_are_named_or_skipped(
    tmp_path: Path, name: str, column: pa.Array, problem: str, layout: str
) -> None:
    columns = {"text": pa.array(["a", "b", "c"]), name: column, "other": pa.array([1, 2, 3])}
    suffix = "parquet" if layout == "parquet" else "arrow"
    path = write_columns(tmp_path / f"a.{suffix}", pa.table(columns).to_pylist(), 2, layout)
    with pytest.raises(CorpusError) as caught:
        list(read_texts(path))
    assert (caught.value.place, caught.value.problem) == ("row 0", problem)
    blocks = list(read_texts(path, "skip"))
    assert [(row, text) for block in blocks for row, text in zip(block.rows, block.texts(), strict=True)] == [(1, "b")]
    assert sum(block.skipped for block in blocks) == 2


def broken(kind: pa.DataType) -> pa.Array:
    """Four strings of which the second is no UTF-8."""
    offsets, data = np.array([0, 1, 3, 4, 5], np.int32 if kind == pa.string() else np.int64), b"a\xff\xfecd"
    return pa.Array.from_buffers(kind, 4, [None, pa.py_buffer(offsets), pa.py_buffer(data)])


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
@pytest.mark.parametrize("name", ["text", "id", "lang"])
def test_rows_that_are_no_utf8_are_named_or_skipped_alone(tmp_path: Path, kind: pa.DataType, name: str) -> None:
    columns = {"text": ["1", "2", "3", "4"], "id": ["x", "y", None, "z"], "lang": ["fr"] * 4} | {name: broken(kind)}
    table = pa.table(columns)
    with pa.ipc.new_stream(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(CorpusError, match="row 1: must be an Arrow file of UTF-8 text; got other bytes"):
        list(read_texts(tmp_path / "a.arrow"))
    (block,) = read_texts(tmp_path / "a.arrow", "skip")
    assert (block.rows.tolist(), block.skipped) == ([0, 2, 3], 1)
    assert block.texts() == (["a", "c", "d"] if name == "text" else ["1", "3", "4"])
    assert block.ids.to_pylist() == (["a", "c", "d"] if name == "id" else ["x", None, "z"])
    assert block.langs.to_pylist() == (["a", "c", "d"] if name == "lang" else ["fr"] * 3)


def test_columns_must_be_there_once(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["text", "text"])
    with pa.ipc.new_stream(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(CorpusError, match='must have a string column "text"; got 2 of them'):
        list(read_texts(tmp_path / "a.arrow"))
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"]), pa.array(["c"])], ["text", "id", "id"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(CorpusError, match="must have one column 'id'; got more"):
        list(read_texts(tmp_path / "a.parquet"))


def test_a_file_without_rows_holds_no_documents(tmp_path: Path) -> None:
    table = pa.table({"text": pa.array([], pa.string())})
    pq.write_table(table, tmp_path / "a.parquet")
    for name, new in (("b.arrow", pa.ipc.new_stream), ("c.arrow", pa.ipc.new_file)):
        with new(str(tmp_path / name), table.schema):
            pass
    for name in ("a.parquet", "b.arrow", "c.arrow", "d.txt"):
        (tmp_path / "d.txt").touch()
        assert list(read_texts(tmp_path / name)) == []


def test_blocks_stay_as_they_are_while_others_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "BATCH_BYTES", 2000)
    monkeypatch.setattr(documents, "READ_BYTES", 512)
    path = write(tmp_path, "jsonl.zst", DOCUMENTS)
    kept = [block for number, block in enumerate(read_texts(path)) if number % 3]  # others come back and are reused
    again = [block for number, block in enumerate(read_texts(path)) if number % 3]
    texts = {document["text"] for document in DOCUMENTS}
    assert [block.texts() for block in kept] == [block.texts() for block in again]
    assert {text for block in kept for text in block.texts()} <= texts


def test_the_native_block_is_what_lines_are_read_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Common lines must not be settled one by one."""
    monkeypatch.setattr(documents, "line_problem", lambda *_: pytest.fail("a common line was left to Python"))
    assert sum(map(len, read_texts(write(tmp_path, "jsonl.gz", DOCUMENTS)))) == len(DOCUMENTS)
    assert hasattr(_C, "DocumentBlock")


def test_on_error_has_two_values(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="read_texts: on_error must be 'raise' or 'skip'; got 'ignore'"):
        read_texts(tmp_path / "a.txt", "ignore")


def test_real_text_is_what_orjson_reads(shared: Path) -> None:
    import orjson
    import zstandard

    for path in sorted((shared / "data" / "corpus").glob("*.jsonl.zst")):
        with path.open("rb") as file:
            raw = zstandard.ZstdDecompressor().stream_reader(file).read()
        expected = [orjson.loads(line) for line in raw.splitlines()]
        blocks = list(read_texts(path))
        assert b"".join(block.data.tobytes() for block in blocks).decode() == "".join(r["text"] for r in expected)
        assert [name for block in blocks for name in block.ids.to_pylist()] == [record.get("id") for record in expected]
        assert np.concatenate([np.diff(block.offsets) for block in blocks]).tolist() == [
            len(record["text"].encode()) for record in expected
        ]
